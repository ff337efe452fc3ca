"""Due: what the clock is to do with payments; one function for each statement."""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl
from psycopg import Connection

from paybatch.store.database import Row, copy_out
from paybatch.store.statements import statements

_SQL = statements("due")

DUE = {
    "sender": pl.String(),
    "merchant": pl.String(),
    "merchant_id": pl.Int32(),
    "payment_id": pl.Int64(),
    "kind": pl.String(),
    "due_on": pl.Date(),
}


def open_due(connection: Connection[Row], days: Mapping[int, date], limit: int) -> pl.DataFrame:
    """Read what is due by the day of each gate and was not handed over, shaped as ``DUE``."""
    parameters = {"gate_ids": list(days), "days": list(days.values()), "limit": limit}
    return copy_out(connection, _SQL["open_due"], parameters, DUE)


def drop_idle_due(connection: Connection[Row], day: date) -> None:
    """Forget what is due by a day on payments of which nothing is held any more."""
    connection.execute(_SQL["drop_idle_due"], {"day": day})


def hand_over(connection: Connection[Row], rows: pl.DataFrame, batch_id: int) -> None:
    """Note which system batch does these rows (shaped as ``DUE``)."""
    parameters = {
        "merchant_ids": rows["merchant_id"].to_list(),
        "payment_ids": rows["payment_id"].to_list(),
        "kinds": rows["kind"].to_list(),
        "days": rows["due_on"].to_list(),
        "batch_id": batch_id,
    }
    connection.execute(_SQL["hand_over"], parameters)


def returned_debits(
    connection: Connection[Row], rules: Sequence[tuple[int, str, str, date, date]], limit: int
) -> pl.DataFrame:
    """Read the debits that come back now, shaped as ``DUE`` and with their ``return_code``.

    ``rules`` give, for each gate and bank code, the return code, the last day on which a debit was
    made that comes back, and the gate's own day.
    """
    columns = zip(*rules, strict=True)
    names = ("gate_ids", "bank_codes", "codes", "last_days", "days")
    parameters = {name: list(each) for name, each in zip(names, columns, strict=True)}
    shape = {**DUE, "return_code": pl.String()}
    return copy_out(connection, _SQL["returned_debits"], {**parameters, "limit": limit}, shape)


def lapsed_holds(
    connection: Connection[Row], rules: Sequence[tuple[int, str | None, date, date]], limit: int
) -> pl.DataFrame:
    """Read the payments whose hold is over, shaped as ``DUE``.

    ``rules`` give, for each gate and brand (None = all others), the last day on which a payment was
    made whose hold is over, and the gate's own day.
    """
    columns = list(zip(*rules, strict=True)) or [(), (), (), ()]
    names = ("gate_ids", "brands", "last_days", "days")
    parameters = {name: list(each) for name, each in zip(names, columns, strict=True)}
    return copy_out(connection, _SQL["lapsed_holds"], {**parameters, "limit": limit}, DUE)
