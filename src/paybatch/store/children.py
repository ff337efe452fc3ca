"""Children: operations that a row of a file makes; they stand in its batch behind every line."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row

from paybatch.store.database import Row
from paybatch.store.operations import (
    FILE_LINES_MAX,
    LINES_MAX,
    batch_of,
    id_range,
    join_ranges,
    operation_id,
)
from paybatch.store.statements import statements

_SQL = statements("children")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which payments of a merchant children are made for; amounts in minor units.

    ``payment_ids`` None = every payment of the gates with an open hold, of these business days.
    """

    merchant_id: int
    gate_ids: Sequence[int]
    payment_ids: Sequence[int] | None
    amounts: dict[int, int]
    since_on: date | None
    until_on: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What children of one currency were made: how many, and the sum that they ask for."""

    currency: str
    row_count: int
    differing_count: int
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildTotals:
    """What became of children at a gate in a currency; sums in minor units."""

    gate_id: int
    currency: str
    sale_count: int = 0
    sale_minor: int = 0
    void_count: int = 0
    void_minor: int = 0
    declined_count: int = 0
    failed_count: int = 0
    rejected_count: int = 0
    cancelled_count: int = 0
    unknown_count: int = 0


def insert_children(
    connection: Connection[Row],
    parent_id: int,
    first_line: int,
    chosen: Chosen,
    *,
    kind: str,
    at: datetime,
) -> list[Made]:
    """Make a parent's children, from a line on; give what they are, by currency."""
    parameters = {
        "merchant_id": chosen.merchant_id,
        "gate_ids": list(chosen.gate_ids),
        "chosen_ids": None if chosen.payment_ids is None else list(chosen.payment_ids),
        "differing_ids": list(chosen.amounts),
        "differing_minor": list(chosen.amounts.values()),
        "since_on": chosen.since_on,
        "until_on": chosen.until_on,
        "parent_id": parent_id,
        "first_id": operation_id(batch_of(parent_id), first_line),
        "first_line": first_line,
        "kind": kind,
        "at": at,
    }
    with connection.cursor(row_factory=class_row(Made)) as cursor:
        return cursor.execute(_SQL["insert_children"], parameters).fetchall()


def gates_of_payments(
    connection: Connection[Row], merchant_id: int, payment_ids: Sequence[int]
) -> dict[int, int]:
    """Give the gate of each of a merchant's payments; those that are not there are left out."""
    parameters = {"merchant_id": merchant_id, "payment_ids": list(payment_ids)}
    rows = connection.execute(_SQL["gates_of_payments"], parameters).fetchall()
    return {int(row[0]): int(row[1]) for row in rows}


def has_due(connection: Connection[Row], merchant_id: int, gate_ids: Sequence[int]) -> bool:
    """Tell whether anything at gates waits to be settled."""
    parameters = {"merchant_id": merchant_id, "gate_ids": list(gate_ids)}
    row = connection.execute(_SQL["has_due"], parameters).fetchone()
    return bool(row and row[0])


def next_places(connection: Connection[Row], batch_id: int) -> tuple[int, int]:
    """Give the line of a batch's next child, and the number of its next chunk."""
    row = connection.execute(_SQL["children_of"], {"batch_id": batch_id}).fetchone()
    assert row is not None
    return int(row[0] or FILE_LINES_MAX - 1) + 1, int(row[1] or 0) + 1


def make_room(connection: Connection[Row], batch_id: int, phase: int, phases: int) -> None:
    """Make room for some phases behind one: later chunks move on."""
    parameters = {"batch_id": batch_id, "phase": phase, "phases": phases}
    connection.execute(_SQL["make_room"], parameters)


def totals_of_children(
    connection: Connection[Row], merchant_id: int, parent_id: int, totals_phase: int
) -> list[ChildTotals]:
    """Sum up what became of a parent's children, whose phase is the one before ``totals_phase``."""
    batch_id = batch_of(parent_id)
    parameters: dict[str, Any] = {"batch_id": batch_id, "phase": totals_phase - 1}
    lines = connection.execute(_SQL["lines_of_children"], parameters).fetchone()
    if lines is None or lines[0] is None:
        return []
    parameters = {"merchant_id": merchant_id, **id_range(batch_id, int(lines[0]), int(lines[1]))}
    join_ranges(connection)
    with connection.cursor(row_factory=class_row(ChildTotals)) as cursor:
        return cursor.execute(_SQL["totals_of_children"], parameters).fetchall()


def list_children(
    connection: Connection[Row],
    merchant_ids: Sequence[int],
    batch_id: int,
    *,
    states: Sequence[str] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """List the operations that the rows of a batch made; ``states`` None = of all outcomes."""
    parameters = {
        "merchant_ids": list(merchant_ids),
        **id_range(batch_id, FILE_LINES_MAX, LINES_MAX - 1),
        "states": None if states is None else list(states),
        "limit": limit,
    }
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["list_children"], parameters).fetchall()
