"""A processor that does not answer pauses batches, which go on by themselves when it does."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from outside_support import CARD, SALE, Clock, Model, clocked, hand_in, outcomes
from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow import control
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import Place, find_place
from paybatch.flow.sending.passing import PROBE_CALLS, passing
from paybatch.flow.traffic import Traffic
from paybatch.flow.worker import take_on_left
from paybatch.store import breakers
from tests_support import laws_hold

ROWS = "".join(f"sale,{i},USD,{CARD},,\n" for i in range(1, 151))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


@pytest.fixture
def timed(engine: Engine) -> tuple[Engine, Clock]:
    return clocked(engine)


def breaker(engine: Engine, place: Place) -> tuple[str, int]:
    with engine.database.transaction() as connection:
        found = breakers.read_breaker(connection, (place.merchant_id, place.gate_id))
    assert found is not None
    return found.state, found.trips


def counted(engine: Engine) -> dict[str, int]:
    """Count outcomes, attempts and payments."""
    with engine.database.transaction() as connection:
        return {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]  # type: ignore[index]
            for name in ("outcome", "attempt", "payment")
        }


def test_a_batch_is_paused_and_nothing_of_it_fails(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, clock = timed
    model.is_busy = True
    done = hand_in(engine, ROWS)
    assert done.state == "paused"
    assert done.pause_reason == ("the processor of gate sandbox did not answer 20 calls in a row")
    assert done.resume_at == clock.now + timedelta(seconds=5)
    assert counted(engine) == {"outcome": 0, "attempt": 0, "payment": 0}
    assert len(model.calls) <= 100
    assert breaker(engine, place) == ("open", 1)
    model.is_busy = False
    assert batches.go_on(engine, done.id).state == "paused"  # it is too early
    clock.now += timedelta(seconds=6)
    done = batches.go_on(engine, done.id)
    assert (done.state, done.pause_reason, done.resume_at) == ("completed", None, None)
    assert (model.done, len(outcomes(engine))) == (150, 150)
    assert breaker(engine, place) == ("closed", 0)
    assert PROBE_CALLS in model.sends
    assert laws_hold(engine)
    with engine.database.transaction() as connection:
        query = "SELECT actor, action FROM audit WHERE actor = 'system:breaker' ORDER BY id"
        assert connection.execute(query).fetchall() == [
            ("system:breaker", "batch.paused"),
            ("system:breaker", "batch.resumed"),
        ]


def test_a_probe_that_fails_waits_twice_as_long(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, clock = timed
    model.is_busy = True
    done = hand_in(engine, ROWS)
    for seconds in (10, 20, 40):
        model.calls.clear()
        assert done.resume_at is not None
        clock.now = done.resume_at
        done = batches.go_on(engine, done.id)
        assert done.state == "paused"
        assert 1 <= len(model.calls) <= PROBE_CALLS
        assert done.resume_at == clock.now + timedelta(seconds=seconds)
    assert breaker(engine, place) == ("open", 4)
    assert counted(engine) == {"outcome": 0, "attempt": 0, "payment": 0}


def test_lost_answers_open_it_too(timed: tuple[Engine, Clock], model: Model) -> None:
    engine, clock = timed
    model.loses = True
    done = hand_in(engine, ROWS)
    assert done.state == "paused"
    with engine.database.transaction() as connection:
        states = Counter(row[0] for row in connection.execute("SELECT state FROM attempt"))
    assert states == {"unknown": 100}
    model.loses = False
    clock.now += timedelta(minutes=1)
    take_on_left(engine)
    done = load_batch(engine, done.id)
    take_on_left(engine)
    assert load_batch(engine, done.id).state == "completed"
    assert (model.done, max(Counter(model.calls).values())) == (150, 1)
    assert laws_hold(engine)


def test_single_calls_fail_at_once_and_may_be_the_probe(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, clock = timed
    model.is_busy = True
    hand_in(engine, ROWS)
    model.calls.clear()
    other = replace(engine, traffic=Traffic())  # another process
    caller = Caller(other, place)
    asked = {**SALE, "amount_minor": "500"}
    told = caller.call(asked)
    assert (told["state"], told["response"]) == ("failed", "not_taken")
    assert told["processor_text"].startswith("not sent: the processor of gate sandbox")
    assert model.calls == []
    model.is_busy = False
    clock.now += timedelta(seconds=6)
    assert caller.call(asked)["state"] == "approved"
    assert breaker(engine, place) == ("closed", 0)
    assert laws_hold(engine)


def test_single_calls_open_it_for_batches(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, _ = timed
    model.is_busy = True
    caller = Caller(engine, place)
    for _ in range(8):
        assert caller.call({**SALE, "amount_minor": "500"})["state"] == "failed"
    assert breaker(engine, place) == ("open", 1)
    model.calls.clear()
    assert hand_in(replace(engine, traffic=Traffic()), ROWS).state == "paused"
    assert model.calls == []


def test_a_person_may_keep_it_paused_and_resume_it_at_once(
    timed: tuple[Engine, Clock], model: Model
) -> None:
    engine, clock = timed
    model.is_busy = True
    done = hand_in(engine, ROWS)
    kept = control.pause(engine, done, "sender:local")
    assert (kept.state, kept.resume_at) == ("paused", None)
    model.is_busy = False
    clock.now += timedelta(hours=1)
    take_on_left(engine)
    assert load_batch(engine, done.id).state == "paused"
    clock.now -= timedelta(hours=1)
    control.resume(engine, kept, "sender:local")
    assert batches.go_on(engine, done.id).state == "completed"
    assert model.done == 150


def test_a_few_failures_are_tried_again(timed: tuple[Engine, Clock], model: Model) -> None:
    engine, _ = timed
    rows = f"sale,5,USD,{CARD},,\n"
    model.is_busy = True
    done = hand_in(engine, rows)
    assert (done.state, len(model.calls)) == ("paused", 3)
    assert done.pause_reason == "the processor of gate sandbox did not answer 3 calls in a row"


def test_a_probe_waits_for_tokens(engine: Engine) -> None:
    engine, clock = clocked(engine)
    with engine.database.transaction() as connection:
        limited = """UPDATE gate SET capabilities = capabilities || '{"calls_per_second": 1}'"""
        connection.execute(limited)
    place = find_place(engine, "local")
    gate = place.gate(place.gate_id)
    assert passing(engine, place, gate.id, 5).count
    with engine.database.transaction() as connection:
        breakers.open_breaker(connection, (1, gate.id), "mute", clock.now, clock.now)
    turn = passing(engine, place, gate.id, 5)
    assert (turn.count, turn.shut, turn.is_probe) == (0, None, False)
    clock.now += timedelta(seconds=5)
    assert passing(engine, place, gate.id, 5).is_probe
