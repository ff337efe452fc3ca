"""Reconcile: what our books say of the calls of a gate, beside its processor's settlement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
from psycopg import Connection
from psycopg.rows import class_row

from paybatch.store.database import Row, copy_out
from paybatch.store.statements import statements

_SQL = statements("reconcile")

CALLS = {
    "key": pl.String(),
    "operation_id": pl.Int64(),
    "act": pl.String(),
    "state": pl.String(),
    "own_currency": pl.String(),
    "is_payout": pl.Boolean(),
    "here_minor": pl.Int64(),
    "response": pl.String(),
    "settled_epoch": pl.Float64(),
    "moved_minor": pl.Int64(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From when (None = the beginning) to when a settlement reached in a currency, and its sums."""

    number: int
    currency: str
    sale_minor: int
    refund_minor: int
    since: datetime | None
    until: datetime


def gate_calls(
    connection: Connection[Row],
    merchant_id: int,
    gate_id: int,
    since: datetime | None,
    keys: Sequence[str] = (),
) -> pl.DataFrame:
    """Give the calls of a gate from a time on, or with these keys, shaped as ``CALLS``."""
    parameters: dict[str, object] = {"merchant_id": merchant_id, "gate_id": gate_id}
    parameters |= {"since": since, "keys": list(keys)}
    return copy_out(connection, _SQL["gate_calls"], parameters, CALLS)


def settlement_window(
    connection: Connection[Row], merchant_id: int, gate_id: int, number: int | None
) -> list[Window]:
    """Give how far a settlement of a gate reached, by currency; None = the last one."""
    parameters = {"merchant_id": merchant_id, "gate_id": gate_id, "number": number}
    with connection.cursor(row_factory=class_row(Window)) as cursor:
        return cursor.execute(_SQL["settlement_window"], parameters).fetchall()
