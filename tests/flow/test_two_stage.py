"""Reversals in two stages: what is prepared, who completes it, and what it keeps off meanwhile."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from matrix_support import BANK_SALE, HOLD, SALE, TRANSFER, Cells, Done, Gate
from outside_support import CARD, Clock, Model, clocked, hand_in, outcomes
from outside_support import SALE as CALL
from paybatch import registry
from paybatch.domain import payment
from paybatch.domain.connector import Connector, Result, Verb
from paybatch.flow import batch as batches
from paybatch.flow import clock
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, find_place
from paybatch.flow.sending.decide import Decision, decide, unknown
from paybatch.flow.sending.recover import recover
from settle_support import settle
from tests_support import laws_hold

PREPARED = "prepared: commit_reversal completes it, withdraw_reversal takes it back"
AMEX = {**HOLD, "card_number": "378282246310005"}


def on(kind: str, amount: str = "", **cells: str) -> Cells:
    """Give a row that acts on the payment ``p``."""
    return {"kind": kind, "payment": "p", "amount_minor": amount, **cells}


def short(done: list[Done]) -> list[str]:
    """Say how rows ended: the payment's status of those that were done, else the reason."""
    return [str(each.reason or (each.status if each.state == "approved" else "!")) for each in done]


def amounts(gate: Gate) -> dict[str, int]:
    """Give the amounts of ``p`` that are not zero."""
    row = gate.payments()["p"]
    return {name: int(str(row[name])) for name in payment.AMOUNTS if row[name]}


def settled(gate: Gate) -> None:
    """Settle the payment."""
    with gate.engine.database.transaction() as connection:
        settle(gate.engine, connection, [int(str(gate.payments()["p"]["id"]))])


@pytest.fixture
def gate(engine: Engine) -> Gate:
    return Gate(engine, "staged", two_stage_reversal=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Give what the sandbox is asked: verb and amount."""
    found: list[tuple[str, int]] = []
    own: Connector = registry.connectors()["sandbox"]

    def send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        found.extend(calls.select("verb", "amount_minor").rows())
        return own.send(calls)

    seen = {**registry.connectors(), "sandbox": replace(own, send=send)}
    monkeypatch.setattr("paybatch.flow.place.registry.connectors", lambda: seen)
    return found


@pytest.mark.parametrize("kind", ["reverse", "prepare_reversal"])
@pytest.mark.parametrize(
    ("made", "status", "end", "undone", "verb"),
    [
        (HOLD, "authorized", "voided", "released", "void"),
        (SALE, "captured", "voided", "cancelled", "void"),
    ],
)
def test_a_reversal_is_prepared_and_then_committed(  # noqa: PLR0917 - a table
    gate: Gate,
    asked: list[tuple[str, int]],
    kind: str,
    made: Cells,
    status: str,
    end: str,
    undone: str,
    verb: str,
) -> None:
    done = gate.run([{**made, "reference": "p"}, on(kind)])
    assert short(done)[1] == status
    assert done[1].postings == ""
    assert amounts(gate)["prepared"] == 1000
    assert asked[1:] == [("prepare_reversal", 1000)]
    assert short(gate.run([on("commit_reversal")])) == [end]
    assert asked[2:] == [(verb, 1000)]
    assert amounts(gate)[undone] == 1000
    assert "prepared" not in amounts(gate)
    assert laws_hold(gate.engine)


def test_rows_of_one_file_take_effect_in_line_order(gate: Gate) -> None:
    rows = [
        {**SALE, "reference": "p"},
        on("reverse", "300", currency="USD"),
        on("refund", "1"),
        on("reverse", "200", currency="USD"),
        on("reverse", "501", currency="USD"),
        on("commit_reversal", "501", currency="USD"),
        on("commit_reversal", "100", currency="USD"),
        on("commit_reversal"),
        on("refund", "50", currency="USD"),
    ]
    told = ["captured", "captured", "reversal_prepared", "captured", "amount_above_left"]
    told += ["amount_above_left", "captured", "captured", "partially_refunded"]
    assert short(gate.run(rows)) == told
    assert amounts(gate) == {"authorized": 1000, "captured": 1000, "cancelled": 500, "refunded": 50}
    assert laws_hold(gate.engine)


def test_what_is_prepared_is_left_alone_by_others(gate: Gate) -> None:
    rows = [{**HOLD, "reference": "p"}, on("reverse", "400", currency="USD")]
    rows += [on("capture", "100"), on("void"), on("refund"), on("capture")]
    rows += [on("adjust", "100", currency="USD", direction="up")]
    told = ["authorized", "authorized", *["reversal_prepared"] * 5]
    assert short(gate.run(rows)) == told
    rows = [on("withdraw_reversal", "150", currency="USD"), on("capture", "1")]
    assert short(gate.run(rows)) == ["authorized", "reversal_prepared"]
    rows = [on("withdraw_reversal"), on("withdraw_reversal"), on("capture")]
    assert short(gate.run(rows)) == ["authorized", "nothing_prepared", "captured"]
    assert amounts(gate) == {"authorized": 1000, "captured": 1000}
    assert laws_hold(gate.engine)


def test_what_is_settled_meanwhile_is_refunded(gate: Gate, asked: list[tuple[str, int]]) -> None:
    gate.run([{**HOLD, "reference": "p"}, on("capture", "400"), on("reverse")])
    assert amounts(gate)["prepared"] == 1000
    settled(gate)
    done = gate.run([on("commit_reversal"), on("commit_reversal"), on("commit_reversal")])
    assert short(done) == ["partially_refunded", "refunded", "status_not_allowed"]
    assert asked[3:] == [("refund", 400), ("void", 600)]
    assert amounts(gate)["refunded"] == 400
    assert laws_hold(gate.engine)


def test_where_nothing_is_prepared_a_commit_does_it_at_once(engine: Engine) -> None:
    rest = {"one": on("commit_reversal"), "two": on("commit_reversal", "700", currency="USD")}
    for name, row in rest.items():
        gate = Gate(engine, name, two_stage_reversal=name == "two")
        rows = [{**SALE, "reference": "p"}, on("commit_reversal", "300", currency="USD"), row]
        assert short(gate.run(rows)) == ["captured", "captured", "voided"]
        assert amounts(gate) == {"authorized": 1000, "captured": 1000, "cancelled": 1000}
    assert laws_hold(engine)


@pytest.mark.parametrize("made", [SALE, HOLD])
@pytest.mark.parametrize(
    ("rows", "told", "undone"),
    [
        ([on("reverse", "200", currency="EUR")], "currency_differs", 0),
        ([on("reverse", "200", currency="USD"), on("withdraw_reversal")], None, 0),
        ([on("reverse", "200", currency="USD"), on("commit_reversal")], None, 200),
    ],
)
def test_a_commit_of_what_is_not_prepared_says_how_much(  # noqa: PLR0917 - a table
    engine: Engine,
    asked: list[tuple[str, int]],
    made: Cells,
    rows: list[Cells],
    told: str | None,
    undone: int,
) -> None:
    gate = Gate(engine, "staged", "USD", "EUR", two_stage_reversal=True)
    done = gate.run([{**made, "reference": "p"}, *rows])
    assert done[-1].reason == told
    known, called = gate.payments(), len(asked)
    assert short(gate.run([on("commit_reversal")] * 2)) == ["nothing_to_commit"] * 2
    assert (gate.payments(), len(asked)) == (known, called)
    row = known["p"]
    assert int(str(row["cancelled"])) + int(str(row["released"])) == undone
    assert short(gate.run([on("commit_reversal", "100", currency="USD")])) == [known["p"]["status"]]
    assert asked[called:] == [("void", 100)]
    assert laws_hold(engine)


def test_at_a_gate_of_one_stage_it_is_prepared_with_us_alone(
    engine: Engine, asked: list[tuple[str, int]]
) -> None:
    gate = Gate(engine, "one")
    rows = [{**SALE, "reference": "p"}, on("prepare_reversal", "300", currency="USD")]
    rows += [on("reverse"), on("prepare_reversal", "200", currency="USD")]
    assert short(gate.run(rows)) == ["captured", "captured", "reversal_prepared", "captured"]
    assert asked == [("sale", 1000)]
    rows = [on("withdraw_reversal", "100", currency="USD"), on("commit_reversal"), on("reverse")]
    assert short(gate.run(rows)) == ["captured", "captured", "voided"]
    assert asked[1:] == [("void", 400), ("void", 600)]
    assert laws_hold(engine)


def test_a_processor_without_preparations_is_not_asked(
    engine: Engine, asked: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = registry.connectors()["sandbox"]
    able = own.verbs - {Verb.PREPARE_REVERSAL, Verb.WITHDRAW_REVERSAL}
    known = {"sandbox": replace(own, verbs=able)}
    monkeypatch.setattr("paybatch.flow.place.registry.connectors", lambda: known)
    gate = Gate(engine, "staged", two_stage_reversal=True)
    rows = [{**SALE, "reference": "p"}, on("reverse"), on("withdraw_reversal"), on("reverse")]
    assert short(gate.run([*rows, on("commit_reversal")])) == [*["captured"] * 4, "voided"]
    assert [verb for verb, _ in asked] == ["sale", "void"]


def test_a_declined_step_changes_nothing(gate: Gate) -> None:
    """50200 is declined by the sandbox, whatever is asked."""
    amount = {"amount_minor": "60000"}
    part = on("commit_reversal", "50200", currency="USD")
    rows = [{**SALE, **amount, "reference": "p"}, on("reverse", "50200", currency="USD")]
    assert [each.state for each in gate.run(rows)] == ["approved", "declined"]
    assert "prepared" not in amounts(gate)
    rows = [on("reverse"), part, on("withdraw_reversal", "50200", currency="USD")]
    assert [each.state for each in gate.run(rows)] == ["approved", "declined", "declined"]
    assert amounts(gate) == {"authorized": 60000, "captured": 60000, "prepared": 60000}
    assert [each.state for each in gate.run([on("commit_reversal")])] == ["approved"]
    assert laws_hold(gate.engine)


def test_a_card_of_the_sandbox_is_not_prepared(gate: Gate) -> None:
    sale = {**SALE, "card_number": "4000000000000366", "reference": "p"}
    at_once = on("commit_reversal", "1000", currency="USD")
    done = gate.run([sale, on("reverse"), on("commit_reversal"), at_once])
    assert [each.state for each in done] == ["approved", "declined", "rejected", "approved"]
    assert done[2].reason == "nothing_to_commit"
    assert amounts(gate)["cancelled"] == 1000


@pytest.mark.parametrize("amount", ["", "400"])
def test_the_processor_is_not_asked_about_what_it_was_not_told(
    gate: Gate, asked: list[tuple[str, int]], amount: str
) -> None:
    row = on("withdraw_reversal", amount, currency="USD" if amount else "")
    done = gate.run([{**AMEX, "reference": "p"}, on("reverse"), row])
    assert short(done) == ["authorized"] * 3
    assert [verb for verb, _ in asked] == ["authorize"]
    assert amounts(gate).get("prepared", 0) == (600 if amount else 0)


def test_of_a_payment_captured_in_part_it_is_asked_for_that_part(
    gate: Gate, asked: list[tuple[str, int]]
) -> None:
    rows = [{**AMEX, "reference": "p"}, on("capture", "400", currency="USD"), on("reverse")]
    gate.run([*rows, on("withdraw_reversal")])
    assert asked[2:] == [("prepare_reversal", 400), ("withdraw_reversal", 400)]
    assert "prepared" not in amounts(gate)


def test_what_is_declined_is_taken_back_by_force(gate: Gate) -> None:
    """50200 is declined by the sandbox, whatever is asked."""
    part = on("withdraw_reversal", "50200", currency="USD")
    rows = [{**SALE, "amount_minor": "60000", "reference": "p"}, on("reverse"), part]
    assert [each.state for each in gate.run(rows)] == ["approved", "approved", "declined"]
    assert amounts(gate)["prepared"] == 60000
    assert short(gate.run([{**part, "force": "true"}])) == ["captured"]
    assert amounts(gate)["prepared"] == 9800
    assert laws_hold(gate.engine)


def test_what_was_prepared_before_the_processor_could_is_taken_back(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = registry.connectors()["sandbox"]
    unable = replace(able, verbs=able.verbs - {Verb.PREPARE_REVERSAL, Verb.WITHDRAW_REVERSAL})
    known = {"sandbox": unable}
    monkeypatch.setattr("paybatch.flow.place.registry.connectors", lambda: known)
    gate = Gate(engine, "staged", two_stage_reversal=True)
    sale = {**SALE, "amount_minor": "50200", "reference": "p"}
    gate.run([{**sale, "amount_minor": "60000"}, on("reverse", "50200", currency="USD")])
    known["sandbox"] = able
    assert [each.state for each in gate.run([on("withdraw_reversal")])] == ["declined"]
    done = gate.run([{**on("withdraw_reversal"), "force": "true"}, on("refund")])
    assert short(done) == ["captured", "refunded"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([SALE, on("void"), on("reverse")], "cancelled_already"),
        ([HOLD, on("expire"), on("reverse")], "hold_expired"),
        ([SALE, on("reverse", "1001")], "amount_above_left"),
        ([SALE, on("refund"), on("reverse")], "status_not_allowed"),
        ([SALE, on("withdraw_reversal")], "nothing_prepared"),
        ([SALE, on("reverse"), on("withdraw_reversal", "1001")], "amount_above_left"),
        ([SALE, on("reverse"), on("commit_reversal", "1001")], "amount_above_left"),
        ([SALE, on("reverse"), on("reverse")], "nothing_left"),
        ([{**HOLD, "card_number": "4000000000000119"}, on("reverse")], "challenged"),
    ],
)
def test_what_cannot_be_prepared_is_refused_with_its_reason(
    gate: Gate, rows: list[Cells], reason: str
) -> None:
    done = gate.run([{**rows[0], "reference": "p"}, *rows[1:]])
    assert short(done)[-1] == reason, done


def test_a_gate_that_voids_and_refunds_strictly_prepares_strictly(engine: Engine) -> None:
    strict = {"partial_void": False, "void_captured": False, "refund_before_settlement": False}
    gate = Gate(engine, "g", two_stage_reversal=True, **strict)
    hold = [{**HOLD, "reference": "p"}, on("reverse", "400"), on("reverse"), on("commit_reversal")]
    told = ["authorized", "partial_not_supported", "authorized", "voided"]
    assert short(gate.run(hold)) == told
    sale = {**SALE, "reference": "q"}
    assert short(gate.run([sale, {**on("reverse"), "payment": "q"}]))[1] == "not_settled_yet"
    with engine.database.transaction() as connection:
        settle(engine, connection, [int(str(gate.payments()["q"]["id"]))])
    rows = [
        {**on(kind, "400", currency="USD"), "payment": "q"}
        for kind in ("reverse", "commit_reversal")
    ]
    assert short(gate.run(rows)) == ["settled", "partially_refunded"]
    assert laws_hold(engine)


def test_where_wholes_are_voided_no_part_is_left_to_be(
    engine: Engine, asked: list[tuple[str, int]]
) -> None:
    gate = Gate(engine, "g", two_stage_reversal=True, partial_void=False)
    rows = [{**HOLD, "reference": "p"}, on("reverse"), on("withdraw_reversal", "400")]
    told = ["authorized", "authorized", "partial_not_supported", "authorized"]
    assert short(gate.run([*rows, on("withdraw_reversal")])) == told
    assert asked[2:] == [("withdraw_reversal", 1000)]
    assert laws_hold(engine)


def test_a_part_that_is_prepared_is_no_void_where_wholes_are(
    engine: Engine, asked: list[tuple[str, int]]
) -> None:
    """The gate voids parts when it is prepared, and wholes only when it is committed."""
    gate = Gate(engine, "g", two_stage_reversal=True)
    gate.run([{**HOLD, "reference": "p"}, on("reverse", "600", currency="USD")])
    with engine.database.transaction() as connection:
        strict = """UPDATE gate SET capabilities = capabilities || '{"partial_void": false}'"""
        connection.execute(strict)
    gate.place = find_place(engine, "local", "g")
    rows = [on("commit_reversal"), on("commit_reversal", "600", currency="USD")]
    assert short(gate.run(rows)) == ["partial_not_supported"] * 2
    assert [verb for verb, _ in asked] == ["authorize", "prepare_reversal"]
    assert short(gate.run([on("reverse"), on("commit_reversal")])) == ["authorized", "voided"]
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ([HOLD, on("reverse"), on("expire")], None),
        ([HOLD, on("capture", "400"), on("reverse"), on("expire")], 400),
        ([{**BANK_SALE, "kind": "direct_debit", "collect_on": "2099-12-15"}, on("reverse"),
          on("debit_return", "300", return_code="R01")], 700),
        ([SALE, on("reverse"), on("chargeback")], 1000),
        ([TRANSFER, on("reverse"), on("mark_received")], 1000),
    ],
)  # fmt: skip
def test_facts_go_on_and_take_from_what_is_prepared(
    gate: Gate, rows: list[Cells], left: int | None
) -> None:
    done = gate.run([{**rows[0], "reference": "p"}, *rows[1:]])
    assert {each.state for each in done} == {"approved"}, done
    assert amounts(gate).get("prepared") == left
    assert laws_hold(gate.engine)


def test_what_a_chargeback_took_is_given_back_no_second_time(gate: Gate) -> None:
    rows = [{**SALE, "reference": "p"}, on("reverse"), on("chargeback", "400", currency="USD")]
    done = gate.run([*rows, on("commit_reversal"), on("commit_reversal"), on("withdraw_reversal")])
    assert short(done)[3:] == ["charged_back", "nothing_left", "charged_back"]
    assert amounts(gate)["refunded"] == 600
    assert laws_hold(gate.engine)


def test_what_was_prepared_of_a_capture_is_not_taken_from_the_hold(
    engine: Engine, asked: list[tuple[str, int]]
) -> None:
    gate = Gate(engine, "g", two_stage_reversal=True, void_captured=False)
    rows = [{**HOLD, "reference": "p"}, on("capture", "600"), on("reverse", "100")]
    rows += [on("chargeback", "600"), on("commit_reversal"), on("withdraw_reversal")]
    rows += [on("reverse"), on("void")]
    done = gate.run({**row, "currency": "USD"} if "amount_minor" in row else row for row in rows)
    assert short(done)[3:5] == ["charged_back", "nothing_left"]
    told = ["charged_back", "nothing_left", "charged_back"]
    assert short(done)[5:] == told, "what could not be committed is not prepared"
    assert asked[2:] == [("prepare_reversal", 100), ("withdraw_reversal", 100), ("void", 400)]
    assert laws_hold(engine)


def test_the_hold_is_reversed_when_what_was_captured_is_refunded(engine: Engine) -> None:
    gate = Gate(engine, "g", two_stage_reversal=True, void_captured=False)
    rows = [{**HOLD, "reference": "p"}, on("capture", "600", currency="USD")]
    rows += [on("reverse"), on("commit_reversal")] * 2
    assert {each.state for each in gate.run(rows)} == {"approved"}
    left = {"authorized": 1000, "captured": 600, "released": 400, "refunded": 600}
    assert amounts(gate) == left
    assert laws_hold(engine)


def test_a_capture_that_is_due_waits_while_a_reversal_is_prepared(engine: Engine) -> None:
    clocked_engine, at = clocked(engine)
    gate = Gate(clocked_engine, "staged", two_stage_reversal=True)
    later = {"capture_mode": "author_capture", "capture_day": "1"}
    gate.run([{**SALE, **later, "reference": "p"}, on("reverse", "400", currency="USD")])
    at.now += timedelta(days=2)
    assert clock.due_work(clocked_engine) == []
    taken = gate.run([{"kind": "capture_all", "gate": "staged"}])
    assert taken[0].reason == "nothing_open"
    gate.run([on("commit_reversal")])
    (work,) = clock.due_work(clocked_engine)
    clock.hand_in(clocked_engine, work)
    assert amounts(gate) == {"authorized": 1000, "captured": 600, "released": 400}
    assert laws_hold(engine)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


@pytest.fixture
def staged(engine: Engine) -> tuple[Engine, Clock]:
    with engine.database.transaction() as connection:
        changed = (
            """UPDATE gate SET capabilities = capabilities || '{"two_stage_reversal": true}'"""
        )
        connection.execute(changed)
    return clocked(engine)


def standing(engine: Engine) -> tuple[Any, ...]:
    """Give what of the only payment is captured, cancelled, prepared and reserved to be voided."""
    with engine.database.transaction() as connection:
        query = "SELECT captured, cancelled, prepared, reserved_void FROM payment"
        (found,) = connection.execute(query).fetchall()
    return tuple(found)


def test_outside_each_stage_is_a_call_of_its_own(
    staged: tuple[Engine, Clock], model: Model
) -> None:
    engine, _ = staged
    rows = f"sale,500,USD,{CARD},a,\nreverse,200,USD,,,,a\nrefund,1,USD,,,,a\n"
    done = hand_in(engine, rows + "commit_reversal,,,,,,a\n")
    assert done.state == "completed"
    assert [each[0] for each in outcomes(engine)] == [*["approved"] * 2, "rejected", "approved"]
    assert outcomes(engine)[1][2] == PREPARED
    assert len(set(model.calls)) == len(model.calls) == 3
    assert standing(engine) == (500, 200, 0, 0)
    assert laws_hold(engine)


def test_a_preparation_in_doubt_is_reserved_and_looked_up(
    staged: tuple[Engine, Clock], model: Model
) -> None:
    engine, at = staged
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    model.loses = True
    first = hand_in(engine, "reverse,200,USD,,,,a\ncommit_reversal,,,,,,a\n")
    assert first.state == "waiting"
    assert standing(engine) == (500, 0, 0, 200)
    model.loses = False
    for row in ("commit_reversal,,,,,,a\n", "reverse,,,,,,a\n", "withdraw_reversal,,,,,,a\n"):
        hand_in(engine, row)
    assert [each[0] for each in outcomes(engine)] == ["approved", *["rejected"] * 3]
    at.now += timedelta(minutes=1)
    assert recover(engine) == 1
    assert standing(engine) == (500, 0, 200, 0)
    assert batches.go_on(engine, first.id).state == "completed"
    assert standing(engine) == (500, 200, 0, 0)
    assert len(model.calls) == 3
    assert laws_hold(engine)


@pytest.mark.parametrize("kind", ["refund", "void", "capture"])
def test_beside_a_preparation_in_doubt_nothing_is_taken(
    staged: tuple[Engine, Clock], model: Model, kind: str
) -> None:
    """Else a later commit would take another part of the payment than was meant."""
    engine, at = staged
    hand_in(engine, f"authorize,1000,USD,{CARD},a,\ncapture,600,USD,,,,a\n")
    with engine.database.transaction() as connection:
        ((payment_id,),) = connection.execute("SELECT id FROM payment").fetchall()
        settle(engine, connection, [payment_id])
    model.loses = True
    hand_in(engine, "reverse,600,USD,,,,a\n")
    model.loses = False
    hand_in(engine, f"{kind},300,USD,,,,a\n")
    with engine.database.transaction() as connection:
        query = "SELECT state, reason FROM outcome ORDER BY id DESC LIMIT 1"
        (told,) = connection.execute(query).fetchall()
    assert tuple(told) == ("rejected", "other_under_way")
    at.now += timedelta(minutes=1)
    assert recover(engine) == 1
    hand_in(engine, "commit_reversal,,,,,,a\ncommit_reversal,,,,,,a\n")
    with engine.database.transaction() as connection:
        query = "SELECT refunded, released, captured, prepared FROM payment"
        (left,) = connection.execute(query).fetchall()
    assert tuple(left) == (600, 0, 600, 0)
    assert laws_hold(engine)


def test_a_capture_that_is_due_waits_while_a_preparation_is_in_doubt(
    staged: tuple[Engine, Clock], model: Model, place: Place
) -> None:
    engine, at = staged
    later = {"capture_mode": "author_capture", "capture_day": "1"}
    caller = Caller(engine, place)
    caller.call({**CALL, **later, "amount_minor": "900", "reference": "a"})
    model.loses = True
    hand_in(engine, "reverse,200,USD,,,,a\n")
    model.loses = False
    at.now += timedelta(days=2)
    assert clock.due_work(engine) == []
    assert recover(engine) == 1
    hand_in(engine, "withdraw_reversal,,,,,,a\n")
    (work,) = clock.due_work(engine)
    clock.hand_in(engine, work)
    assert standing(engine) == (900, 0, 0, 0)
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("result", "left"),
    [(Result.APPROVED, (500, 200, 0, 0)), (Result.DECLINED, (500, 0, 200, 0))],
)
def test_a_person_decides_a_commit_in_doubt(
    staged: tuple[Engine, Clock],
    place: Place,
    model: Model,
    result: Result,
    left: tuple[int, ...],
) -> None:
    engine, _ = staged
    hand_in(engine, f"sale,500,USD,{CARD},a,\nreverse,200,USD,,,,a\n")
    model.loses = True
    assert hand_in(engine, "commit_reversal,,,,,,a\n").state == "waiting"
    assert standing(engine) == (500, 0, 200, 200)
    model.loses = False
    assert hand_in(engine, "commit_reversal,,,,,,a\n").state == "completed"
    assert outcomes(engine)[-1][0] == "rejected", "one of them is under way"
    (row,) = unknown(engine, [place.merchant_id], 10)
    said = Decision(result=result, note="told by phone", actor="sender:ann")
    decide(engine, [place.merchant_id], row["operation_id"], said)
    assert standing(engine) == left
    assert laws_hold(engine)


def test_single_calls_take_both_stages(
    staged: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, at = staged
    caller = Caller(engine, place)
    caller.call({**CALL, "amount_minor": "900", "reference": "a"})
    told = caller.call({"kind": "reverse", "payment": "a"})
    assert (told["state"], told["status"], told["message"]) == ("approved", "captured", PREPARED)
    model.loses = True
    assert caller.call({"kind": "commit_reversal", "payment": "a"})["state"] == "unknown"
    model.loses = False
    at.now += timedelta(minutes=2)
    assert recover(engine) == 1
    assert standing(engine) == (900, 900, 0, 0)
    assert laws_hold(engine)
