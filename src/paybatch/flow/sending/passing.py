"""Passing: whether calls may go out at a gate now, and how many.

Two things are asked, both shared by all workers and by single calls: the breaker of the gate, which
is open while its processor does not answer, and the buckets of tokens of the gate and of its
processor, which say how fast it may be asked.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from paybatch.domain.connector import Response, Result
from paybatch.domain.few import is_among
from paybatch.domain.masking import mask_text
from paybatch.domain.pacing import Refusal, taken
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.store import breakers, paces
from paybatch.store.breakers import Breaker
from paybatch.store.database import Connection, Row

PROBE_CALLS = 5
PROBE_SECONDS = 60  # a probe that was not heard of for so long is made again
PROBED_SECONDS = 0.2  # how often others look whether it ended
OPEN_SECONDS, OPEN_SECONDS_MAX = 5.0, 300.0  # the first time; twice as long each time in a row
TRIPS_MAX = 16
TOO_BUSY = "429"
TEXT_MAX = 200
METERED_SECONDS = 60.0


@dataclass(frozen=True)
class Pass:
    """What may go: so many calls now, or none and when to ask again.

    ``shut`` is the breaker that is in the way; ``is_probe``: the calls are to find out whether the
    processor answers again.
    """

    count: int
    wait_seconds: float = 0.0
    shut: Breaker | None = None
    is_probe: bool = False


def passing(
    engine: Engine, place: Place, gate_id: int, wanted: int, *, is_single: bool = False
) -> Pass:
    """Ask whether calls of a gate may go out; what may go is taken from its buckets."""
    if is_single and engine.traffic.is_clear(gate_id):
        return Pass(wanted)
    gate, now = place.gate(gate_id), engine.clock()
    key = (gate.merchant_id, gate_id)
    with engine.database.transaction() as connection:
        breaker = breakers.read_breaker(connection, key)
        is_probe = False
        if breaker is not None and breaker.state != "closed":
            until = now + timedelta(seconds=PROBE_SECONDS)
            is_probe = breakers.probe_breaker(connection, key, now, until)
            if not is_probe:
                if breaker.state == "probing" and not is_single:
                    return Pass(0, PROBED_SECONDS)
                return Pass(0, shut=breaker)
            wanted = min(wanted, PROBE_CALLS)
        found = _tokens(connection, place, gate_id, wanted, now, is_single=is_single)
        count, wait_seconds = (wanted, 0.0) if found is None else found
        if is_probe and not count:
            again_at = now + timedelta(seconds=wait_seconds)
            breakers.put_off_probe(connection, key, again_at)
            return Pass(0, wait_seconds)
    if is_single:
        engine.traffic.clear(gate_id, is_clear=found is None and not is_probe)
    return Pass(count, wait_seconds, is_probe=is_probe)


def _limits(place: Place, gate_id: int) -> dict[str, float | None]:
    """Give the buckets that a gate's calls are taken from, with their limits."""
    connector = place.connector(gate_id)
    return {
        f"gate:{gate_id}": place.capabilities(gate_id).calls_per_second or None,
        f"processor:{connector.name}": connector.calls_per_second,
    }


def _tokens(
    connection: Connection[Row],
    place: Place,
    gate_id: int,
    wanted: int,
    now: datetime,
    *,
    is_single: bool,
) -> tuple[int, float] | None:
    """Take tokens; give how many calls may go, and when to ask again. None = there is no limit."""
    limits = _limits(place, gate_id)
    known = {each.name: each for each in paces.read_paces(connection, list(limits))}
    for name, limit in limits.items():
        if (name in known or limit is not None) and (
            name not in known or known[name].per_second != limit
        ):
            paces.make_pace(connection, name, limit, now)
    names = [
        name
        for name, limit in limits.items()
        if limit is not None
        or (
            name in known
            and (
                known[name].rate(now) is not None
                or (known[name].held_until is not None and (known[name].held_until or now) > now)
            )
        )
    ]
    if not names:
        return None
    buckets = paces.lock_paces(connection, names)
    count, wait_seconds, after = taken(buckets, wanted, now, is_single=is_single)
    if count:
        for each in after:
            paces.save_pace(connection, each)
    return count, wait_seconds


def metered(
    engine: Engine, place: Place, gate_id: int, calls: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """Give calls in parts, as fast as the buckets of their gate allow; not for ever."""
    until = time.monotonic() + METERED_SECONDS
    while not calls.is_empty():
        with engine.database.transaction() as connection:
            found = _tokens(
                connection, place, gate_id, calls.height, engine.clock(), is_single=False
            )
        count, wait_seconds = (calls.height, 0.0) if found is None else found
        if count:
            yield calls.head(count)
            calls = calls.slice(count)
        elif time.monotonic() + wait_seconds > until:
            return
        else:
            time.sleep(wait_seconds)


def is_taken(replies: pl.DataFrame) -> pl.Series:
    """Tell which replies say more than that the processor took nothing for the moment."""
    return ~is_among(replies["response"], [Response.NOT_TAKEN.value])


def is_too_busy(replies: pl.DataFrame) -> pl.Series:
    """Tell which calls were not taken because the processor is asked too much."""
    said_when = pl.col("retry_after_seconds").is_not_null()
    busy = said_when | pl.col("processor_code").eq_missing(TOO_BUSY)
    return replies.select_seq(busy).to_series() & ~is_taken(replies)


def _is_bad() -> pl.Expr:
    """Tell which calls the processor did not answer."""
    response = pl.col("response")
    mute = (pl.col("result") == Result.UNKNOWN.value) & response.ne_missing(Response.PENDING.value)
    return mute | response.eq_missing(Response.NOT_TAKEN.value)


def watched(
    engine: Engine, place: Place, gate_id: int, replies: pl.DataFrame, seconds: float
) -> tuple[Breaker | None, bool]:
    """Look at replies that came together after so long.

    Gives the breaker if they opened it, and whether the processor answered any of them.
    """
    traffic = engine.traffic
    is_bad = replies.select_seq(_is_bad()).to_series()
    lost = ~is_taken(replies)
    words = replies["result"].to_list()
    said = [
        "not_taken" if is_lost else str(word) for word, is_lost in zip(words, lost, strict=True)
    ]
    traffic.count(gate_id, Counter(said), seconds)
    good = is_bad.not_().arg_true()
    busy = is_too_busy(replies)
    # What came together because it is asked too much counts once: it is slowed down first.
    bad = 1 if busy.any() else int(is_bad.sum())
    if good.len():
        last = int(good.max())  # type: ignore[arg-type]  # it is not empty
        bad = replies.height - 1 - last if not busy.any() else 0
    in_a_row = traffic.failed(gate_id, bad, after_success=bool(good.len()))
    if in_a_row < engine.settings.breaker_calls:
        return None, bool(good.len())
    return shut(engine, place, gate_id, replies.filter(is_bad), in_a_row), bool(good.len())


def shut(
    engine: Engine, place: Place, gate_id: int, bad: pl.DataFrame, in_a_row: int
) -> Breaker | None:
    """Open the breaker of a gate; give it as it stands then."""
    gate = place.gate(gate_id)
    key, now = (gate.merchant_id, gate_id), engine.clock()
    texts = [] if bad.is_empty() else bad["processor_text"].drop_nulls().to_list()
    told = f": {mask_text(texts[-1])[:TEXT_MAX]}" if texts else ""
    calls = f"{in_a_row:,} calls in a row" if in_a_row > 1 else "a call"
    reason = f"the processor of gate {gate.name} did not answer {calls}{told}"
    engine.traffic.failed(gate_id, 0, after_success=True)
    engine.traffic.clear(gate_id, is_clear=False)
    with engine.database.transaction() as connection:
        before = breakers.read_breaker(connection, key)
        trips = 0 if before is None else min(before.trips, TRIPS_MAX)
        seconds = min(OPEN_SECONDS * 2**trips, OPEN_SECONDS_MAX)
        breakers.open_breaker(connection, key, reason, now, now + timedelta(seconds=seconds))
        return breakers.read_breaker(connection, key)


def answered(engine: Engine, place: Place, gate_id: int) -> None:
    """Close the breaker of a gate: a probe was answered."""
    key = (place.gate(gate_id).merchant_id, gate_id)
    with engine.database.transaction() as connection:
        breakers.close_breaker(connection, key)


def slow_down(
    engine: Engine, gate_id: int, replies: pl.DataFrame, began_at: datetime, per_second: float
) -> None:
    """Ask a gate's processor less from here on: it was asked too much.

    ``replies`` to calls that left at ``began_at``; it took them at ``per_second`` at times.
    """
    name, now = f"gate:{gate_id}", engine.clock()
    hold = replies.filter(is_too_busy(replies))["retry_after_seconds"].max()
    engine.traffic.clear(gate_id, is_clear=False)
    with engine.database.transaction() as connection:
        if not paces.read_paces(connection, [name]):
            paces.make_pace(connection, name, None, now)
        (bucket,) = paces.lock_paces(connection, [name])
        count, refused, of_late = engine.traffic.of_late(gate_id, now, bucket.slowed_at)
        told = Refusal(
            began_at=began_at,
            taken=count,
            refused=refused,
            taken_per_second=max(per_second, of_late),
            hold_seconds=hold if isinstance(hold, int) else 0,
        )
        paces.save_pace(connection, bucket.slowed(now, told))
