"""Outgoing: single calls that leave the house, each from its caller's own thread.

They are claimed in a group, sent by the threads that wait for them, and settled in a group again:
so nobody waits for the answer to another one's call.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl
import structlog

from paybatch.domain.connector import Result
from paybatch.domain.few import is_among, joined, where, without
from paybatch.flow.calls.waiting import Answer
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.sending.awaited import keep
from paybatch.flow.sending.close_day import carry_on
from paybatch.flow.sending.landing import deadline, land, lose, parted
from paybatch.flow.sending.outward import Outward
from paybatch.flow.working.details import keep_details
from paybatch.flow.working.replies import not_taken
from paybatch.flow.working.sender import Sender
from paybatch.store import attempts
from paybatch.store.database import Connection, Row
from paybatch.store.public_ids import Shape

_log = structlog.get_logger(__name__)
PATIENCE_SECONDS = 10.0  # so long a call waits for its turn
ANSWERED = (
    *("state", "reason", "message", "status", "approved_minor", "response", "processor_code"),
    *("processor_text", "approval_code", "avs_result", "cvv_result", "scheme_transaction_id"),
    *("first", "first_state"),
)
_UNKNOWN = (
    "the processor gave no clear answer: it is asked what became of this; "
    "the same call with the same idempotency key will tell"
)


@dataclass(frozen=True)
class Outgoing:
    """A call (a table of one row, prepared) that has no outcome yet, at a place.

    ``since`` is when it was claimed.
    """

    place: Place
    call: pl.DataFrame
    since: datetime


@dataclass(frozen=True)
class BegunClose:
    """A close of day at a gate outside that a call began, by its operation."""

    operation_id: int


@dataclass(frozen=True)
class Come:
    """The reply to a call."""

    outgoing: Outgoing
    reply: pl.DataFrame


def kept(
    engine: Engine, connection: Connection[Row], place: Place, awaited: pl.DataFrame
) -> dict[int, Outgoing]:
    """Store calls that have no outcome yet; give those that go out, by their operations."""
    calls = Sender(engine, place).prepared(awaited)
    gates = calls["gate_id"].unique()
    now = engine.clock()
    until = deadline(now, max(place.connector(each).timeout_seconds for each in gates))
    keep(connection, place, calls, chunk_number=None, now=now, until=until)
    keep_details(connection, place, calls, now)
    return {
        call["id"][0]: Outgoing(place, without(call, "result"), now)
        for call in calls.iter_slices(1)
        if call["result"][0] == Result.SENDING.value
    }


def sent(engine: Engine, outgoing: Outgoing) -> Come:
    """Send a call and wait for its reply; one that was not taken is tried again a few times."""
    call = outgoing.call
    outward = Outward(
        engine,
        outgoing.place,
        outgoing.since,
        is_single=True,
        patience_seconds=PATIENCE_SECONDS,
    )
    told = list(outward.send(call))
    if told:
        return Come(outgoing, joined(told))
    why = outward.breaker.reason if outward.breaker is not None else "the processor took no call"
    return Come(outgoing, not_taken(call, why))


def landed(engine: Engine, connection: Connection[Row], come: list[Come]) -> list[Answer]:
    """Settle the replies to calls; give the answers in order.

    A call whose time was over is the look-up's by now: it is answered as unknown.
    """
    sent = [each.outgoing.call for each in come]
    calls = pl.concat(sent, how="diagonal_relaxed") if len(sent) > 1 else sent[0]
    told = [each.reply for each in come]
    replies = pl.concat(told, how="diagonal") if len(told) > 1 else told[0]
    known, lost = parted(calls, replies)
    answers: dict[int, Answer] = {}
    if not known.is_empty():
        done = where(calls, is_among(calls["id"], known["operation"]))
        keys = done.select_seq("merchant_id", "id", looks=pl.lit(0, pl.Int16))
        ours = list(attempts.close_attempts(connection, keys))
        done = where(done, is_among(done["id"], ours))
        known = where(known, is_among(known["operation"], ours))
        if not done.is_empty():
            settled = land(engine, connection, come[0].outgoing.place, done, known)
            answers = answers_of(engine, [settled.outcomes])
    if not lost.is_empty():
        lose(connection, lost, engine.clock())
        names = engine.public_ids.encode(lost["id"], "op", Shape.NATIVE).to_list()
        _log.warning("unknown", calls=lost.height, operations=names)
    return [
        answers.get(each.outgoing.call["id"][0]) or unknown(engine, each.outgoing.call)
        for each in come
    ]


def unknown(engine: Engine, call: pl.DataFrame) -> Answer:
    """Give the answer to a call of which nobody knows what became of it."""
    return {
        **dict.fromkeys(ANSWERED),
        "state": Result.UNKNOWN.value,
        "message": _UNKNOWN,
        "operation": engine.public_ids.encode_one(call["id"][0], "op", Shape.NATIVE),
        "payment": None,
    }


def closed(engine: Engine, begun: BegunClose) -> Answer:
    """Take a close that a call began on as far as it goes now; give its answer."""
    outcome = carry_on(engine, operation_id=begun.operation_id)
    if outcome is not None:
        return answers_of(engine, [outcome])[begun.operation_id]
    return unknown(engine, pl.DataFrame({"id": [begun.operation_id]}))


def answers_of(engine: Engine, outcomes: list[pl.DataFrame]) -> dict[int, Answer]:
    """Give the answers that outcomes make, by the ids of their operations."""
    rows = [row for each in outcomes for row in each.iter_rows(named=True)]
    names = [
        engine.public_ids.encode(
            pl.Series([row[column] for row in rows], dtype=pl.Int64), noun, Shape.NATIVE
        )
        for column, noun in (("id", "op"), ("payment_id", "pay"))
    ]
    return {
        row["id"]: {
            **{name: row.get(name) for name in ANSWERED},
            "operation": operation,
            "payment": payment,
        }
        for row, operation, payment in zip(rows, *names, strict=True)
    }
