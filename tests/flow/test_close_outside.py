"""Close of day at a processor outside: nobody is asked inside a transaction, and nothing twice.

The processor is the model of test_outside, and its clock is set by hand.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from closing_support import HEADER, act, balances, close, row, sale, settled
from conftest import gate_values
from outside_support import LOST, Clock, Processor
from paybatch import registry
from paybatch.domain.connector import Result
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import find_place
from paybatch.flow.sending.close_day import carry_on, carry_on_all
from paybatch.flow.sending.decide import Decision, decide
from paybatch.flow.sending.recover import recover
from paybatch.store import directory
from paybatch.store.batches import Batch
from tests_support import laws_hold

pytestmark = pytest.mark.usefixtures("outside")


def run(engine: Engine, *rows: str) -> Batch:
    text = HEADER + "".join(f"{each}\n" for each in rows)
    request = Request(file_name="close.csv", dialect="native", again=True)
    return batches.run(engine, find_place(engine, "local"), [text.encode()], request)


def go_on(engine: Engine, batch: Batch) -> str:
    state = batches.go_on(engine, batch.id).state
    assert laws_hold(engine)
    return state


def asked(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.database.transaction() as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]  # the test's own


def outcomes(engine: Engine, kind: str) -> list[tuple[Any, ...]]:
    return asked(
        engine,
        "SELECT u.state, u.reason, u.message FROM outcome AS u INNER JOIN operation AS o "
        f"ON o.merchant_id = u.merchant_id AND o.id = u.id WHERE o.kind = '{kind}' ORDER BY u.id",
    )


def gate_state(engine: Engine, name: str = "sandbox") -> str:
    return str(asked(engine, f"SELECT state FROM gate WHERE name = '{name}'")[0][0])


def closes(processor: Processor) -> list[int]:
    return [amount for verb, amount in processor.effects.values() if verb == "close_day"]


def asks(monkeypatch: pytest.MonkeyPatch, send: Any) -> None:
    """Let the processor be asked otherwise."""
    own = replace(registry.connectors()["sandbox"], send=send)
    monkeypatch.setitem(registry.connectors(), "sandbox", own)


def is_clean(engine: Engine) -> bool:
    """Tell whether nothing of a close is left: calls, what it reserved, its open attempt."""
    left = "(SELECT count(*) FROM closing), (SELECT count(*) FROM closing_call), "
    left += "(SELECT count(*) FROM settling), (SELECT sum(reserved_void) FROM payment)"
    attempts = asked(engine, "SELECT 1 FROM attempt WHERE state IN ('unknown', 'person')")
    return asked(engine, f"SELECT {left}") == [(0, 0, 0, 0)] and not attempts


def test_a_close_is_told_outside_of_any_transaction(
    engine: Engine, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the processor is asked its gate is closing for everybody, and nothing is locked."""
    seen: list[tuple[str, int]] = []
    plain = Processor.send

    def send(self: Processor, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        if "close_day" in calls["verb"]:
            with engine.database.transaction() as connection:
                connection.execute("SET LOCAL lock_timeout = '1s'")
                connection.execute("SELECT 1 FROM payment FOR UPDATE").fetchall()
                connection.execute("SELECT 1 FROM gate FOR UPDATE").fetchall()
            seen.append((gate_state(engine), len(settled(engine))))
        yield from plain(self, calls)

    asks(monkeypatch, send.__get__(processor))
    done = run(engine, sale("a", 1000), sale("b", 500), act("refund", "a", "250"), close())
    assert done.state == "completed"
    assert settled(engine) == [
        ("sandbox", 1, "USD", "2026-11-21", 2, 1500, 1, 250, 1250, "approved")
    ]
    assert closes(processor) == [1500]
    assert balances(engine)["clearing"] == 1250
    assert balances(engine)["receivable"] == 0
    assert (gate_state(engine), is_clean(engine)) == ("open", True)
    assert laws_hold(engine)


def test_the_model_is_called_as_it_is(engine: Engine, processor: Processor) -> None:
    done = run(engine, sale("a", 1000), close(), sale("b", 7), close())
    assert done.state == "completed"
    assert closes(processor) == [1000, 7]
    days = asked(engine, "SELECT business_day::text FROM payment ORDER BY id")
    assert days == [("2026-11-21",), ("2026-11-22",)]
    assert is_clean(engine)


def test_a_close_without_answer_is_looked_up_and_rows_wait(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    first = run(engine, sale("a", LOST - 1), sale("b", 1))
    assert first.state == "completed"
    begun = run(engine, close(), sale("c", 40), act("refund", "a", "10"))
    assert begun.state == "waiting"
    carry_on_all(engine)  # told, and the answer is lost
    assert closes(processor) == [LOST]
    assert gate_state(engine) == "closing"
    assert settled(engine) == []
    other = run(engine, sale("d", 60, gate="many"), sale("e", 61))
    assert other.state == "waiting"  # its row at the other gate is done
    assert sorted(processor.effects.values()) == [
        *(("close_day", LOST), ("sale", 1), ("sale", 60), ("sale", LOST - 1))
    ]
    clock.now += timedelta(seconds=20)
    assert carry_on_all(engine) == 1
    assert (gate_state(engine), is_clean(engine)) == ("open", True)
    assert go_on(engine, begun) == go_on(engine, other) == "completed"
    assert settled(engine)[0][4:9] == (2, LOST, 0, 0, LOST)
    assert closes(processor) == [LOST]
    assert [each[0] for each in outcomes(engine, "sale")] == ["approved"] * 5
    days = asked(engine, "SELECT business_day::text FROM payment WHERE authorized IN (40, 61)")
    assert set(days) == {("2026-11-22",)}


def test_a_close_that_was_told_a_moment_ago_is_not_taken_for_absent(
    clocked: tuple[Engine, Clock], processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls in flight took long to drain, so it left much later than it was claimed."""
    engine, clock = clocked
    run(engine, sale("a", 900))
    sent: list[pl.DataFrame] = []

    def send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        sent.append(calls)
        return iter(())

    def drained(*_: object) -> None:
        clock.now += timedelta(minutes=10)

    monkeypatch.setattr("paybatch.flow.sending.close_day._drain", drained)
    own = replace(registry.connectors()["sandbox"], send=send, idempotent=False)
    monkeypatch.setitem(registry.connectors(), "sandbox", own)
    batch = run(engine, close())
    for _ in range(3):
        clock.now += timedelta(seconds=11)
        carry_on_all(engine)
    assert len(processor.looks) >= 2
    assert gate_state(engine) == "closing"
    list(processor.send(sent[0]))  # now it arrives
    clock.now += timedelta(hours=1)
    carry_on_all(engine)
    assert [state for state, *_ in outcomes(engine, "close_day")] == ["approved"]
    assert go_on(engine, batch) == "completed"
    assert (len(sent), closes(processor)) == (1, [900])


@pytest.mark.usefixtures("outside")
def test_a_close_of_a_worker_that_died_may_be_on_its_way(
    clocked: tuple[Engine, Clock], processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 900))
    sent: list[pl.DataFrame] = []

    def send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        sent.append(calls)
        raise KeyboardInterrupt

    def drained(*_: object) -> None:
        clock.now += timedelta(seconds=299)  # it was slow before it sent

    own = replace(registry.connectors()["sandbox"], send=send, idempotent=False)
    monkeypatch.setitem(registry.connectors(), "sandbox", own)
    with monkeypatch.context() as patch:
        patch.setattr("paybatch.flow.sending.close_day._drain", drained)
        run(engine, close())
        with pytest.raises(KeyboardInterrupt):
            carry_on_all(engine)
    clock.now += timedelta(minutes=5, seconds=1)
    carry_on_all(engine)
    assert len(processor.looks) == 1
    assert gate_state(engine) == "closing"
    list(processor.send(sent[0]))  # now it arrives
    clock.now += timedelta(hours=1)
    carry_on_all(engine)
    assert [state for state, *_ in outcomes(engine, "close_day")] == ["approved"]


def test_a_declined_close_leaves_the_gate_closing_until_it_is_unlocked(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, _ = clocked
    run(engine, sale("a", 50_000), sale("b", 400))  # 504.00 is an error of the sandbox
    begun = run(engine, close(), close(), sale("c", 100))
    carry_on_all(engine)
    assert go_on(engine, begun) == "waiting"  # nothing is rejected: the sale waits
    ((state, _, message), (second, reason, _)) = outcomes(engine, "close_day")
    assert (state, second, reason) == ("declined", "rejected", "gate_closing")
    assert "nothing moved" in message
    assert (gate_state(engine), is_clean(engine)) == ("closing", True)
    assert (settled(engine), balances(engine)["clearing"]) == ([], 0)
    done = run(engine, row("gate_unlock", gate="sandbox"))
    assert done.state == "completed"
    assert go_on(engine, begun) == "completed"
    assert run(engine, close()).state == "waiting"
    carry_on_all(engine)
    assert settled(engine)[0][4:6] == (3, 50_500)


def test_what_is_unknown_is_listed_and_falls_into_the_next_day(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1000), sale("v", LOST))  # the second sale is done, and nobody knows
    clock.now += timedelta(seconds=1)
    begun = run(engine, close())
    carry_on_all(engine)
    assert go_on(engine, begun) == "completed"
    ((state, _, message),) = outcomes(engine, "close_day")
    assert state == "approved"
    assert "not known yet, and left to the day in which it settles: op_" in message
    assert "sale USD 7.01" in message
    assert settled(engine)[0][4:6] == (1, 1000)
    clock.now += timedelta(minutes=1)
    assert recover(engine) == 1
    run(engine, close())
    carry_on_all(engine)
    clock.now += timedelta(minutes=1)
    carry_on_all(engine)
    assert settled(engine)[1][4:6] == (1, LOST)
    assert laws_hold(engine)


def test_a_void_under_way_is_not_settled(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1000), sale("b", 800))
    run(engine, act("void", "a", str(LOST)))
    run(engine, close())
    carry_on_all(engine)
    assert settled(engine)[0][4:6] == (1, 800)
    clock.now += timedelta(minutes=1)
    assert recover(engine) == 1
    found = asked(engine, "SELECT captured, cancelled, settled FROM payment ORDER BY id")
    assert found == [(1000, LOST, 0), (800, 0, 800)]
    run(engine, close())
    carry_on_all(engine)
    assert settled(engine)[1][4:6] == (1, 1000 - LOST)
    assert laws_hold(engine)


def test_control_totals_that_differ_are_refused_and_the_gate_is_open(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, _ = clocked
    run(engine, sale("a", 1000))
    begun = run(engine, close(expected_sale_minor="999"), sale("b", 1))
    carry_on_all(engine)
    assert go_on(engine, begun) == "completed"
    assert outcomes(engine, "close_day")[0][:2] == ("rejected", "totals_differ")
    assert (closes(processor), settled(engine), gate_state(engine)) == ([], [], "open")
    assert is_clean(engine)
    errors = asked(engine, "SELECT reason, column_name, value FROM row_error")
    assert errors == [("totals_differ", "expected_sale_minor", "999")]


def test_a_close_is_taken_on_wherever_its_worker_was_killed(
    clocked: tuple[Engine, Clock], processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1000))
    begun = run(engine, close())
    for step in ("_drain", "_tell", "replies_of", "_conclude", "finish"):
        with monkeypatch.context() as patch:
            patch.setattr(f"paybatch.flow.sending.close_day.{step}", _killed)
            if asked(engine, "SELECT 1 FROM closing"):
                with pytest.raises(KeyboardInterrupt):
                    carry_on_all(engine)
        assert gate_state(engine) == "closing"
        clock.now += timedelta(minutes=6)
    assert carry_on_all(engine) == 1
    assert go_on(engine, begun) == "completed"
    assert closes(processor) == [1000]
    assert (settled(engine)[0][4:6], is_clean(engine)) == ((1, 1000), True)


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_who_lost_a_close_settles_nothing(
    clocked: tuple[Engine, Clock], processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is stopped while it asks finds that another one has ended the close."""
    engine, clock = clocked
    run(engine, sale("a", 1000))
    run(engine, close())
    plain = Processor.send
    nested: list[int] = []

    def send(self: Processor, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        yield from plain(self, calls)
        if not nested:
            nested.append(0)
            clock.now += timedelta(minutes=6)
            nested[0] = carry_on_all(engine)

    asks(monkeypatch, send.__get__(processor))
    assert carry_on_all(engine) == 0
    assert nested == [1]
    assert len(settled(engine)) == 1
    assert laws_hold(engine)


def test_an_unlocked_gate_goes_on_while_its_close_is_asked_about(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1000))
    processor.is_mute = True
    run(engine, close())
    carry_on_all(engine)
    processor.is_mute = False
    assert run(engine, row("gate_unlock", gate="sandbox")).state == "completed"
    done = run(engine, sale("b", 5), act("void", "a", "1"))
    assert done.state == "completed"
    assert outcomes(engine, "void")[0][0] == "rejected"  # what is being settled is not cancelled
    run(engine, close())  # a second one, of what came behind
    carry_on_all(engine)
    clock.now += timedelta(minutes=1)
    assert carry_on_all(engine) == 1
    assert [(each[1], each[5]) for each in settled(engine)] == [(1, 5), (2, 1000)]
    assert is_clean(engine)
    assert laws_hold(engine)


def overtaken(
    clocked: tuple[Engine, Clock], processor: Processor, gate: str, *rows: str
) -> tuple[Engine, int]:
    """Close a gate without an answer and unlock it; give the close, which is answered by now."""
    engine, clock = clocked
    run(engine, *rows)
    processor.is_mute = True
    run(engine, close(gate))
    carry_on_all(engine)
    assert run(engine, row("gate_unlock", gate=gate)).state == "completed"
    processor.is_mute = False
    clock.now += timedelta(minutes=1)
    return engine, asked(engine, "SELECT operation_id FROM closing")[0][0]


@pytest.mark.parametrize("is_declined", [True, False])
def test_an_overtaken_close_does_not_open_the_gate_of_a_later_one(
    clocked: tuple[Engine, Clock], processor: Processor, is_declined: bool
) -> None:
    engine, first = overtaken(clocked, processor, "sandbox", sale("a", 1000))
    run(engine, sale("b", 50_000), sale("c", 400 if is_declined else 1))  # 504.00 is an error
    run(engine, close())
    if is_declined:
        carry_on(engine, asked(engine, "SELECT max(operation_id) FROM closing")[0][0])
    assert gate_state(engine) == "closing"
    carry_on(engine, first)
    assert [each[5] for each in settled(engine)] == [1000]
    assert gate_state(engine) == "closing"
    carry_on_all(engine)
    assert gate_state(engine) == ("closing" if is_declined else "open")
    assert is_clean(engine)
    assert laws_hold(engine)


def test_an_overtaken_close_that_ends_in_part_takes_no_gate_to_an_earlier_day(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    euros = [sale(name, amount, gate="many", currency="EUR") for name, amount in _EUROS]
    engine, first = overtaken(clocked, processor, "many", sale("a", 1000, gate="many"), *euros)
    run(engine, close("many"))
    carry_on(engine, asked(engine, "SELECT max(operation_id) FROM closing")[0][0])
    query = "SELECT business_day::text, close_count, state FROM gate WHERE name = 'many'"
    assert asked(engine, query) == [("2026-11-22", 1, "open")]
    carry_on(engine, first)
    assert outcomes(engine, "close_day")[0][0] == "declined"  # in euros
    assert asked(engine, query) == [("2026-11-22", 2, "open")]
    assert laws_hold(engine)


_EUROS = (("e", 50_000), ("f", 400))  # 504.00 is an error of the sandbox


@pytest.mark.parametrize("result", ["approved", "declined"])
def test_a_person_decides_a_close_that_nobody_tells_of(
    clocked: tuple[Engine, Clock], processor: Processor, result: str
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1000))
    processor.is_mute = True
    begun = run(engine, close(), sale("b", 1))
    for _ in range(20):
        clock.now += timedelta(days=1)
        carry_on_all(engine)
        recover(engine)
    ((merchant, operation, state),) = asked(
        engine, "SELECT merchant_id, operation_id, state FROM attempt WHERE act = 'close_day'"
    )
    assert state == "person"
    processor.is_mute = False
    decision = Decision(result=Result(result), note="the bank's letter", actor="user:ann")
    assert decide(engine, [merchant], operation, decision).batch_id == begun.id
    assert is_clean(engine)
    assert outcomes(engine, "close_day")[0][0] == result
    assert len(settled(engine)) == (result == "approved")
    assert go_on(engine, begun) == ("completed" if result == "approved" else "waiting")
    assert len(closes(processor)) == 1


def test_single_calls_close_and_are_told_to_come_again(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    run(engine, sale("a", 1000))
    caller = Caller(engine, find_place(engine, "local"))
    wanted = {"kind": "close_day", "gate": "sandbox", "idempotency_key": "day"}
    processor.is_mute = True
    assert caller.call(wanted)["state"] == "unknown"
    asks = {"kind": "refund", "payment": "a", "amount_minor": "5", "idempotency_key": "r"}
    refused = caller.call(asks)
    assert (refused["state"], refused["reason"]) == ("rejected", "gate_closes")
    processor.is_mute = False
    clock.now += timedelta(seconds=20)
    assert carry_on_all(engine) == 1
    assert caller.call(asks)["state"] == "approved"  # a rejected call frees its key
    again = caller.call(wanted)
    assert (again["state"], again["first_state"]) == ("replayed", "approved")
    answer = caller.call({"kind": "close_day", "gate": "sandbox"})
    assert answer["state"] == "approved"
    assert "settlement 2" in answer["message"]
    assert laws_hold(engine)


def test_calls_in_flight_drain_first(
    engine: Engine, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close waits for the answer of a call that was under way when its gate began to close."""
    seen: list[str] = []
    plain = Processor.send

    def send(self: Processor, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        for call in calls.iter_slices(1):
            if call["amount_minor"][0] == 77:
                batch = _started(engine, close())
                seen.append(gate_state(engine))
                self.calls.append(str(batch.id))
            yield from plain(self, call)

    asks(monkeypatch, send.__get__(processor))
    assert run(engine, sale("a", 77)).state == "completed"
    assert seen == ["closing"]
    carry_on_all(engine)
    assert settled(engine)[0][4:6] == (1, 77)


def _started(engine: Engine, *rows: str) -> Batch:
    """Run rows as a file up to their claim."""
    hasty = engine.settings.model_copy(update={"patience_seconds": 0.0})
    return run(replace(engine, settings=hasty), *rows)


def test_gates_of_a_processor_stand_each_for_itself(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    """What one gate's processor took is settled, also where it did not take another's."""
    engine, _ = clocked
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate_values("third"))
    run(engine, sale("a", 1000), sale("b", 50_000, gate="third"))
    run(engine, sale("c", 400, gate="third"))
    begun = run(engine, row("close_day", processor="sandbox"))
    carry_on_all(engine)
    assert go_on(engine, begun) == "completed"
    ((state, _, message),) = outcomes(engine, "close_day")
    assert state == "declined"
    assert "gate third, USD: its processor did not take the close" in message
    assert [each[:2] for each in settled(engine) if each[5]] == [("sandbox", 1)]
    assert (gate_state(engine), gate_state(engine, "third")) == ("open", "closing")
    assert is_clean(engine)


def test_terminal_capture_tells_its_batch_outside_too(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, _ = clocked
    with engine.database.transaction() as connection:
        connection.execute("""UPDATE gate SET capabilities = '{"terminal_capture": true}'""")
    run(engine, sale("h", 300, "authorize"), sale("s", 20))
    begun = run(engine, row("capture_all", gate="sandbox"))
    carry_on_all(engine)
    assert go_on(engine, begun) == "completed"
    assert load_batch(engine, begun.id).state == "completed"
    assert outcomes(engine, "capture_all")[0][0] == "approved"
    assert closes(processor) == [320]
    assert settled(engine)[0][4:6] == (2, 320)
    assert is_clean(engine)
