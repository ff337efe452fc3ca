"""Calls that are rebuilt from the database: as they were sent, each for itself."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from outside_support import CARD, INLINE, SALE, Clock, Model, clocked, hand_in
from paybatch import registry
from paybatch.domain.connector import Result
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.people import WrongError
from paybatch.flow.place import Place, find_place
from paybatch.flow.sending.decide import Decision, decide
from paybatch.flow.sending.recover import WAITS_SECONDS, recover
from paybatch.store import attempts, operations
from tests_support import laws_hold

DEBIT = {"kind": "direct_debit", "account_number": "1234567890", "routing_number": "021000021"}
DEBIT |= {"account_type": "checking", "sec_code": "WEB", "currency": "USD", "amount_minor": "700"}


@dataclass
class Typed(Model):
    """The model, told calls in the types that they come in: a null says which."""

    schema: pl.Schema | None = None
    heard: list[dict[str, Any]] = field(default_factory=list)

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Answer each call."""
        self.schema = calls.schema
        self.heard += calls.rows(named=True)
        return super().send(calls)

    def look_up(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Tell what became of keys."""
        self.schema = calls.schema
        return super().look_up(calls)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Let the sandbox be really outside."""
    made = Typed()
    monkeypatch.setitem(registry.connectors(), "sandbox", made.connector())
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return made


@pytest.fixture
def late(engine: Engine) -> tuple[Engine, Clock]:
    return clocked(engine)


def rows_of(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    """Ask the database."""
    with engine.database.transaction() as connection:
        return connection.execute(query).fetchall()


def run(engine: Engine, text: str) -> str:
    """Run a file of any columns; give the state of its batch."""
    request = Request(file_name="any.csv", dialect="native", again=True)
    return batches.run(engine, find_place(engine, "local"), [text.encode()], request).state


REBILL = "kind,payment,amount_minor\nrebill,a,10\n"


@pytest.mark.parametrize("is_lost_before", [False, True])
def test_what_a_row_took_from_its_source_is_taken_again(
    late: tuple[Engine, Clock], model: Typed, is_lost_before: bool
) -> None:
    engine, clock = late
    hand_in(engine, f"sale,100,USD,{CARD},a,\n")
    model.loses = True
    assert run(engine, REBILL) == "waiting"
    model.loses = False
    if is_lost_before:
        model.replies.popitem()  # so it is sent again
    model.heard.clear()
    clock.now += timedelta(minutes=3)
    assert recover(engine) == 1
    assert [(each["currency"], each["number_id"] is None) for each in model.heard] == (
        [("USD", False)] if is_lost_before else []
    )
    found = rows_of(engine, "SELECT captured, currency, brand FROM payment ORDER BY id")
    assert found == [(100, "USD", "visa"), (10, "USD", "visa")]
    assert laws_hold(engine)


def test_one_that_cannot_be_settled_waits_for_a_person_and_holds_up_nobody(
    late: tuple[Engine, Clock], place: Place, model: Typed
) -> None:
    engine, clock = late
    caller = Caller(engine, place)
    sale = caller.call({**SALE, "amount_minor": "1000"})
    model.loses = True
    void = {"kind": "refund", "payment": sale["payment"], "amount_minor": "700"}
    assert caller.call(void)["state"] == "unknown"
    assert caller.call({**SALE, "amount_minor": "5"})["state"] == "unknown"
    with engine.database.transaction() as connection:
        connection.execute("UPDATE payment SET reserved_refund = 0")  # so landing breaks a rule
    clock.now += timedelta(minutes=3)
    assert recover(engine) == 1
    assert rows_of(engine, "SELECT state FROM attempt ORDER BY operation_id") == [
        ("known",),
        ("person",),
        ("known",),
    ]
    told = rows_of(engine, "SELECT detail FROM audit WHERE action = 'operation.unsettled'")
    assert len(told) == 1
    assert "payment" in str(told)
    assert recover(engine) == 0
    (operation,) = rows_of(engine, "SELECT operation_id FROM attempt WHERE state = 'person'")[0]
    said = Decision(result=Result.APPROVED, note="it was done", actor="me")
    with pytest.raises(WrongError, match="breaks payment"):
        decide(engine, [place.merchant_id], operation, said)


def test_a_single_call_keeps_what_its_effects_read(
    late: tuple[Engine, Clock], place: Place, model: Typed
) -> None:
    engine, clock = late
    caller = Caller(engine, place)
    held = caller.call({**SALE, "kind": "authorize", "amount_minor": "5000"})
    model.loses = True
    up = {"kind": "adjust", "payment": held["payment"], "direction": "up", "amount_minor": "701"}
    assert caller.call(up)["state"] == "unknown"
    assert caller.call({**DEBIT, "collect_on": "2026-11-25"})["state"] == "unknown"
    clock.now += timedelta(minutes=3)
    assert recover(engine) == 2
    found = rows_of(engine, "SELECT authorized, captured, state FROM payment ORDER BY id")
    assert found == [(5701, 0, "approved"), (700, 0, "in_collection")]
    assert laws_hold(engine)


def test_what_is_kept_of_a_single_call_shows_no_number_and_no_cvv(
    late: tuple[Engine, Clock], place: Place, model: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = late[0]
    wanting = replace(model.connector(), wants=INLINE.wants | {"billing_last_name"})
    monkeypatch.setitem(registry.connectors(), "sandbox", wanting)
    model.loses = True
    asked = {**SALE, "amount_minor": "5", "card_cvv": "987", "billing_postal_code": "12345"}
    asked["billing_last_name"] = "4111111111111111"
    assert Caller(engine, place).call(asked)["state"] == "unknown"
    ((text,),) = rows_of(engine, "SELECT cells FROM row_text")
    kept = json.loads(text)
    assert kept == {"billing_postal_code": "12345", "billing_last_name": "411111******1111"}
    assert rows_of(engine, "SELECT count(*) FROM row_text_default") == [(0,)]


def test_a_connector_that_is_not_installed_is_waited_for(
    late: tuple[Engine, Clock], model: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, clock = late
    model.loses = True
    hand_in(engine, f"sale,100,USD,{CARD},a,\n")
    with monkeypatch.context() as patch:
        patch.delitem(registry.connectors(), "sandbox")
        for _ in range(len(WAITS_SECONDS) + 2):
            clock.now += timedelta(days=2)
            assert recover(engine) == 0
        assert rows_of(engine, "SELECT state, looks FROM attempt") == [("unknown", 0)]
        run(engine, "kind,payment\nquery_status,a\n")
        assert ("unknown",) in rows_of(engine, "SELECT state FROM attempt")
    clock.now += timedelta(minutes=10)
    assert recover(engine) == 1
    assert rows_of(engine, "SELECT state FROM payment") == [("approved",)]


def test_a_call_is_asked_about_by_the_key_that_it_was_sent_with(
    late: tuple[Engine, Clock], model: Typed
) -> None:
    engine, clock = late
    model.loses = True
    hand_in(engine, f"sale,100,USD,{CARD},a,\n")
    with engine.database.transaction() as connection:
        connection.execute("UPDATE attempt SET key = 'of-old-1'")
    model.replies = {"of-old-1": next(iter(model.replies.values()))}
    clock.now += timedelta(minutes=3)
    assert recover(engine) == 1
    assert model.looks == ["of-old-1"]


def test_rows_that_are_far_apart_are_read_one_by_one(
    late: tuple[Engine, Clock], model: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, clock = clocked(late[0], chunk_rows=5)
    wanting = replace(model.connector(), wants=INLINE.wants | {"email"})
    monkeypatch.setitem(registry.connectors(), "sandbox", wanting)
    model.loses = True
    rows = [f"sale,{i},USD,{CARD},r{i},123,{i}@b.example\n" for i in range(1, 21)]
    header = "kind,amount_minor,currency,card_number,card_expiry,reference,card_cvv,email\n"
    run(engine, header + "".join(rows))
    with engine.database.transaction() as connection:
        connection.execute(
            "UPDATE attempt SET next_look_at = NULL, state = 'person'"
            " WHERE operation_id % 1073741824 NOT IN (2, 20)"
        )
    ranges: list[Any] = []
    opened: list[int] = []
    row_cells = operations.row_cells

    def ranged(*told: Any) -> pl.DataFrame:
        ranges.append(told[3])
        return row_cells(*told)

    monkeypatch.setattr(operations, "row_cells", ranged)
    real = attempts.secrets_of_lines

    def counted(*told: Any) -> Any:
        found = real(*told)
        opened.append(len(found))
        return found

    monkeypatch.setattr(attempts, "secrets_of_lines", counted)
    model.replies.clear()  # so that they are sent again, with their CVVs
    model.loses = False
    model.heard.clear()
    clock.now += timedelta(minutes=3)
    assert recover(engine) == 2
    assert [each["cvv"] for each in model.heard] == ["123", "123"]
    assert [each["email"] for each in model.heard] == ["1@b.example", "19@b.example"]
    assert (ranges, opened) == ([], [2])
