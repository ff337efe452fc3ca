"""Due dates of recurring payments that came; one function for each statement."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row, copy_out
from paybatch.store.statements import statements

_SQL = statements("recurring_date")

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
Days = Mapping[int, date]  # of each gate


def by_gate(days: Days, limit: int) -> dict[str, Any]:
    """Give the day of each gate as parameters of a statement."""
    return {"gate_ids": list(days), "days": list(days.values()), "limit": limit}


def answered_dates(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Lock the dates whose charge has its answer, shaped as ``ANSWERED``.

    ``state`` is that of the operation; null = it was never made.
    """
    return copy_out(connection, _SQL["answered_dates"], by_gate(days, limit), ANSWERED)


def conclude_dates(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Note how dates (``ANSWERED``) ended: ``new_state``, ``attempt``, ``attempt_on, new_key``."""
    parameters = {
        **keyed(rows),
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


def give_up_older(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Give up what is left of the dates of these recurring payments."""
    connection.execute(_SQL["give_up_older"], keyed(rows))


def add_dates(connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Keep dates that are to be charged: ``due_on, amount_minor, terms_id, day, key``."""
    parameters = {
        **keyed(rows),
        "due": rows["due_on"].to_list(),
        "amounts": rows["amount_minor"].to_list(),
        "terms_ids": rows["terms_id"].to_list(),
        "days": rows["day"].to_list(),
        "keys": rows["key"].to_list(),
    }
    connection.execute(_SQL["add_dates"], parameters)


def open_dates(connection: Connection[Row], days: Days, limit: int) -> pl.DataFrame:
    """Read the charges that are to be made, shaped as ``OPEN``."""
    return copy_out(connection, _SQL["open_dates"], by_gate(days, limit), OPEN)


def hand_over_dates(connection: Connection[Row], rows: pl.DataFrame, batch_id: int) -> None:
    """Note which system batch makes these charges (``OPEN``)."""
    parameters = {
        **keyed(rows),
        "due": rows["due_on"].to_list(),
        "keys": rows["key"].to_list(),
        "batch_id": batch_id,
    }
    connection.execute(_SQL["hand_over_dates"], parameters)


def dates_of(
    connection: Connection[Row], merchant_id: int, recurring_id: int, limit: int
) -> list[dict[str, Any]]:
    """List the dates of a recurring payment that came, newest first."""
    parameters = {"merchant_id": merchant_id, "id": recurring_id, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["dates_of"], parameters).fetchall()


def keyed(rows: pl.DataFrame) -> dict[str, Any]:
    """Give recurring payments as parameters of a statement."""
    return {
        "merchant_ids": rows["merchant_id"].to_list(),
        "recurring_ids": rows["recurring_id"].to_list(),
    }
