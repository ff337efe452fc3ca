"""Owners: whose payment a row acts on, where the row names a payment by its id and no merchant.

One reading of the database for a block, and none for a sender that acts for one merchant only.
"""

import polars as pl

from paybatch.domain.few import chosen, nulls
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.store import payments
from paybatch.store.public_ids import Shape


def find_owners(
    engine: Engine, place: Place, texts: pl.DataFrame, shape: str = Shape.NATIVE
) -> pl.DataFrame:
    """Add ``payment_id`` (Int64) and ``owner_id`` (Int32), the merchant whose payment it is.

    The id is null where the row names its payment by a reference, the owner also where the sender
    may not act for it: such a payment looks unknown. Ids are understood in our own shape and in
    ``shape``, that of the file's dialect.
    """
    if "payment" not in texts.columns or not texts["payment"].count():
        none = nulls(["payment_id"], pl.Int64(), texts.height)
        return texts.hstack([*none, *nulls(["owner_id"], pl.Int32(), texts.height)])
    names = texts["payment"].fill_null("")
    ids = engine.public_ids.decode(names, "pay", Shape.NATIVE).alias("payment_id")
    if shape != Shape.NATIVE:
        theirs = engine.public_ids.decode(names, "pay", Shape(shape))
        ids = ids.zip_with(ids.is_not_null(), theirs)
    return texts.hstack([ids, _owners(engine, place, ids)])


def _owners(engine: Engine, place: Place, ids: pl.Series) -> pl.Series:
    """Look up whose payments these are."""
    found: dict[int, int] = {}
    if len(place.merchants) > 1 and ids.count():
        with engine.database.transaction() as connection:
            found = payments.merchants_of_payments(
                connection, list(place.merchants.values()), ids.drop_nulls().unique().to_list()
            )
    if not found:
        return nulls(["owner_id"], pl.Int32(), len(ids))[0]
    return chosen(ids, found, pl.Int32()).alias("owner_id")
