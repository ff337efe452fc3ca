"""Sources: payments of one merchant whose means a new payment of another one takes."""

from collections.abc import Sequence

import polars as pl
from psycopg import Connection

from paybatch.store.database import Row, copy_out
from paybatch.store.statements import statements

_SQL = statements("source")

SOURCES = {
    "source_id": pl.Int32(),
    "source_payment_id": pl.Int64(),
    "source_gate_id": pl.Int32(),
    "source_state": pl.String(),
    "source_number_id": pl.String(),
    "source_expiry": pl.Int16(),
    "source_brand": pl.String(),
    "source_masked": pl.String(),
    "source_bank_code": pl.String(),
}


def sources(connection: Connection[Row], keys: pl.DataFrame) -> pl.DataFrame:
    """Read payments by ``source_id`` (their merchant), ``source_payment_id``: ``SOURCES``."""
    parameters = {
        "merchant_ids": keys["source_id"].to_list(),
        "payment_ids": keys["source_payment_id"].to_list(),
    }
    return copy_out(connection, _SQL["sources"], parameters, SOURCES)


def share_numbers(connection: Connection[Row], shared: Sequence[tuple[int, int, str]]) -> None:
    """Give merchants numbers of others: (merchant, the one that has it, number)."""
    rows = [
        {"merchant_id": merchant, "source_id": source, "number_id": number}
        for merchant, source, number in sorted(set(shared))
    ]
    connection.cursor().executemany(_SQL["share_number"], rows)
