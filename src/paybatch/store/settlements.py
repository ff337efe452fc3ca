"""Settlements: what the closes of a gate's day moved, and the state of gates while they close."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row

from paybatch.store.database import Row
from paybatch.store.statements import statements

_SQL = statements("settlement")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateState:
    """Where a gate stands: open or closing, the day a close opened, how many closes it had."""

    id: int
    state: str
    business_day: date | None
    close_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What is settled at a gate in a currency: payments with sales and refunds, and their sums."""

    gate_id: int
    currency: str
    sale_count: int = 0
    sale_minor: int = 0
    refund_count: int = 0
    refund_minor: int = 0

    @property
    def net_minor(self) -> int:
        """Sales less refunds."""
        return self.sale_minor - self.refund_minor


def _of(merchant_id: int, gate_ids: Sequence[int]) -> dict[str, Any]:
    return {"merchant_id": merchant_id, "gate_ids": list(gate_ids)}


def lock_gates(
    connection: Connection[Row], merchant_id: int, gate_ids: Sequence[int]
) -> list[GateState]:
    """Lock gates until the transaction ends; give where they stand, in the order of their ids."""
    with connection.cursor(row_factory=class_row(GateState)) as cursor:
        return cursor.execute(_SQL["lock_gates"], _of(merchant_id, gate_ids)).fetchall()


def shut_gates(
    connection: Connection[Row], merchant_id: int, gate_ids: Sequence[int], closed_by: int
) -> None:
    """Let open gates be closing, by an operation."""
    parameters = {**_of(merchant_id, gate_ids), "closed_by": closed_by}
    connection.execute(_SQL["shut_gates"], parameters)


def open_gates(
    connection: Connection[Row],
    merchant_id: int,
    gate_ids: Sequence[int],
    closed_by: int | None = None,
) -> list[str]:
    """Open gates that are closing by an operation, None = by any; give their names."""
    parameters = {**_of(merchant_id, gate_ids), "closed_by": closed_by}
    rows = connection.execute(_SQL["open_gates"], parameters).fetchall()
    return sorted(str(row[0]) for row in rows)


def open_day(connection: Connection[Row], merchant_id: int, gate_id: int, day: date) -> None:
    """Open a gate's business day behind a close."""
    parameters = {"merchant_id": merchant_id, "gate_id": gate_id, "business_day": day}
    connection.execute(_SQL["open_day"], parameters)


def settle_payments(
    connection: Connection[Row], merchant_id: int, gate_ids: Sequence[int]
) -> list[Totals]:
    """Settle everything that is due at gates; give its totals by gate and currency."""
    with connection.cursor(row_factory=class_row(Totals)) as cursor:
        return cursor.execute(_SQL["settle_payments"], _of(merchant_id, gate_ids)).fetchall()


def insert_settlements(
    connection: Connection[Row], settlements: Sequence[Mapping[str, Any]]
) -> None:
    """Keep what a close moved, a row for each gate and currency."""
    connection.cursor().executemany(_SQL["insert_settlement"], settlements)


def last_settlements(
    connection: Connection[Row], merchant_ids: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """Give the last close of each gate of these merchants: a row for each currency."""
    found: dict[int, list[dict[str, Any]]] = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        parameters = {"merchant_ids": list(merchant_ids)}
        for row in cursor.execute(_SQL["last_settlements"], parameters).fetchall():
            found.setdefault(row.pop("gate_id"), []).append(row)
    return found
