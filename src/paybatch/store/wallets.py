"""Wallets that operations fill: customers are locked, their cards read, and new ones enrolled."""

from collections.abc import Sequence

import polars as pl
from psycopg import Connection

from paybatch.store.database import Row, copy_out
from paybatch.store.statements import statements

_SQL = statements("wallet")

ENROLLED = {
    "merchant_id": pl.Int32(),
    "customer": pl.String(),
    "number_id": pl.String(),
    "expiry": pl.Int16(),
    "rank": pl.Int16(),
}


def lock_wallets(
    connection: Connection[Row], merchant_id: int, references: Sequence[str]
) -> pl.DataFrame:
    """Lock customers until the transaction ends, made if absent; give their means as ``ENROLLED``.

    Bank accounts are among them: they have ranks too.
    """
    parameters = {"merchant_id": merchant_id, "references": list(references)}
    connection.execute(_SQL["make_customers"], parameters)
    connection.execute(_SQL["lock_customers"], parameters)
    return copy_out(connection, _SQL["cards_of_customers"], parameters, ENROLLED)


def enroll(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Put cards (``ENROLLED``) into wallets that are locked."""
    parameters = {
        "merchant_ids": frame["merchant_id"].to_list(),
        "customers": frame["customer"].to_list(),
        "number_ids": frame["number_id"].to_list(),
        "expiries": frame["expiry"].to_list(),
        "ranks": frame["rank"].to_list(),
    }
    connection.execute(_SQL["enroll"], parameters)
