"""A person decides what became of an unknown call, or has it asked about at once."""

from collections.abc import Iterator
from datetime import timedelta

import polars as pl
import pytest

from outside_support import CARD, SALE, Clock, Model, clocked, hand_in, outcomes
from paybatch import registry
from paybatch.domain.connector import Result
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.people import WrongError
from paybatch.flow.place import Place
from paybatch.flow.sending.decide import Decision, decide, look, unknown
from paybatch.flow.sending.recover import recover
from paybatch.store import attempts, directory
from tests_support import laws_hold


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


@pytest.fixture
def timed(engine: Engine) -> tuple[Engine, Clock]:
    return clocked(engine)


def said(result: Result, amount_minor: int | None = None) -> Decision:
    note = "told by phone"
    return Decision(result=result, note=note, actor="sender:ann", amount_minor=amount_minor)


def only(engine: Engine, place: Place) -> int:
    (row,) = unknown(engine, [place.merchant_id], 10)
    return int(row["operation_id"])


def payment(engine: Engine) -> tuple[object, ...]:
    with engine.database.transaction() as connection:
        query = "SELECT state, authorized, captured, refunded, reserved_refund FROM payment"
        return connection.execute(query).fetchone() or ()


@pytest.mark.parametrize("result", [Result.APPROVED, Result.DECLINED, Result.FAILED])
def test_a_decision_settles_as_a_reply_does(
    timed: tuple[Engine, Clock], place: Place, model: Model, result: Result
) -> None:
    engine, _ = timed
    model.loses = model.is_deaf = True
    done = hand_in(engine, f"sale,500,USD,{CARD},a,\ncomment,,,,,,a\nrefund,200,USD,,,,a\n")
    assert done.state == "waiting"
    number = only(engine, place)
    told = decide(engine, [place.merchant_id], number, said(result))
    assert (told.batch_id, load_batch(engine, done.id).state) == (done.id, "running")
    model.loses = False
    assert batches.go_on(engine, done.id).state == "completed"
    assert outcomes(engine)[0][0] == result.value
    assert outcomes(engine)[0][2] == "a person decided it: told by phone"
    follower = {"approved": "approved"}.get(result.value, "rejected")
    assert outcomes(engine)[2][0] == follower
    amounts = {"approved": ("approved", 500, 500, 200, 0)}
    assert payment(engine) == amounts.get(result.value, ("declined", 0, 0, 0, 0))
    assert laws_hold(engine)


def test_a_part_may_be_decided_and_the_audit_tells_who_and_why(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, _ = timed
    assert hand_in(engine, f"sale,500,USD,{CARD},a,\n").state == "completed"
    model.loses = model.is_deaf = True
    assert hand_in(engine, "refund,300,USD,,,,a\n").state == "waiting"
    assert payment(engine) == ("approved", 500, 500, 0, 300)
    number = only(engine, place)
    for wrong in (0, 301):
        with pytest.raises(WrongError, match="1 to 300"):
            decide(engine, [place.merchant_id], number, said(Result.APPROVED, wrong))
    blank = Decision(result=Result.FAILED, note=" ", actor="sender:ann")
    with pytest.raises(WrongError, match="note"):
        decide(engine, [place.merchant_id], number, blank)
    assert decide(engine, [place.merchant_id], number, said(Result.APPROVED, 120))
    assert payment(engine) == ("approved", 500, 500, 120, 0)
    assert laws_hold(engine)
    with engine.database.transaction() as connection:
        query = "SELECT actor, subject, detail FROM audit WHERE action = 'operation.decided'"
        (event,) = connection.execute(query).fetchall()
        assert directory.broken_seals(connection) == []
    assert event == (
        "sender:ann",
        f"operation:{number}",
        {
            "before": "unknown",
            "asked": 0,
            "requested_minor": 300,
            "after": "approved",
            "approved_minor": 120,
            "note": "told by phone",
        },
    )
    with pytest.raises(WrongError, match="not unknown"):
        decide(engine, [place.merchant_id], number, said(Result.FAILED))


def test_nobody_decides_what_is_asked_about(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    """And a look-up that was taken for lost cannot settle what a person decided meanwhile."""
    engine, clock = timed
    model.loses = True
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    number, mine = only(engine, place), [place.merchant_id]
    clock.now += timedelta(minutes=1)
    held = model.look_up
    found: list[str] = []

    def slow(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        with pytest.raises(WrongError, match="right now"):
            decide(engine, mine, number, said(Result.FAILED))
        with pytest.raises(WrongError, match="right now"):
            look(engine, mine, number)
        clock.now += timedelta(minutes=6)
        decide(engine, mine, number, said(Result.DECLINED))
        found.append("decided")
        return held(calls)

    connector = model.connector()
    object.__setattr__(connector, "look_up", slow)
    registry.connectors()["sandbox"] = connector
    assert recover(engine) == 0
    assert found == ["decided"]
    assert [each[0] for each in outcomes(engine)] == ["declined"]
    assert payment(engine) == ("declined", 0, 0, 0, 0)
    assert laws_hold(engine)


def test_a_single_call_is_decided_and_its_key_tells_it(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, _ = timed
    model.loses = model.is_deaf = True
    asked = {**SALE, "amount_minor": "900", "idempotency_key": "k"}
    assert Caller(engine, place).call(asked)["state"] == "unknown"
    told = decide(engine, [place.merchant_id], only(engine, place), said(Result.APPROVED))
    assert (told.batch_id, told.approved_minor) == (None, 900)
    again = Caller(engine, place).call(asked)
    assert (again["state"], again["first_state"]) == ("replayed", "approved")
    assert laws_hold(engine)


def test_a_look_asks_at_once_also_what_waits_for_a_person(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, clock = timed
    model.loses = model.is_deaf = True
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    for _ in range(13):
        clock.now += timedelta(days=1)
        recover(engine)
    (row,) = unknown(engine, [place.merchant_id], 10)
    assert (row["state"], row["looks"], row["next_look_at"]) == ("person", 12, None)
    assert look(engine, [place.merchant_id], row["operation_id"]) == 0
    (row,) = unknown(engine, [place.merchant_id], 10)
    assert (row["state"], row["looks"]) == ("person", 13)
    model.is_deaf = False
    assert look(engine, [place.merchant_id]) == 1
    assert unknown(engine, [place.merchant_id], 10) == []


def test_other_merchants_calls_look_unknown(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, _ = timed
    model.loses = model.is_deaf = True
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    number, others = only(engine, place), [place.merchant_id + 1]
    with pytest.raises(WrongError, match="not unknown"):
        decide(engine, others, number, said(Result.FAILED))
    with pytest.raises(WrongError, match="not unknown"):
        look(engine, others, number)
    assert unknown(engine, others, 10) == []
    with engine.database.transaction() as connection:
        assert attempts.find_one(connection, [place.merchant_id], number)["was"][0] == "unknown"
