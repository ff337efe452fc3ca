"""A query asks the processor whatever the state, and settles what was unknown."""

from datetime import timedelta

import pytest

from outside_support import CARD, SALE, Clock, Model, clocked, hand_in, outcomes
from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import Place
from paybatch.flow.sending.recover import recover
from tests_support import laws_hold

QUERY = "query_status,,,,,,a\n"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


@pytest.fixture
def timed(engine: Engine) -> tuple[Engine, Clock]:
    return clocked(engine)


def test_a_query_settles_what_was_unknown(timed: tuple[Engine, Clock], model: Model) -> None:
    engine, _ = timed
    model.loses = True
    first = hand_in(engine, f"sale,500,USD,{CARD},a,\nrefund,200,USD,,,,a\n")
    assert first.state == "waiting"
    model.loses = False
    assert hand_in(engine, QUERY).state == "completed"
    (sale, query) = outcomes(engine)
    assert (sale[0], query) == ("approved", ("approved", "captured", "the payment is captured"))
    assert load_batch(engine, first.id).state == "running"
    assert batches.go_on(engine, first.id).state == "completed"
    assert len(model.calls) == 2
    assert laws_hold(engine)


def test_a_query_settles_what_was_done_to_the_payment(
    timed: tuple[Engine, Clock], model: Model
) -> None:
    engine, _ = timed
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    model.loses = True
    assert hand_in(engine, "refund,500,USD,,,,a\n").state == "waiting"
    assert hand_in(engine, QUERY).state == "completed"
    assert [each[:2] for each in outcomes(engine)] == [
        ("approved", "captured"),
        ("approved", "refunded"),
        ("approved", "refunded"),
    ]
    assert len(model.calls) == 2
    assert laws_hold(engine)


def test_the_processor_is_asked_whatever_the_state(
    timed: tuple[Engine, Clock], model: Model
) -> None:
    engine, _ = timed
    hand_in(engine, f"sale,500,USD,{CARD},a,\nvoid,,,,,,a\n")
    assert hand_in(engine, QUERY).state == "completed"
    assert outcomes(engine)[2][:2] == ("approved", "voided")
    assert len(model.looks) == 1
    with engine.database.transaction() as connection:
        query = "SELECT processor_code, approval_code FROM outcome ORDER BY id DESC LIMIT 1"
        (told,) = connection.execute(query).fetchall()
    assert told[0] == "00"
    assert told[1] is not None


def test_a_query_without_a_clear_answer_fails_and_changes_nothing(
    timed: tuple[Engine, Clock], model: Model
) -> None:
    engine, clock = timed
    model.loses = model.is_deaf = True
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    assert hand_in(engine, QUERY).state == "completed"
    assert outcomes(engine) == [("failed", "unknown", "the processor gave no clear answer")]
    with engine.database.transaction() as connection:
        query = "SELECT state, looks, asked_until FROM attempt ORDER BY operation_id LIMIT 1"
        assert connection.execute(query).fetchall() == [("unknown", 1, None)]
    model.is_deaf = False
    clock.now += timedelta(minutes=1)
    assert recover(engine) == 1


def test_a_single_call_asks_too(timed: tuple[Engine, Clock], place: Place, model: Model) -> None:
    engine, _ = timed
    caller = Caller(engine, place)
    model.loses = True
    caller.call({**SALE, "amount_minor": "900", "reference": "a"})
    told = caller.call({"kind": "query_status", "payment": "a"})
    assert (told["state"], told["status"], told["processor_code"]) == ("approved", "captured", "00")
    assert len(model.calls) == 1
    assert laws_hold(engine)


def test_a_query_whose_worker_died_is_made_again(
    timed: tuple[Engine, Clock], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, clock = timed
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")

    def died(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("paybatch.flow.sending.outward.Outward.send", died)
        with pytest.raises(KeyboardInterrupt):
            hand_in(engine, QUERY)
    with engine.database.transaction() as connection:
        (found,) = connection.execute("SELECT max(id) FROM batch").fetchone() or (0,)
    clock.now += timedelta(minutes=5)
    assert batches.go_on(engine, found).state == "completed"
    assert outcomes(engine)[1][:2] == ("approved", "captured")
    with engine.database.transaction() as connection:
        query = "SELECT state, sum(row_count) FROM tally WHERE batch_id = %s GROUP BY 1 ORDER BY 1"
        told = connection.execute(query, (found,)).fetchall()
    assert [each for each in told if each[1]] == [("approved", 1)]


def test_with_an_inline_connector_the_status_is_told(engine: Engine) -> None:
    hand_in(engine, f"sale,500,USD,{CARD},a,\n{QUERY}")
    assert outcomes(engine)[1] == ("approved", "captured", "the payment is captured")
