"""Not known to the processor: that says something of a call only when it cannot be on its way."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import polars as pl
import pytest

from outside_support import CARD, Clock, Model, clocked, hand_in, outcomes
from paybatch import registry
from paybatch.flow.batch import go_on
from paybatch.flow.engine import Engine
from paybatch.flow.sending.outward import Outward
from paybatch.flow.sending.recover import recover
from tests_support import laws_hold

SALE = f"sale,1000,USD,{CARD},a,\n"
TIMEOUT_SECONDS = 30.0


@dataclass
class Slow(Model):
    """A processor that takes nothing at first, and what it takes then arrives late.

    Attributes:
        refusals: How many calls it refuses before.
        on_its_way: What was sent and has not arrived.
    """

    refusals: int = 2
    on_its_way: pl.DataFrame | None = None

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Refuse the first, lose sight of the others."""
        self.refusals -= 1
        for call in calls.iter_rows(named=True):
            if self.refusals >= 0:
                yield self._told(call, "failed", "not_taken")
            else:
                self.on_its_way = calls
                yield self._told(call, "unknown", "no_answer")

    def arrive(self) -> None:
        """Let what is on its way arrive."""
        assert self.on_its_way is not None
        list(super().send(self.on_its_way))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    found = Slow()
    connector = replace(found.connector(), idempotent=False, timeout_seconds=TIMEOUT_SECONDS)
    monkeypatch.setitem(registry.connectors(), "sandbox", connector)
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


@pytest.fixture
def sent_late(engine: Engine, slow: Slow, monkeypatch: pytest.MonkeyPatch) -> tuple[Engine, Clock]:
    """Let a call leave much later than it was claimed, and be lost."""
    engine, clock = clocked(engine)

    def waited(outward: Outward, _: float) -> bool:
        clock.now += timedelta(seconds=2 * TIMEOUT_SECONDS)
        return outward._renewed()

    monkeypatch.setattr(Outward, "_waited", waited)
    assert hand_in(engine, SALE).state == "waiting"
    assert slow.on_its_way is not None
    return engine, clock


def look(engine: Engine, clock: Clock, times: int) -> None:
    """Ask so often, within seconds of the call."""
    for _ in range(times):
        clock.now += timedelta(seconds=11)
        recover(engine)


def test_a_call_that_was_sent_a_moment_ago_is_not_taken_for_absent(
    sent_late: tuple[Engine, Clock], slow: Slow
) -> None:
    engine, clock = sent_late
    look(engine, clock, times=3)
    assert len(slow.looks) >= 2
    assert outcomes(engine) == []
    slow.arrive()
    clock.now += timedelta(hours=1)
    recover(engine)
    assert [state for state, *_ in outcomes(engine)] == ["approved"]
    assert laws_hold(engine)


def test_what_counts_is_when_the_processor_was_asked_not_when_it_answered(
    sent_late: tuple[Engine, Clock], slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, clock = sent_late
    look(engine, clock, times=1)

    def slowly(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        told = list(slow.look_up(calls))
        clock.now += timedelta(seconds=2 * TIMEOUT_SECONDS)
        yield from told

    own = replace(registry.connectors()["sandbox"], look_up=slowly)
    monkeypatch.setitem(registry.connectors(), "sandbox", own)
    look(engine, clock, times=1)
    assert len(slow.looks) >= 2
    assert outcomes(engine) == []


def test_a_call_that_cannot_be_on_its_way_any_more_has_failed(
    sent_late: tuple[Engine, Clock], slow: Slow
) -> None:
    engine, clock = sent_late
    look(engine, clock, times=2)
    clock.now += timedelta(seconds=2 * TIMEOUT_SECONDS + 10)  # and clocks may be apart
    recover(engine)
    assert [state for state, *_ in outcomes(engine)] == ["failed"]
    assert slow.done == 0
    assert laws_hold(engine)


def test_a_worker_that_died_may_have_sent_its_calls_until_then(
    engine: Engine, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had under way counts from when it was taken from it."""
    engine, clock = clocked(engine)
    slow.refusals = 0

    def dies(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("paybatch.flow.sending.flight.Flight._land", dies)
        with pytest.raises(KeyboardInterrupt):
            hand_in(engine, SALE)
    clock.now += timedelta(hours=1)
    with engine.database.transaction() as connection:
        (batch_id,) = connection.execute("SELECT id FROM batch").fetchone() or (0,)
    go_on(engine, batch_id)
    look(engine, clock, times=3)
    assert len(slow.looks) >= 2
    assert outcomes(engine) == []
    clock.now += timedelta(hours=1)
    recover(engine)
    assert [state for state, *_ in outcomes(engine)] == ["failed"]
    assert laws_hold(engine)
