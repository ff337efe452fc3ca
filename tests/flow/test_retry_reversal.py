"""A retry looks a pending reversal up now, and sends it again with its key where that is safe."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from outside_support import CARD, SALE, Clock, Model, clocked, hand_in, outcomes
from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import Place
from paybatch.flow.sending.recover import recover
from tests_support import laws_hold

RETRY = "retry_reversal,,,,,,a\n"
DONE, DECLINED = "the reversal was done", "the reversal was declined: send a new one"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


@pytest.fixture
def timed(engine: Engine) -> tuple[Engine, Clock]:
    return clocked(engine)


def pending(engine: Engine, model: Model, *rows: str) -> int:
    """Make a payment of 500 and leave what rows do to it without an answer; give their batch."""
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    model.loses = True
    done = hand_in(engine, "".join(rows))
    assert done.state == "waiting"
    model.loses = False
    return done.id


def attempts(engine: Engine) -> list[tuple[str, int]]:
    """Give how the tries stand that are not known: their state, and how often they were asked."""
    with engine.database.transaction() as connection:
        query = "SELECT state, looks FROM attempt WHERE state IN ('unknown', 'person')"
        return connection.execute(query).fetchall()


@pytest.mark.parametrize("kind", ["void", "refund", "reverse", "commit_reversal"])
def test_a_pending_reversal_is_looked_up_whatever_the_schedule(
    timed: tuple[Engine, Clock], model: Model, kind: str
) -> None:
    engine, _ = timed
    first = pending(engine, model, f"{kind},200,USD,,,,a\n", "acknowledge,,,,,,a\n")
    assert recover(engine) == 0, "its time has not come"
    assert hand_in(engine, RETRY).state == "completed"
    assert [each[0] for each in outcomes(engine)] == ["approved"] * 3
    assert outcomes(engine)[-1][2] == DONE
    assert (len(model.calls), len(model.looks)) == (2, 1)
    assert load_batch(engine, first).state == "running", "what waited for it goes on"
    assert batches.go_on(engine, first).state == "completed"
    assert laws_hold(engine)


def test_what_the_processor_does_not_know_is_sent_again_with_its_key(
    timed: tuple[Engine, Clock], model: Model
) -> None:
    engine, _ = timed
    pending(engine, model, "refund,200,USD,,,,a\n")
    del model.replies[model.calls[-1]]
    hand_in(engine, RETRY)
    assert model.calls[-1] == model.calls[-2]
    assert outcomes(engine)[-1][::2] == ("approved", DONE)
    assert (len(model.calls), model.done) == (3, 2)
    assert laws_hold(engine)


def test_without_look_up_its_key_is_sent_again(
    timed: tuple[Engine, Clock], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = timed
    monkeypatch.setitem(registry.connectors(), "sandbox", replace(model.connector(), look_up=None))
    pending(engine, model, "void,,,,,,a\n")
    hand_in(engine, RETRY)
    assert outcomes(engine)[-1][::2] == ("approved", DONE)
    assert (model.calls[-1], len(model.calls), model.done) == (model.calls[-2], 3, 2)
    assert laws_hold(engine)


def test_without_look_up_and_keys_it_waits_for_a_person(
    timed: tuple[Engine, Clock], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = timed
    mute = replace(model.connector(), look_up=None, idempotent=False)
    monkeypatch.setitem(registry.connectors(), "sandbox", mute)
    pending(engine, model, "void,,,,,,a\n")
    for _ in range(2):
        assert hand_in(engine, RETRY).state == "completed"
        state, _, message = outcomes(engine)[-1]
        assert state == "failed"
        assert "a person decides (paybatch unknown decide)" in str(message)
        assert [state for state, _ in attempts(engine)] == ["person"]
    assert len(model.calls) == 2, "it is never sent again"


def test_a_processor_that_is_silent_leaves_it_pending(
    timed: tuple[Engine, Clock], model: Model
) -> None:
    engine, at = timed
    pending(engine, model, "void,,,,,,a\n")
    model.is_deaf = True
    hand_in(engine, RETRY)
    assert outcomes(engine)[-1][0] == "failed"
    assert attempts(engine) == [("unknown", 1)]
    model.is_deaf = False
    at.now += timedelta(minutes=1)
    assert recover(engine) == 1
    assert laws_hold(engine)


def test_a_reversal_that_was_declined_is_over(timed: tuple[Engine, Clock], model: Model) -> None:
    engine, _ = timed
    hand_in(engine, f"sale,60000,USD,{CARD},a,\n")
    model.loses = True
    hand_in(engine, "refund,50200,USD,,,,a\n")
    model.loses = False
    hand_in(engine, RETRY)
    assert outcomes(engine)[-1][::2] == ("approved", DECLINED)
    hand_in(engine, RETRY)
    assert outcomes(engine)[-1][0] == "rejected", "send a new one"
    assert hand_in(engine, "refund,60000,USD,,,,a\n").state == "completed"
    assert outcomes(engine)[-1][1] == "refunded"
    assert laws_hold(engine)


@pytest.mark.parametrize("rows", ["", "capture,100,USD,,,,a\n"])
def test_where_no_reversal_is_pending_the_row_is_refused(
    timed: tuple[Engine, Clock], model: Model, rows: str
) -> None:
    engine, _ = timed
    hand_in(engine, f"authorize,500,USD,{CARD},a,\n")
    model.loses = True
    hand_in(engine, rows or "comment,,,,,,a\n")
    looked = len(model.looks)
    hand_in(engine, RETRY)
    with engine.database.transaction() as connection:
        query = "SELECT state, reason FROM outcome ORDER BY id DESC LIMIT 1"
        (told,) = connection.execute(query).fetchall()
    assert tuple(told) == ("rejected", "no_reversal_pending")
    assert len(model.looks) == looked


def test_only_reversals_are_asked_about(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    """An adjustment downwards is reserved as a void is, and is none."""
    engine, _ = timed
    hand_in(engine, f"authorize,500,USD,{CARD},a,\n")
    model.loses = True
    Caller(engine, place).call(
        {"kind": "adjust", "payment": "a", "amount_minor": "100", "currency": "USD"}
        | {"direction": "down"}
    )
    model.loses = False
    hand_in(engine, RETRY)
    state, _, message = outcomes(engine)[-1]
    assert state == "failed"
    assert "no reversal is unknown now" in str(message)
    assert model.looks == []


def test_what_somebody_asks_about_is_left_to_them(
    timed: tuple[Engine, Clock], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, at = timed
    pending(engine, model, "void,,,,,,a\n")
    at.now += timedelta(minutes=1)
    held = model.look_up

    def slow(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        monkeypatch.setitem(registry.connectors(), "sandbox", model.connector())
        hand_in(engine, RETRY)
        assert outcomes(engine)[-1][0] == "failed"
        return held(calls)

    slowly = replace(model.connector(), look_up=slow)
    monkeypatch.setitem(registry.connectors(), "sandbox", slowly)
    assert recover(engine) == 1
    assert laws_hold(engine)


def test_a_single_call_retries_too(timed: tuple[Engine, Clock], place: Place, model: Model) -> None:
    engine, _ = timed
    caller = Caller(engine, place)
    caller.call({**SALE, "amount_minor": "900", "reference": "a"})
    model.loses = True
    assert caller.call({"kind": "void", "payment": "a"})["state"] == "unknown"
    model.loses = False
    told = caller.call({"kind": "retry_reversal", "payment": "a", "comment": "the payer waits"})
    assert (told["state"], told["status"], told["message"]) == ("approved", "voided", DONE)
    assert len(model.calls) == 2
    assert laws_hold(engine)


NOUNS = {
    "reverse": "the preparation of a reversal",
    "withdraw_reversal": "the withdrawal of a prepared reversal",
}
STEPS = {
    "reverse": "the reversal was prepared, it is not done yet",
    "withdraw_reversal": "the prepared reversal was withdrawn",
}


@pytest.mark.parametrize("kind", list(NOUNS))
@pytest.mark.parametrize(
    ("amount", "fault", "state", "told"),
    [
        ("500", None, "approved", None),
        ("50200", None, "approved", "{} was declined: send a new one"),
        ("500", "is_deaf", "failed", "the processor does not tell what became of {}: it is asked"),
    ],
)
def test_a_retry_tells_of_the_step_that_was_pending(  # noqa: PLR0917 - a table
    timed: tuple[Engine, Clock],
    model: Model,
    kind: str,
    amount: str,
    fault: str | None,
    state: str,
    told: str | None,
) -> None:
    engine, _ = timed
    with engine.database.transaction() as connection:
        staged = """UPDATE gate SET capabilities = capabilities || '{"two_stage_reversal": true}'"""
        connection.execute(staged)
    rows = f"sale,60000,USD,{CARD},a,\n"
    hand_in(engine, rows + ("reverse,,,,,,a\n" if kind == "withdraw_reversal" else ""))
    model.loses = True
    hand_in(engine, f"{kind},{amount},USD,,,,a\n")
    model.loses, model.is_deaf = False, fault is not None
    hand_in(engine, RETRY)
    ended, _, message = outcomes(engine)[-1]
    assert ended == state
    assert str(message).startswith(told.format(NOUNS[kind]) if told else STEPS[kind])
