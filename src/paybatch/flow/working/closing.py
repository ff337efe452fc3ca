"""Closing: the end of a gate's business day.

What is due at the gates of a row is settled by one statement, inside a savepoint: where its totals
are not those that were expected, or a processor declines, it is as if nothing had happened.

That is for connectors inside the house. At a processor that is really outside a close is begun
(`begun_close.py`), and goes on when its claim is committed (`flow/sending/close_day.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from paybatch.domain.connector import Connector
from paybatch.domain.effects import CloseDay
from paybatch.domain.ledger import Account
from paybatch.domain.money import decimal_text
from paybatch.domain.reasons import Reason
from paybatch.flow.place import Place
from paybatch.flow.working.replies import held
from paybatch.flow.working.settle import business_day, calendar_day
from paybatch.store import settlements
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.settlements import GateState, Totals

ANSWER = ("response", "processor_code", "processor_text", "approval_code")
_EXPECTED = ("sale_count", "sale_minor", "refund_count", "refund_minor")
_CALLED = {
    "operation": pl.Int64(),
    "key": pl.String(),
    "verb": pl.String(),
    "mode": pl.String(),
    "amount_minor": pl.Int64(),
    "currency": pl.String(),
    "sale_count": pl.Int64(),
    "refund_count": pl.Int64(),
    "refund_minor": pl.Int64(),
}
# Columns of every call; a close of day has no means.
NO_MEANS = {
    **dict.fromkeys(("brand", "masked", "cvv", "test_value", "bank_code"), pl.String()),
    **dict.fromkeys(("account_type", "sec_code", "payment_test_value"), pl.String()),
    "expiry": pl.Int16(),
    "payment_key": pl.String(),
}
_MOVED = {
    "merchant_id": pl.Int32(),
    "gate_id": pl.Int32(),
    "currency": pl.String(),
    "operation_id": pl.Int64(),
    "number": pl.Int16(),
    "debit": pl.String(),
    "credit": pl.String(),
    "amount_minor": pl.Int64(),
}


class RefusedError(Exception):
    """A row is refused; ``found`` is told behind the reason's sentence."""

    def __init__(self, reason: Reason, column: str, value: str, found: str = "") -> None:
        super().__init__(reason.sentence)
        self.reason, self.column, self.value, self.found = reason, column, value, found


class _DeclinedError(Exception):
    """A processor did not take a close."""

    def __init__(self, gate: Gate, answer: Mapping[str, str | None]) -> None:
        super().__init__(gate.name)
        self.gate, self.answer = gate, answer


@dataclass(frozen=True)
class Closed:
    """What came of a close: the message, a processor's answer, transfers and totals."""

    is_closed: bool
    message: str
    answer: Mapping[str, str | None]
    transfers: pl.DataFrame
    totals: Sequence[Totals] = ()


@dataclass(frozen=True)
class Day:
    """The day of a gate that is closed: its settlement's number, its totals and the answers."""

    gate: Gate
    day: date
    number: int
    totals: list[Totals]
    answers: list[Mapping[str, str | None]]


def close(
    connection: Connection[Row],
    place: Place,
    gates: Sequence[Gate],
    row: Mapping[str, Any],
    *,
    effect: CloseDay,
    now: datetime,
) -> Closed:
    """Close the day of gates of one merchant; ``row`` is the operation with its details.

    Raises:
        RefusedError: A gate is closing or its connector is not installed, or the totals are not
            those that the row expects.
        ConnectorError: A connector does not keep its contract.
    """
    merchant_id, ids = gates[0].merchant_id, [gate.id for gate in gates]
    connectors = {gate.id: place.connector(gate.id) for gate in gates}
    states = locked_open(connection, place, gates)
    try:
        with connection.transaction():
            due = settlements.settle_payments(connection, merchant_id, ids)
            check_totals(row, due)
            days = []
            for gate in gates:
                state = states[gate.id]
                day = business_day(replace(gate, business_day=state.business_day), now)
                totals = totals_of(gate, due)
                asked = _Asked(gate, connectors[gate.id], row["id"], effect)
                answers = [_answer(asked, each) for each in totals]
                days.append(Day(gate, day, state.close_count + 1, totals, answers))
    except _DeclinedError as error:
        settlements.shut_gates(connection, merchant_id, ids, row["id"])
        told = f"gate {error.gate.name}: its processor did not take the close; nothing moved"
        return Closed(is_closed=False, message=told, answer=error.answer, transfers=pl.DataFrame())
    for each in days:
        opened = next_day(each, effect, now)
        settlements.open_day(connection, merchant_id, each.gate.id, opened)
        settlements.insert_settlements(connection, kept(each, row["id"], now))
    first = next(answer for each in days for answer in each.answers)
    told = "; ".join(told_of(each) for each in days)
    totals = [total for each in days for total in each.totals]
    return Closed(
        is_closed=True, message=told, answer=first, transfers=moved(days, row["id"]), totals=totals
    )


def locked_open(
    connection: Connection[Row], place: Place, gates: Sequence[Gate]
) -> dict[int, GateState]:
    """Lock the gates of a close, and give where they stand.

    Raises:
        RefusedError: A gate is closing, or its connector is not installed.
    """
    merchant_id, ids = gates[0].merchant_id, [gate.id for gate in gates]
    absent = sorted(gate.name for gate in gates if not place.connector(gate.id).verbs)
    if absent:
        raise RefusedError(Reason.NOT_SUPPORTED, "gate", ", ".join(absent))
    states = {each.id: each for each in settlements.lock_gates(connection, merchant_id, ids)}
    stuck = sorted(gate.name for gate in gates if states[gate.id].state != "open")
    if stuck:
        raise RefusedError(Reason.GATE_CLOSING, "gate", ", ".join(stuck))
    return states


def next_day(day: Day, effect: CloseDay, now: datetime) -> date:
    """Give the business day that a close opens.

    Not the one behind the day that was closed: that may not have begun, as after a second close.
    """
    return calendar_day(day.gate, now) + timedelta(days=1) if effect.opens_next else day.day


def check_totals(row: Mapping[str, Any], due: Sequence[Totals]) -> None:
    """Hold the totals against those that a row expects, over all gates.

    Raises:
        RefusedError: They differ, or are of several currencies.
    """
    currencies = sorted({each.currency for each in due})
    for name in _EXPECTED:
        column = f"expected_{name}"
        expected = row.get(column)
        if expected is None:
            continue
        if name.endswith("_minor") and len(currencies) > 1:
            found = f" ({', '.join(currencies)})"
            raise RefusedError(Reason.SUMS_OF_CURRENCIES, column, str(expected), found)
        total = sum(getattr(each, name) for each in due)
        if total != expected:
            raise RefusedError(Reason.TOTALS_DIFFER, column, str(expected), f" (found: {total})")


def totals_of(gate: Gate, due: Sequence[Totals]) -> list[Totals]:
    """Give a gate's totals in each of its currencies, also in those with nothing due."""
    found = {each.currency: each for each in due if each.gate_id == gate.id}
    names = sorted({*gate.currencies, *found})
    return [found.get(name, Totals(gate_id=gate.id, currency=name)) for name in names]


@dataclass(frozen=True)
class _Asked:
    """What the calls about a gate have in common."""

    gate: Gate
    connector: Connector
    operation: int
    effect: CloseDay


def _answer(asked: _Asked, totals: Totals) -> Mapping[str, str | None]:
    """Tell a gate's processor its totals, where the connector can; give the answer.

    Raises:
        _DeclinedError: It does not take them.
    """
    connector = asked.connector
    if asked.effect.verb not in connector.verbs:
        return {**dict.fromkeys(ANSWER), "response": "approved"}
    call = _call(asked, totals)
    reply = held(connector, call, connector.send(call)).row(0, named=True)
    answer = {name: reply[name] for name in ANSWER}
    if reply["result"] != "approved":
        raise _DeclinedError(asked.gate, answer)
    return answer


def _call(asked: _Asked, totals: Totals) -> pl.DataFrame:
    values = {
        "operation": asked.operation,
        "key": f"{asked.operation}-{asked.gate.id}-{totals.currency}-1",
        "verb": asked.effect.verb.value,
        "mode": asked.gate.mode,
        "amount_minor": totals.sale_minor,
        "currency": totals.currency,
        "sale_count": totals.sale_count,
        "refund_count": totals.refund_count,
        "refund_minor": totals.refund_minor,
    }
    schema = {**_CALLED, **NO_MEANS, **dict.fromkeys(asked.connector.wants, pl.String())}
    return pl.DataFrame([values], schema=schema)


def kept(
    day: Day, operation: int, now: datetime, reached_at: datetime | None = None
) -> list[dict[str, Any]]:
    """Give the rows of table ``settlement``; it takes what was due until now, or until a time."""
    return [
        {
            "merchant_id": day.gate.merchant_id,
            "gate_id": day.gate.id,
            "number": day.number,
            "currency": each.currency,
            "operation_id": operation,
            "business_day": day.day,
            **{name: getattr(each, name) for name in _EXPECTED},
            "net_minor": each.net_minor,
            **answer,
            "reached_at": reached_at or now,
            "created_at": now,
        }
        for each, answer in zip(day.totals, day.answers, strict=True)
    ]


def moved(days: Sequence[Day], operation: int) -> pl.DataFrame:
    """Give the transfers: sales from receivable to clearing, refunds the other way."""
    sides = [
        (day.gate.merchant_id, each, *accounts, amount)
        for day in days
        for each in day.totals
        for accounts, amount in (
            ((Account.CLEARING, Account.RECEIVABLE), each.sale_minor),
            ((Account.RECEIVABLE, Account.CLEARING), each.refund_minor),
        )
        if amount
    ]
    rows = [
        (
            merchant,
            each.gate_id,
            each.currency,
            operation,
            number,
            debit.value,
            credit.value,
            amount,
        )
        for number, (merchant, each, debit, credit, amount) in enumerate(sides)
    ]
    return pl.DataFrame(rows, schema=_MOVED, orient="row")


def told_of(day: Day) -> str:
    """Say what a close moved: its day, its number and its totals in each currency."""
    totals = ", ".join(
        f"{each.currency} {decimal_text(each.net_minor, each.currency)} net"
        f" (sales {each.sale_count}: {decimal_text(each.sale_minor, each.currency)},"
        f" refunds {each.refund_count}: {decimal_text(each.refund_minor, each.currency)})"
        for each in day.totals
    )
    return f"gate {day.gate.name}, {day.day}, settlement {day.number}: {totals}"
