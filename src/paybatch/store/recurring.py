"""Recurring payments: their dates, and what the clock does; one function for each statement."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row, copy_out
from paybatch.store.statements import statements

_SQL = statements("recurring")

ANSWERED = {
    "merchant_id": pl.Int32(),
    "recurring_id": pl.Int64(),
    "due_on": pl.Date(),
    "attempt": pl.Int16(),
    "key": pl.String(),
    "attempts": pl.Int16(),
    "state": pl.String(),
    "response": pl.String(),
    "day": pl.Date(),
}
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
PAYER = (
    *("billing_first_name", "billing_last_name", "billing_address_line_1", "billing_city"),
    *("billing_state", "billing_postal_code", "billing_country", "billing_phone", "email"),
    "customer_ip",
)
OPEN = {
    "sender": pl.String(),
    "merchant": pl.String(),
    "merchant_id": pl.Int32(),
    "recurring_id": pl.Int64(),
    "due_on": pl.Date(),
    "attempt": pl.Int16(),
    "key": pl.String(),
    "amount_minor": pl.Int64(),
    "currency": pl.String(),
    "scheme_transaction_id": pl.String(),
    **dict.fromkeys(PAYER, pl.String()),
}
ENDED = {
    "sender": pl.String(),
    "merchant": pl.String(),
    "merchant_id": pl.Int32(),
    "recurring_id": pl.Int64(),
    "due_on": pl.Date(),
}
Days = Mapping[int, date]  # of each gate


def _by_gate(days: Days, limit: int) -> dict[str, Any]:
    return {"gate_ids": list(days), "days": list(days.values()), "limit": limit}


def answered_dates(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Lock the dates whose charge has its answer, shaped as ``ANSWERED``.

    ``state`` is that of the operation; null = it was never made.
    """
    return copy_out(connection, _SQL["answered_dates"], _by_gate(days, limit), ANSWERED)


def conclude_dates(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Note how dates (``ANSWERED``) ended: ``new_state``, ``attempt``, ``attempt_on, new_key``."""
    parameters = {
        **_keyed(rows),
        "keys": rows["key"].to_list(),
        "days": rows["due_on"].to_list(),
        "states": rows["new_state"].to_list(),
        "responses": rows["response"].to_list(),
        "attempts": rows["attempt"].to_list(),
        "attempts_on": rows["attempt_on"].to_list(),
        "new_keys": rows["new_key"].to_list(),
    }
    connection.execute(_SQL["conclude_dates"], parameters)


def drop_dates(connection: Connection[Row]) -> None:
    """Give up open dates of what is not charged any more, and those from before a pause."""
    connection.execute(_SQL["drop_dates"])


def lock_due(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Lock the recurring payments of which a date has come, shaped as ``DUE``."""
    return copy_out(connection, _SQL["lock_due"], _by_gate(days, limit), DUE)


def give_up_older(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Give up what is left of the dates of these recurring payments."""
    connection.execute(_SQL["give_up_older"], _keyed(rows))


def add_dates(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Keep dates that are to be charged: ``due_on, amount_minor, terms_id, day, key``."""
    parameters = {
        **_keyed(rows),
        "due": rows["due_on"].to_list(),
        "amounts": rows["amount_minor"].to_list(),
        "terms_ids": rows["terms_id"].to_list(),
        "days": rows["day"].to_list(),
        "keys": rows["key"].to_list(),
    }
    connection.execute(_SQL["add_dates"], parameters)


def set_next(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Note which date of each recurring payment comes next (``next_on``)."""
    connection.execute(_SQL["set_next"], {**_keyed(rows), "next_on": rows["next_on"].to_list()})


def open_dates(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Read the charges that are to be made, shaped as ``OPEN``."""
    return copy_out(connection, _SQL["open_dates"], _by_gate(days, limit), OPEN)


def hand_over_dates(connection: Connection[Row], rows: pl.DataFrame, batch_id: int) -> None:
    """Note which system batch makes these charges (``OPEN``)."""
    parameters = {
        **_keyed(rows),
        "due": rows["due_on"].to_list(),
        "keys": rows["key"].to_list(),
        "batch_id": batch_id,
    }
    connection.execute(_SQL["hand_over_dates"], parameters)


def ended(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Read the recurring payments whose last date is done with, shaped as ``ENDED``."""
    return copy_out(connection, _SQL["ended"], _by_gate(days, limit), ENDED)


def retire(connection: Connection[Row], day: date) -> None:
    """Take what was stopped or has finished by a day off the clock's list."""
    connection.execute(_SQL["retire"], {"day": day})


def _keyed(rows: pl.DataFrame) -> dict[str, Any]:
    return {
        "merchant_ids": rows["merchant_id"].to_list(),
        "recurring_ids": rows["recurring_id"].to_list(),
    }


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
    return copy_out(connection, _SQL["scheme_ids"], parameters, schema)


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


def dates_of(
    connection: Connection[Row], merchant_id: int, recurring_id: int, limit: int
) -> list[dict[str, Any]]:
    """List the dates of a recurring payment that came, newest first."""
    parameters = {"merchant_id": merchant_id, "id": recurring_id, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["dates_of"], parameters).fetchall()
