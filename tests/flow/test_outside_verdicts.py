"""Calls outside whose answer has more to it: reversals without an answer, alerts not taken."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from outside_support import CARD, HEADER, REQUEST, Clock, Model, clocked
from paybatch import registry
from paybatch.domain.connector import Connector
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.control import resume
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import find_place
from paybatch.flow.sending.recover import recover
from paybatch.store.batches import Batch
from tests_support import laws_hold

HALF = "4000000000000051,12/39"
STRICT = {"kind": "sale", "currency": "USD", "card_number": "4000000000000051"}
STRICT |= {"card_expiry": "12/39", "amount_minor": "1000", "partial_approval": "not_allowed"}
PARTS = HEADER.replace("payment", "partial_approval") + f"sale,1000,USD,{HALF},p,not_allowed\n"


@dataclass
class Lossy(Model):
    """A processor that loses the answers to reversals, or gets none of them.

    Attributes:
        reaches: Whether reversals reach it.
        is_too_busy: It takes no reversals for the moment, and says so.
    """

    verbs: list[tuple[str, str, str]] = field(default_factory=list)
    loses_reversals: bool = True
    reaches: bool = True
    is_too_busy: bool = False

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Answer each call but reversals."""
        for call in calls.iter_rows(named=True):
            self.verbs.append((call["verb"], call["key"], call["payment_key"]))
            if self.is_too_busy and call["key"].endswith("-reversal"):
                yield self._told(call, "failed", "not_taken")
                continue
            is_lost = self.loses_reversals and call["key"].endswith("-reversal")
            if not is_lost or self.reaches:
                (reply,) = super().send(pl.DataFrame([call], schema=calls.schema))
            if not is_lost:
                yield reply


@pytest.fixture
def lossy() -> Lossy:
    return Lossy()


def put_outside(monkeypatch: pytest.MonkeyPatch, model: Model, **changes: Any) -> None:
    connector: Connector = replace(model.connector(), **changes)
    monkeypatch.setitem(registry.connectors(), "sandbox", connector)
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)


def hand_in(engine: Engine, text: str) -> Batch:
    return batches.run(engine, find_place(engine, "local"), [text.encode()], REQUEST)


def rows_of(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.database.transaction() as connection:
        return connection.execute(query).fetchall()


def payments(engine: Engine) -> list[tuple[Any, ...]]:
    return rows_of(engine, "SELECT state, captured FROM payment ORDER BY id")


def ask(engine: Engine, clock: Clock, times: int = 1) -> None:
    for _ in range(times):
        clock.now += timedelta(days=2)
        recover(engine)


@pytest.mark.parametrize(
    ("way", "reaches", "changes"),
    [
        ("file", True, {}),
        ("file", False, {"look_up": None}),
        ("call", True, {"look_up": None}),
        ("call", False, {}),
    ],
)
def test_a_reversal_without_an_answer_is_asked_for_again_by_its_key(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    reaches: bool,
    changes: dict[str, Any],
) -> None:
    """Until then nobody says that the part stands: the processor may have given it back."""
    lossy = Lossy(reaches=reaches)
    put_outside(monkeypatch, lossy, **changes)
    engine, clock = clocked(engine)
    if way == "file":
        assert hand_in(engine, PARTS).state == "waiting"
    else:
        assert Caller(engine, find_place(engine, "local")).call(STRICT)["state"] == "unknown"
    assert payments(engine) == [("unknown", 0)]
    ask(engine, clock)
    assert payments(engine) == [("unknown", 0)]
    lossy.loses_reversals = False
    ask(engine, clock)
    assert payments(engine) == [("declined", 0)]
    told = rows_of(engine, "SELECT state, reason FROM outcome")
    assert told == [("declined", "partial_not_allowed")]
    reversals = {each for each in lossy.verbs if each[0] == "void"}
    ((_, key, payment_key),) = reversals
    assert key == f"{payment_key}-reversal"
    assert payment_key.startswith("op_")
    assert lossy.done == 2
    assert laws_hold(engine)


@pytest.mark.parametrize("was_done", [True, False])
def test_a_reversal_that_is_not_taken_now_may_have_been_done_before(
    engine: Engine, lossy: Lossy, monkeypatch: pytest.MonkeyPatch, was_done: bool
) -> None:
    """A part that was given back must not stand with us because the processor was busy later."""
    put_outside(monkeypatch, lossy)
    engine, clock = clocked(engine)
    lossy.is_too_busy = not was_done
    hand_in(engine, PARTS)
    lossy.is_too_busy = True
    ask(engine, clock)
    assert payments(engine) == [("unknown", 0)]
    assert lossy.done == (2 if was_done else 1)
    lossy.is_too_busy = lossy.loses_reversals = False
    ask(engine, clock)
    assert payments(engine) == [("declined", 0)]
    assert lossy.done == 2
    assert laws_hold(engine)


def test_a_reversal_that_was_not_taken_and_is_not_repeated_leaves_the_part(
    engine: Engine, lossy: Lossy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_outside(monkeypatch, lossy, idempotent=False)
    lossy.is_too_busy = True
    engine, _ = clocked(engine)
    assert hand_in(engine, PARTS).state == "completed"
    assert payments(engine) == [("approved", 500)]
    assert lossy.done == 1
    assert laws_hold(engine)


def test_a_reversal_is_not_repeated_where_that_is_not_safe(
    engine: Engine, lossy: Lossy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up, and settles the row when the processor knows it."""
    put_outside(monkeypatch, lossy, idempotent=False)
    engine, clock = clocked(engine)
    hand_in(engine, PARTS)
    assert payments(engine) == [("unknown", 0)]
    ask(engine, clock)
    assert payments(engine) == [("declined", 0)]
    assert [verb for verb, *_ in lossy.verbs] == ["sale", "void"]
    assert laws_hold(engine)


def test_a_person_decides_where_a_reversal_is_not_found(
    engine: Engine, lossy: Lossy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_outside(monkeypatch, lossy, idempotent=False)
    lossy.reaches = False
    engine, clock = clocked(engine)
    hand_in(engine, PARTS)
    ask(engine, clock, times=14)
    assert rows_of(engine, "SELECT state FROM attempt") == [("person",)]
    assert payments(engine) == [("unknown", 0)]
    assert [verb for verb, *_ in lossy.verbs] == ["sale", "void"]


def test_a_reversal_that_is_declined_leaves_the_part(
    engine: Engine, lossy: Lossy, monkeypatch: pytest.MonkeyPatch
) -> None:
    lossy.loses_reversals = False
    put_outside(monkeypatch, lossy)
    engine, _ = clocked(engine)
    assert hand_in(engine, PARTS.replace(",1000,", ",100400,")).state == "completed"
    assert payments(engine) == [("approved", 50_200)]
    assert laws_hold(engine)


def test_an_alert_that_was_not_taken_is_told_when_the_processor_takes_calls_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model()
    put_outside(monkeypatch, model)
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0,))
    engine, _ = clocked(engine)
    hand_in(engine, HEADER + f"sale,1000,USD,{CARD},p,\n")
    alert = "kind,payment,alert_id,alert_outcome\nalert_update,p,a1,stopped\n"
    model.is_busy = True
    batch = hand_in(engine, alert)
    assert rows_of(engine, "SELECT count(*) FROM alert_answer") == [(0,)]
    assert rows_of(engine, "SELECT count(*) FROM outcome") == [(1,)]
    model.is_busy = False
    resume(engine, load_batch(engine, batch.id), "somebody")
    batches.go_on(engine, batch.id)
    assert rows_of(engine, "SELECT state FROM outcome") == [("approved",)] * 2
    again = hand_in(engine, alert)
    assert again.state == "completed"
    told = rows_of(engine, "SELECT state, reason FROM outcome ORDER BY id DESC LIMIT 1")
    assert told == [("rejected", "alert_answered")]
