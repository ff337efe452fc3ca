"""What is due on a payment on which something is under way waits until that is known."""

from datetime import timedelta
from typing import Any

import pytest

from outside_support import CARD, REQUEST, Model, clocked, hand_in
from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow import clock
from paybatch.flow.engine import Engine
from paybatch.flow.place import find_place
from paybatch.flow.sending.recover import recover
from tests_support import laws_hold

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,capture_mode,capture_day\n"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


def amounts(engine: Engine) -> tuple[Any, ...] | None:
    with engine.database.transaction() as connection:
        query = "SELECT captured, released, reserved_void FROM payment"
        return connection.execute(query).fetchone()


def due(engine: Engine) -> int:
    """Do what is due; give how many batches that made."""
    return len([clock.hand_in(engine, each) for each in clock.due_work(engine)])


def test_a_capture_waits_for_a_void_that_nobody_answered(engine: Engine, model: Model) -> None:
    engine, hands = clocked(engine)
    rows = f"{HEADER}sale,500,USD,{CARD},a,author_capture,1\n"
    batches.run(engine, find_place(engine, "local"), [rows.encode()], REQUEST)
    model.loses = model.is_deaf = True
    model.replies.clear()
    hand_in(engine, "void,200,USD,,,,a\n")
    assert amounts(engine) == (0, 0, 200)
    model.loses = False
    hands.now += timedelta(days=2)
    assert due(engine) == 0
    model.is_deaf = False
    recover(engine)
    assert amounts(engine) == (0, 200, 0)
    assert due(engine) == 1
    assert amounts(engine) == (300, 200, 0)
    assert laws_hold(engine)


def test_the_lock_of_a_worker_that_is_gone_ends_its_threads(
    engine: Engine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its chunks can be taken by others from then on: it takes no more under the old lock."""
    settings = engine.settings.model_copy(update={"chunk_rows": 1, "threads": 1})
    engine = clocked(engine, chunk_rows=1, threads=1)[0]
    assert settings.chunk_rows == engine.settings.chunk_rows
    plain, ended = model.send, list[int]()

    def send(calls: Any) -> Any:
        if not ended:
            with engine.database.transaction() as connection:
                query = """
                    SELECT count(pg_terminate_backend(l.pid)) FROM pg_locks AS l, chunk AS c
                    WHERE l.locktype = 'advisory' AND c.state = 'sending'
                    AND (l.classid::bigint << 32 | l.objid::bigint) = c.holder
                """
                ended.append((connection.execute(query).fetchone() or (0,))[0])
        yield from plain(calls)

    monkeypatch.setattr(model, "send", send)
    monkeypatch.setitem(registry.connectors(), "sandbox", model.connector())
    done = hand_in(engine, "".join(f"sale,{100 + i},USD,{CARD},,\n" for i in range(6)))
    assert ended[0] >= 1
    assert done.state == "completed"
    assert model.done == 6
    assert max(model.calls.count(key) for key in model.calls) == 1
    assert laws_hold(engine)
