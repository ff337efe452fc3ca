"""Recover: what is unknown is asked about by its key, on a schedule, and then waits for a person.

Nothing is sent again blindly: a call is repeated with its own key, and only to a processor for
which that is safe. One that does not know the key has not done it; if repeating is not safe there,
it must have said so twice, the second time long after the call can have been on its way.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.connector import LOOK_UP, Connector, Response, Result
from paybatch.domain.few import distinct
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, place_of_merchants
from paybatch.flow.sending.landing import doubt, land
from paybatch.flow.sending.passing import metered
from paybatch.flow.sending.rebuilt import rebuilt
from paybatch.flow.tallies import left, tally
from paybatch.flow.waking import rouse, wake
from paybatch.flow.working.replies import no_answer
from paybatch.flow.working.sender import Sender
from paybatch.store import attempts, directory, operations
from paybatch.store.database import Connection, ConstraintError, Row

# Behind each look that told nothing: seconds, minutes, an hour, then each day for five days.
WAITS_SECONDS = (2, 10, 60, 300, 900, 3_600, *(86_400,) * 5)
GUARD = timedelta(minutes=5)  # nobody else asks about what was taken, as long as this
AT_ONCE = 500
LOOKS_MIN = 2
CLOCKS_APART = timedelta(seconds=10)  # of two hosts, at most: `paybatch doctor` fails above it
ACTOR = "system:recover"


@dataclass(frozen=True)
class Verdicts:
    """What was found out: calls, and a reply for each; ``unknown`` ones are asked about again."""

    place: Place
    taken: pl.DataFrame
    calls: pl.DataFrame
    replies: pl.DataFrame


def recover(engine: Engine) -> int:
    """Ask about everything that is due; give how many calls have become known."""
    known = 0
    while not engine.stopping.is_set():
        now = engine.clock()
        with engine.database.transaction() as connection:
            able = list(registry.connectors())
            taken = attempts.take_due(
                connection, now, until=now + GUARD, connectors=able, limit=AT_ONCE
            )
            if not taken.is_empty():
                doubt(connection, _as_calls(taken.filter(pl.col("was") == "sending")))
        if taken.is_empty():
            rouse(engine)
            return known
        found = asked_about(engine, taken)
        known += conclude(engine, found)
    return known


def asked_about(engine: Engine, taken: pl.DataFrame) -> Verdicts:
    """Find out what became of attempts that were taken (``store.attempts.TAKEN``)."""
    place = place_of_merchants(engine, distinct(taken["merchant_id"]))
    calls = rebuilt(engine, place, taken)
    return Verdicts(place, taken, calls, asked_of(engine, place, taken, calls))


def _as_calls(taken: pl.DataFrame) -> pl.DataFrame:
    """Give attempts the columns by which it is told what calls act on and make."""
    return taken.select_seq(
        "merchant_id",
        "payment_id",
        id="operation_id",
        kind="act",
        payment_reference=pl.lit(None, pl.String),
    )


def asked_of(
    engine: Engine, place: Place, taken: pl.DataFrame, calls: pl.DataFrame
) -> pl.DataFrame:
    """Find out what became of calls: one reply for each."""
    sender = Sender(engine, place)
    queries = calls.filter(_is_query())
    found: list[pl.DataFrame] = [_unasked(queries)] if not queries.is_empty() else []
    calls = calls.filter(~_is_query())
    for gate_id in distinct(calls["gate_id"]):
        own, connector = calls.filter(pl.col("gate_id") == gate_id), place.connector(gate_id)
        if connector.look_up is None:
            found += _sent_again(engine, sender, connector, own)
            continue
        asked_at = engine.clock()
        replies = _looked_up(engine, sender, gate_id, own)
        absent = own.join(
            replies.filter(_is_absent()).select_seq(id="operation"), on="id", how="semi"
        )
        found.append(replies.filter(~_is_absent()))
        if not absent.is_empty() and connector.idempotent:
            found += _sent_again(engine, sender, connector, absent)
        elif not absent.is_empty():
            found.append(_absent(connector, taken, absent, replies, asked_at))
    return pl.concat(found, how="diagonal")


def _is_query() -> pl.Expr:
    """Tell which calls ask what became of others: they have no effect of their own."""
    return pl.col("verb").eq_missing(LOOK_UP)


def _unasked(queries: pl.DataFrame) -> pl.DataFrame:
    """Give ``failed`` for queries whose process died: nobody waits for what they would tell."""
    told = no_answer(queries)
    return told.with_columns_seq(result=pl.lit(Result.FAILED.value))


def _is_absent() -> pl.Expr:
    """Tell which replies say that the processor does not know the key."""
    return pl.col("response").eq_missing(Response.NOT_FOUND.value)


def _looked_up(engine: Engine, sender: Sender, gate_id: int, calls: pl.DataFrame) -> pl.DataFrame:
    """Ask about calls of a gate, at its pace; those whose turn did not come were not answered."""
    told, left = [], calls
    for part in metered(engine, sender.place, gate_id, calls):
        told += list(sender.looked_up(part))
        left = left.slice(part.height)
    told += [no_answer(left)] if not left.is_empty() else []
    return pl.concat(told, how="diagonal")


def _sent_again(
    engine: Engine, sender: Sender, connector: Connector, calls: pl.DataFrame
) -> Iterable[pl.DataFrame]:
    """Repeat calls with their own keys, where that is safe; what was not taken stays unknown."""
    if not connector.idempotent:
        return [no_answer(calls)]
    told, left = [], calls
    for part in metered(engine, sender.place, int(calls["gate_id"][0]), calls):
        told += list(sender.outward(part))
        left = left.slice(part.height)
    told += [no_answer(left)] if not left.is_empty() else []
    not_taken = pl.col("response").eq_missing(Response.NOT_TAKEN.value)
    unknown = pl.when(not_taken).then(pl.lit(Result.UNKNOWN.value)).otherwise("result")
    return [each.with_columns_seq(result=unknown) for each in told]


def _absent(
    connector: Connector,
    taken: pl.DataFrame,
    calls: pl.DataFrame,
    replies: pl.DataFrame,
    asked_at: datetime,
) -> pl.DataFrame:
    """Give ``failed`` for calls that can be on their way no more, ``unknown`` for the others.

    What counts is when the processor was asked, not when its answer came.
    """
    timeout = timedelta(seconds=connector.timeout_seconds)
    # What is claimed leaves before its time-out; who lost it, or sent it again, has noted when.
    sent_at = pl.coalesce("sent_at", pl.col("created_at") + timeout)
    is_over = (pl.col("looks") >= LOOKS_MIN) & (sent_at < asked_at - 2 * timeout - CLOCKS_APART)
    over = taken.filter(is_over).select_seq(operation="operation_id")
    own = replies.join(calls.select_seq(operation="id"), on="operation", how="semi")
    gone = own.join(over, on="operation", how="semi").with_columns_seq(
        result=pl.lit(Result.FAILED.value)
    )
    rest = calls.join(over, left_on="id", right_on="operation", how="anti")
    return pl.concat([gone, no_answer(rest)], how="diagonal")


def conclude(engine: Engine, found: Verdicts) -> int:
    """Settle what is known by now in a transaction; give how many calls that is.

    Where a call breaks a rule each is settled in its own: that one waits for a person.
    """
    try:
        with engine.database.transaction() as connection:
            return concluded(engine, connection, found)
    except ConstraintError as error:
        if found.taken.height == 1:
            _give_up(engine, found.taken.row(0, named=True), error)
            return 0
    return sum(conclude(engine, each) for each in _singly(found))


def _singly(found: Verdicts) -> Iterator[Verdicts]:
    """Give verdicts one by one."""
    for taken in found.taken.iter_slices(1):
        one = taken["operation_id"][0]
        calls = found.calls.filter(pl.col("id") == one)
        yield Verdicts(found.place, taken, calls, found.replies.filter(pl.col("operation") == one))


def _give_up(engine: Engine, row: dict[str, Any], error: ConstraintError) -> None:
    """Let a person decide a call that cannot be settled; the audit tells why it cannot."""
    with engine.database.transaction() as connection:
        attempts.set_next_look(connection, row, None)
        subject, reason = f"operation:{row['operation_id']}", error.constraint
        now = engine.clock()
        directory.record(connection, now, ACTOR, "operation.unsettled", subject, reason=reason)


def concluded(engine: Engine, connection: Connection[Row], found: Verdicts) -> int:
    """Settle what is known by now, and say when the rest is asked about again."""
    is_known = pl.col("result") != Result.UNKNOWN.value
    known, now = found.replies.filter(is_known), engine.clock()
    answered = set(known["operation"])
    for row in found.taken.iter_rows(named=True):
        if row["operation_id"] not in answered:
            then, sent_at = next_look(found.place, row, now), _sent_at(found.place, row, now)
            attempts.set_next_look(connection, row, then, sent_at=sent_at)
    keys = found.taken.rename({"operation_id": "id"})
    ours = attempts.close_attempts(connection, keys.filter(pl.col("id").is_in(list(answered))))
    done = found.calls.filter(pl.col("id").is_in(list(ours)))
    if done.is_empty():
        return 0
    replies = known.filter(pl.col("operation").is_in(list(ours)))
    settled = land(engine, connection, found.place, done, replies)
    _count(connection, done, settled.counted)
    in_files = set(found.taken.filter(pl.col("chunk_number").is_not_null())["batch_id"])
    for batch_id in sorted(in_files):
        wake(engine, connection, batch_id)
    return done.height


def next_look(place: Place, row: Mapping[str, object], now: datetime) -> datetime | None:
    """Give when an unknown call is asked about again; None = a person must decide.

    One whose connector is not installed here is left to a worker that has it.
    """
    gate_id, looks = int(str(row["gate_id"])), int(str(row["looks"]))
    if place.gate(gate_id).connector not in registry.connectors():
        return now
    connector = place.connector(gate_id)
    if looks > len(WAITS_SECONDS) or (connector.look_up is None and not connector.idempotent):
        return None
    return now + timedelta(seconds=WAITS_SECONDS[looks - 1])


def _sent_at(place: Place, row: Mapping[str, Any], now: datetime) -> datetime | None:
    """Give when an unknown call may have been sent again; None = it was looked up only."""
    connector = registry.connectors().get(place.gate(int(row["gate_id"])).connector)
    return now if connector is not None and connector.idempotent else None


def _count(connection: Connection[Row], done: pl.DataFrame, counted: pl.DataFrame) -> None:
    """Count what became known, in the batches that it belongs to; single calls have none."""
    batch_of = pl.col("id") // operations.LINES_MAX
    counted = counted.with_columns_seq(batch_id=batch_of)
    for batch_id in distinct(done.select_seq(batch_of).to_series()):
        own = done.filter(batch_of == batch_id, pl.col("chunk_number").is_not_null())
        if not own.is_empty():
            operations.insert_tallies(connection, batch_id, left(own, Result.UNKNOWN.value))
            told = counted.filter(pl.col("batch_id") == batch_id)
            operations.insert_tallies(connection, batch_id, tally(told.drop("batch_id")))
