"""Series: a later payment of a series carries the scheme's id of the first one."""

import polars as pl

from paybatch import registry
from paybatch.domain.few import distinct
from paybatch.flow.working.changes import KEY
from paybatch.store import recurring
from paybatch.store.database import Connection, Row

NAME = "scheme_transaction_id"


def with_scheme_ids(connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Fill ``scheme_transaction_id`` of rows that go on with a series and give none.

    It is that of the payment that a row acts on: of the recurring payment, or of the row that made
    the payment, which may stand among these rows.
    """
    going_on = [name for name in distinct(rows["kind"]) if registry.kinds()[name].continues]
    if not going_on:
        return rows
    wants = pl.col("kind").is_in(going_on) & pl.col(NAME).is_null()
    wanted = rows.filter(wants & pl.col("payment_id").is_not_null()).select_seq(KEY).unique()
    columns = [(each.name, each.column_of(NAME)) for each in registry.dialects().values()]
    stored = recurring.scheme_ids(connection, wanted, columns)
    for _ in range(2):  # an order, the recurring payment that is made from it, and its charges
        own = rows.select_seq("merchant_id", pl.col("id").alias("payment_id"), found=NAME)
        known = pl.concat([stored, own.drop_nulls()]).unique(KEY, keep="last")
        joined = rows.join(known, on=KEY, how="left", maintain_order="left")
        filled = pl.when(wants).then("found").otherwise(NAME)
        rows = joined.with_columns_seq(filled.alias(NAME)).drop("found")
    return rows
