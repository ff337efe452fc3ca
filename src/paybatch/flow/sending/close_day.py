"""Close day: how a close at processors outside goes on when its claim is committed.

Calls in flight drain for a while. Then what is due is reserved and each processor is told its
totals, in a call for each gate and currency with a key of its own. What it approves is settled,
what it does not is let go of. Each step is a transaction, and none is open while a processor is
asked; whoever is killed, the close is taken on by the next from where it stands.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import polars as pl
import structlog

from paybatch import registry
from paybatch.domain.connector import Response, Result
from paybatch.domain.effects import Expand
from paybatch.domain.masking import mask_text
from paybatch.domain.money import decimal_text
from paybatch.flow.engine import Engine
from paybatch.flow.place import place_of_merchants
from paybatch.flow.sending.asked_close import NO_REPLIES, Room, effect_of, replies_of
from paybatch.flow.sending.recover import GUARD, next_look
from paybatch.flow.tallies import left, tally
from paybatch.flow.waking import wake, wake_merchant
from paybatch.flow.working.closing import (
    ANSWER,
    Closed,
    Day,
    RefusedError,
    check_totals,
    kept,
    moved,
    next_day,
    told_of,
    totals_of,
)
from paybatch.flow.working.expanding import outcome_of
from paybatch.flow.working.gates import as_answered, as_refused, settled_of
from paybatch.flow.working.replies import KNOWN, ConnectorError
from paybatch.flow.working.row_errors import store_errors
from paybatch.flow.working.settle import Settled, business_day, store
from paybatch.store import attempts, closings, operations, settlements
from paybatch.store.children import totals_of_children
from paybatch.store.closings import DRAINING, Call, Closing, Taken
from paybatch.store.database import Connection, ConstraintError, DatabaseBusyError, Row
from paybatch.store.directory import Gate
from paybatch.store.public_ids import Shape

_log = structlog.get_logger(__name__)
DRAIN_POLL_SECONDS = 0.1
LISTED_MAX = 10  # of what is unknown at a gate, so many operations are named


def carry_on_all(engine: Engine) -> int:
    """Take every close on that is to go on now; give how many have ended."""
    ended = 0
    while not engine.stopping.is_set():
        found = _take(engine, None)  # one that is not answered now is asked about later
        if found is None:
            break
        try:
            ended += _carried_on(engine, found) is not None
        except (ConnectorError, ConstraintError, DatabaseBusyError) as error:
            _put_off(engine, found, error)
    return ended


def _put_off(engine: Engine, taken: Taken, error: Exception) -> None:
    """Let a close be taken on again later, by the schedule of what is unknown: then a person."""
    place = place_of_merchants(engine, [taken.merchant_id])
    with engine.database.transaction() as connection:
        closing = closings.hold_closing(connection, taken)
        if closing is None:
            return
        row = {name: getattr(taken, name) for name in ("merchant_id", "operation_id", "looks")}
        row["gate_id"] = closing.gate_ids[0]
        then = next_look(place, row, engine.clock())
        attempts.set_next_look(connection, row, then)
    said = mask_text(str(error).partition("\n")[0])
    _log.error("close put off", operation=_public(engine, taken.operation_id), said=said)


def carry_on(engine: Engine, operation_id: int) -> pl.DataFrame | None:
    """Take one close on as far as it goes now; give its outcome, None = it is not known yet."""
    found = _take(engine, operation_id)
    return _carried_on(engine, found) if found is not None else None


def _take(engine: Engine, operation_id: int | None) -> Taken | None:
    now = engine.clock()
    with engine.database.transaction() as connection:
        return closings.take_closing(
            connection,
            now,
            until=now + GUARD,
            connectors=list(registry.connectors()),
            operation_id=operation_id,
        )


def _carried_on(engine: Engine, taken: Taken) -> pl.DataFrame | None:
    room = Room(engine, place_of_merchants(engine, [taken.merchant_id]), taken)
    with engine.database.transaction() as connection:
        closing = closings.hold_closing(connection, taken)
    if closing is None:
        return None
    is_new = closing.state == DRAINING
    if is_new:
        _drain(room, closing)
        refused = _tell(room)
        if refused is not None:
            return refused
    since = engine.clock() if is_new else None
    with engine.database.transaction() as connection:
        if closings.hold_closing(connection, taken) is None:
            return None
        calls = [each for each in closings.list_calls(connection, taken) if each.result is None]
        if since is not None:
            row = {"merchant_id": taken.merchant_id, "operation_id": taken.operation_id}
            row["looks"] = taken.looks
            attempts.set_next_look(connection, row, since + GUARD, sent_at=since)
    replies = replies_of(room, calls, since, closing.drain_until) if calls else NO_REPLIES
    return _conclude(room, replies, since)


def _drain(room: Room, closing: Closing) -> None:
    """Wait until no call at the gates is under way, but not for long."""
    left_seconds = (closing.drain_until - room.engine.clock()).total_seconds()
    until = time.monotonic() + left_seconds
    while True:
        with room.engine.database.transaction() as connection:
            merchant_id = room.taken.merchant_id
            is_busy = closings.calls_in_flight(connection, merchant_id, closing.gate_ids)
        if not is_busy or time.monotonic() >= until:
            return
        time.sleep(DRAIN_POLL_SECONDS)


def _tell(room: Room) -> pl.DataFrame | None:
    """Reserve what is due and store what the processors are told; give the outcome if refused."""
    engine, taken = room.engine, room.taken
    with engine.database.transaction() as connection:
        closing = closings.hold_closing(connection, taken)
        if closing is None or closing.state != DRAINING:
            return None
        states = settlements.lock_gates(connection, taken.merchant_id, closing.gate_ids)
        days = {each.id: each.business_day for each in states}
        try:
            with connection.transaction():
                due, now = closings.reserve_due(connection, taken, closing.gate_ids), engine.clock()
                check_totals({name: getattr(closing, name) for name in closings.EXPECTED}, due)
        except RefusedError as error:
            _open(room, connection, closing.gate_ids)
            return _end(room, connection, as_refused(error), pl.DataFrame())
        row = room.row(connection).row(0, named=True)
        calls: list[Call] = []
        for gate in room.gates(closing):
            day = business_day(replace(gate, business_day=days[gate.id]), now)
            for totals in totals_of(gate, due):
                number = len(calls) + 1
                sums = {name: getattr(totals, name) for name in _SUMS}
                key = f"{_public(engine, taken.operation_id)}-{number}"
                is_asked = effect_of(row["kind"]).verb in room.place.connector(gate.id).verbs
                done = None if is_asked else Result.APPROVED.value
                calls.append(
                    Call(
                        number=number,
                        gate_id=gate.id,
                        currency=totals.currency,
                        key=key,
                        business_day=day,
                        **sums,
                        result=done,
                        response=done,
                    )
                )
        found = closings.unknown_at_gates(connection, taken, closing.gate_ids, LISTED_MAX)
        closings.tell_closing(connection, taken, calls, _left_open(engine, found), now)
    return None


_SUMS = ("sale_count", "sale_minor", "refund_count", "refund_minor")


def _public(engine: Engine, operation_id: int) -> str:
    return engine.public_ids.encode_one(operation_id, "op", Shape.NATIVE)


def _left_open(engine: Engine, found: Sequence[Mapping[str, Any]]) -> str:
    """Say what is unknown at the gates."""
    if not found:
        return ""
    told = [
        f"{_public(engine, each['operation_id'])} {each['act']}"
        + (
            f" {each['currency']} {decimal_text(each['amount_minor'], each['currency'])}"
            if each["amount_minor"] is not None and each["currency"]
            else ""
        )
        for each in found
    ]
    total = found[0]["total"]
    more = [f"and {total - len(told)} more"] if total > len(told) else []
    listed = ", ".join([*told, *more])
    return f"not known yet, and left to the day in which it settles: {listed}"


def _conclude(room: Room, replies: pl.DataFrame, since: datetime | None) -> pl.DataFrame | None:
    """Keep answers to calls (sent ``since`` then), and end the close if all came; its outcome."""
    engine, taken = room.engine, room.taken
    with engine.database.transaction() as connection:
        closing = closings.hold_closing(connection, taken)
        if closing is None:
            return None
        for each in replies.iter_rows(named=True):
            if each["result"] in KNOWN and each["response"] != Response.NOT_TAKEN.value:
                told = {name: each[name] for name in ("result", *ANSWER)}
                closings.answer_call(connection, taken, {"number": each["operation"], **told})
        calls = closings.list_calls(connection, taken)
        open_ = [each for each in calls if each.result is None]
        if not open_:
            return finish(room, connection, closing, calls)
        row = {
            "merchant_id": taken.merchant_id,
            "operation_id": taken.operation_id,
            "gate_id": open_[0].gate_id,
            "looks": taken.looks,
        }
        now = engine.clock()
        then, sent_at = next_look(room.place, row, now), now if since is not None else None
        attempts.set_next_look(connection, row, then, sent_at=sent_at)
    return None


def finish(
    room: Room, connection: Connection[Row], closing: Closing, calls: Sequence[Call]
) -> pl.DataFrame:
    """Settle what processors took, let go of the rest, and open the next day where all is taken."""
    taken, now = room.taken, room.engine.clock()
    states = settlements.lock_gates(connection, taken.merchant_id, closing.gate_ids)
    counts = {each.id: each.close_count for each in states}
    row = room.row(connection).row(0, named=True)
    days, shut, lost = list[Day](), list[int](), list[tuple[Gate, Call]]()
    for call in calls:
        is_settled = call.result == Result.APPROVED.value
        pair = (call.gate_id, call.currency)
        closings.release_due(connection, taken, *pair, is_settled=is_settled)
    for gate in room.gates(closing):
        own = [each for each in calls if each.gate_id == gate.id]
        good = [each for each in own if each.result == Result.APPROVED.value]
        lost += [(gate, each) for each in own if each not in good]
        if good:
            totals = [each.totals for each in good]
            answers = [_answer(each) for each in good]
            day = Day(gate, own[0].business_day, counts[gate.id] + 1, totals, answers)
            days.append(day)
            settlements.insert_settlements(connection, kept(day, row["id"], now, closing.told_at))
            is_whole = len(good) == len(own)
            opened = next_day(day, effect_of(row["kind"]), now) if is_whole else day.day
            settlements.open_day(connection, taken.merchant_id, gate.id, opened)
            shut += [gate.id] if is_whole else []
    _open(room, connection, shut)
    closed = _closed(closing, days, lost, taken.operation_id)
    return _end(
        room, connection, _outcome(room, connection, closing, row, closed), closed.transfers
    )


def _answer(call: Call) -> Mapping[str, str | None]:
    return {name: getattr(call, name) for name in ANSWER}


def _closed(
    closing: Closing, days: Sequence[Day], lost: Sequence[tuple[Gate, Call]], operation_id: int
) -> Closed:
    """Say what came of a close."""
    told = [told_of(each) for each in days]
    told += [
        f"gate {gate.name}, {call.currency}: its processor did not take the close; nothing moved"
        for gate, call in lost
    ]
    told += [closing.left_open] if closing.left_open else []
    answers = [_answer(call) for _, call in lost]
    answers += [answer for each in days for answer in each.answers]
    return Closed(
        is_closed=not lost,
        message="; ".join(told),
        answer=answers[0],
        transfers=moved(days, operation_id),
        totals=[total for each in days for total in each.totals],
    )


def _outcome(
    room: Room,
    connection: Connection[Row],
    closing: Closing,
    row: Mapping[str, Any],
    closed: Closed,
) -> dict[str, Any]:
    """Give the columns of the outcome; a row that made others tells their totals too."""
    if not isinstance(registry.kinds()[row["kind"]].gate_effect, Expand):
        return as_answered(closed)
    merchant_id, phase = room.taken.merchant_id, closing.phase
    found = totals_of_children(connection, merchant_id, row["id"], phase)
    return outcome_of(room.gates(closing), found, closed)


def _open(room: Room, connection: Connection[Row], gate_ids: Sequence[int]) -> None:
    """Open gates again, but not those of a later close; let the rows go on that wait for them."""
    if gate_ids:
        merchant_id, own = room.taken.merchant_id, room.taken.operation_id
        settlements.open_gates(connection, merchant_id, gate_ids, own)
        wake_merchant(room.engine, connection, merchant_id)


def _end(
    room: Room, connection: Connection[Row], outcome: Mapping[str, Any], transfers: pl.DataFrame
) -> pl.DataFrame:
    """Store the outcome of a close, and let its batch go on; give it."""
    engine, taken = room.engine, room.taken
    found = room.row(connection)
    settled = settled_of(found.row(0, named=True), outcome, transfers, engine.clock())
    keys = {"merchant_id": [taken.merchant_id], "id": [taken.operation_id], "looks": [taken.looks]}
    schema = {"merchant_id": pl.Int32, "id": pl.Int64, "looks": pl.Int16}
    attempts.close_attempts(connection, pl.DataFrame(keys, schema=schema))
    closings.end_closing(connection, taken)
    store(engine, connection, [settled])
    if taken.chunk_number is not None:
        _count(connection, taken.batch_id, found, settled)
        wake(engine, connection, taken.batch_id)
    return settled.outcomes


def _count(connection: Connection[Row], batch_id: int, row: pl.DataFrame, settled: Settled) -> None:
    """Count what became of a row, and store what was wrong with it."""
    operations.insert_tallies(connection, batch_id, left(row, Result.UNKNOWN.value))
    operations.insert_tallies(connection, batch_id, tally(settled.counted))
    if "column_name" in settled.outcomes.columns:
        store_errors(connection, batch_id, settled.outcomes)
