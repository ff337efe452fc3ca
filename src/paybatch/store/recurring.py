"""Recurring payments: their terms, and what the clock reads; one function for each statement."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row, copy_out
from paybatch.store.recurring_dates import Days, by_gate, keyed
from paybatch.store.statements import statements

_SQL = statements("recurring")

DUE = {
    "merchant_id": pl.Int32(),
    "recurring_id": pl.Int64(),
    "next_on": pl.Date(),
    "day": pl.Date(),
    "start_on": pl.Date(),
    "period": pl.String(),
    "every": pl.Int16(),
    "finish_on": pl.Date(),
    "finish_count": pl.Int16(),
    "back_on": pl.Date(),
    "terms_id": pl.Int64(),
    "amount_minor": pl.Int64(),
    "amount_to_minor": pl.Int64(),
    "amounts": pl.String(),
    "date_count": pl.Int64(),
    "terms_count": pl.Int64(),
}
ENDED = {
    "sender": pl.String(),
    "merchant": pl.String(),
    "merchant_id": pl.Int32(),
    "recurring_id": pl.Int64(),
    "due_on": pl.Date(),
}


def lock_due(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Lock the recurring payments of which a date has come, shaped as ``DUE``."""
    return copy_out(connection, _SQL["lock_due"], by_gate(days, limit), DUE)


def set_next(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Note which date of each recurring payment comes next (``next_on``)."""
    connection.execute(_SQL["set_next"], {**keyed(rows), "next_on": rows["next_on"].to_list()})


def ended(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Read the recurring payments whose last date is done with, shaped as ``ENDED``."""
    return copy_out(connection, _SQL["ended"], by_gate(days, limit), ENDED)


def retire(connection: Connection[Row], day: date) -> None:
    """Take what was stopped or has finished by a day off the clock's list."""
    connection.execute(_SQL["retire"], {"day": day})


def scheme_ids(
    connection: Connection[Row], keys: pl.DataFrame, columns: Sequence[tuple[str, str]]
) -> pl.DataFrame:
    """Give ``merchant_id, payment_id, found``: the scheme's id of the first payment of a series.

    ``columns`` name, for each dialect, the column of a file that gives it.
    """
    parameters = {
        "merchant_ids": keys["merchant_id"].to_list(),
        "payment_ids": keys["payment_id"].to_list(),
        "dialects": [dialect for dialect, _ in columns],
        "columns": [column for _, column in columns],
    }
    schema = {"merchant_id": pl.Int32(), "payment_id": pl.Int64(), "found": pl.String()}
    return copy_out(connection, _SQL["scheme_ids"], parameters, schema).drop_nulls()


def list_recurring(
    connection: Connection[Row],
    merchant_ids: Sequence[int],
    *,
    recurring_id: int | None = None,
    state: str | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """List recurring payments of these merchants, newest first; or one of them."""
    parameters = {
        "merchant_ids": list(merchant_ids),
        "id": recurring_id,
        "state": state,
        "limit": limit,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["list_recurring"], parameters).fetchall()
