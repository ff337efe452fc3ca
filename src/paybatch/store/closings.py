"""Closings: closes of day at processors outside, while they are under way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row

from paybatch.store.database import Row
from paybatch.store.settlements import Totals
from paybatch.store.statements import statements

_SQL = statements("closing")

DRAINING, TOLD = "draining", "told"
EXPECTED = (
    *("expected_sale_count", "expected_sale_minor"),
    *("expected_refund_count", "expected_refund_minor"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A close that a worker takes on; ``looks`` fences off those who lost it."""

    merchant_id: int
    operation_id: int
    batch_id: int
    chunk_number: int | None
    looks: int
    created_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Where a close stands."""

    gate_ids: list[int]
    phase: int
    state: str
    drain_until: datetime
    told_at: datetime | None
    expected_sale_count: int | None
    expected_sale_minor: int | None
    expected_refund_count: int | None
    expected_refund_minor: int | None
    left_open: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a processor is told of a gate and a currency; ``result`` None = no answer yet."""

    number: int
    gate_id: int
    currency: str
    key: str
    business_day: date
    sale_count: int
    sale_minor: int
    refund_count: int
    refund_minor: int
    result: str | None = None
    response: str | None = None
    processor_code: str | None = None
    processor_text: str | None = None
    approval_code: str | None = None

    @property
    def totals(self) -> Totals:
        """Its counts and sums."""
        return Totals(
            gate_id=self.gate_id,
            currency=self.currency,
            sale_count=self.sale_count,
            sale_minor=self.sale_minor,
            refund_count=self.refund_count,
            refund_minor=self.refund_minor,
        )


def _of(taken: Taken) -> dict[str, Any]:
    names = ("merchant_id", "operation_id", "looks")
    return {name: getattr(taken, name) for name in names}


def insert_closing(connection: Connection[Row], values: Mapping[str, Any]) -> None:
    """Note that a close begins; its attempt is stored beside."""
    connection.execute(_SQL["insert_closing"], values)


def take_closing(
    connection: Connection[Row],
    now: datetime,
    *,
    until: datetime,
    connectors: Sequence[str],
    operation_id: int | None = None,
) -> Taken | None:
    """Take a close that is to go on now, any or this one; ours until a time."""
    parameters = {
        "now": now,
        "until": until,
        "operation_id": operation_id,
        "connectors": list(connectors),
    }
    with connection.cursor(row_factory=class_row(Taken)) as cursor:
        return cursor.execute(_SQL["take_closing"], parameters).fetchone()


def hold_closing(connection: Connection[Row], taken: Taken) -> Closing | None:
    """Lock a close and give where it stands; None = it is over, or somebody else has it."""
    with connection.cursor(row_factory=class_row(Closing)) as cursor:
        return cursor.execute(_SQL["hold_closing"], _of(taken)).fetchone()


def is_closing(connection: Connection[Row], merchant_id: int, operation_id: int) -> bool:
    """Tell whether an operation is a close that is under way."""
    parameters = {"merchant_id": merchant_id, "operation_id": operation_id}
    row = connection.execute(_SQL["is_closing"], parameters).fetchone()
    return bool(row and row[0])


def under_way(connection: Connection[Row], merchant_id: int, gate_ids: Sequence[int]) -> list[int]:
    """Give the operations of the closes that are under way at any of these gates."""
    parameters = {"merchant_id": merchant_id, "gate_ids": list(gate_ids)}
    return [int(row[0]) for row in connection.execute(_SQL["under_way"], parameters).fetchall()]


def calls_in_flight(connection: Connection[Row], merchant_id: int, gate_ids: Sequence[int]) -> bool:
    """Tell whether calls at gates are under way."""
    parameters = {"merchant_id": merchant_id, "gate_ids": list(gate_ids)}
    row = connection.execute(_SQL["calls_in_flight"], parameters).fetchone()
    return bool(row and row[0])


def unknown_at_gates(
    connection: Connection[Row], taken: Taken, gate_ids: Sequence[int], limit: int
) -> list[dict[str, Any]]:
    """Give the first calls at gates that are unknown: operation, act, amount, currency, total."""
    parameters = {**_of(taken), "gate_ids": list(gate_ids), "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["unknown_at_gates"], parameters).fetchall()


def reserve_due(connection: Connection[Row], taken: Taken, gate_ids: Sequence[int]) -> list[Totals]:
    """Reserve what is due at gates for a close; give its totals by gate and currency."""
    with connection.cursor(row_factory=class_row(Totals)) as cursor:
        parameters = {**_of(taken), "gate_ids": list(gate_ids)}
        return cursor.execute(_SQL["reserve_due"], parameters).fetchall()


def release_due(
    connection: Connection[Row], taken: Taken, gate_id: int, currency: str, *, is_settled: bool
) -> None:
    """Settle what was reserved for a gate and a currency, or let go of it."""
    parameters = {**_of(taken), "gate_id": gate_id, "currency": currency, "is_settled": is_settled}
    connection.execute(_SQL["release_due"], parameters)


def tell_closing(
    connection: Connection[Row],
    taken: Taken,
    calls: Sequence[Call],
    left_open: str,
    told_at: datetime,
) -> None:
    """Store what the processors are about to be told; a call may be answered by us already.

    ``told_at`` is when what was due had been reserved.
    """
    parameters = {**_of(taken), "left_open": left_open, "told_at": told_at}
    connection.execute(_SQL["tell_closing"], parameters)
    rows = [
        {**_of(taken), **{name: getattr(each, name) for name in Call.__slots__}} for each in calls
    ]
    connection.cursor().executemany(_SQL["insert_call"], rows)


def answer_call(connection: Connection[Row], taken: Taken, answer: Mapping[str, Any]) -> None:
    """Note the answer to a call: ``number, result`` and what the processor said."""
    connection.execute(_SQL["answer_call"], {**_of(taken), **answer})


def list_calls(connection: Connection[Row], taken: Taken) -> list[Call]:
    """List the calls of a close."""
    with connection.cursor(row_factory=class_row(Call)) as cursor:
        return cursor.execute(_SQL["list_calls"], _of(taken)).fetchall()


def end_closing(connection: Connection[Row], taken: Taken) -> None:
    """Forget a close that is over: its outcome and its settlements stay."""
    connection.execute(_SQL["end_calls"], _of(taken))
    connection.execute(_SQL["end_closing"], _of(taken))
