"""Single calls: the same rules as a batch, settled at once, in groups when they come together."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from conftest import NOW, gate_values
from paybatch.flow.calls.call import Caller
from paybatch.flow.calls.call_values import CallWrongError
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.store import directory
from tests_support import laws_hold

SALE = {
    "kind": "sale",
    "amount_minor": "1000",
    "card_number": "4111111111111111",
    "card_expiry": "12/39",
}


def test_a_sale_and_its_refund(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    sale = caller.call({**SALE, "reference": "one", "card_cvv": "200"})
    assert (sale["state"], sale["status"], sale["cvv_result"]) == ("approved", "captured", "N")
    refund = caller.call({"kind": "refund", "payment": sale["payment"], "amount_minor": "400"})
    assert (refund["state"], refund["status"]) == ("approved", "partially_refunded")
    again = caller.call({"kind": "refund", "payment": "one", "amount_minor": "601"})
    assert (again["state"], again["reason"]) == ("rejected", "amount_above_left")
    assert laws_hold(engine)


def test_wrong_values_are_rejected_with_a_sentence(engine: Engine, place: Place) -> None:
    answer = Caller(engine, place).call({**SALE, "amount_minor": "1.00"})
    assert answer["state"] == "rejected"
    assert answer["message"].startswith("column amount_minor is 1.00: use whole minor units")


def without(answer: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name not in names}


@pytest.mark.parametrize("amount", ["1000", "50200"])  # approved, declined
def test_a_key_is_done_once_and_gives_the_first_answer(
    engine: Engine, place: Place, amount: str
) -> None:
    caller = Caller(engine, place)
    keyed = {**SALE, "amount_minor": amount, "card_cvv": "200", "idempotency_key": "k"}
    first, second = caller.call(keyed), caller.call(keyed)
    assert second["state"] == "replayed"
    assert (second["first"], second["first_state"]) == (first["operation"], first["state"])
    assert second["message"] == f"done before as {first['operation']}: {first['state']}"
    own = ("state", "message", "operation", "first", "first_state")
    assert without(second, *own) == without(first, *own)
    assert first["response"] is not None
    other = caller.call({**keyed, "amount_minor": "999"})
    assert (other["state"], other["reason"]) == ("rejected", "key_conflict")
    assert (other["first"], other["payment"]) == (first["operation"], None)
    assert laws_hold(engine)


def test_a_key_of_a_rejected_call_is_free_again(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    refund = {"kind": "refund", "payment": "one", "amount_minor": "400", "idempotency_key": "k"}
    assert caller.call(refund)["reason"] == "payment_unknown"
    caller.call({**SALE, "reference": "one"})
    above = caller.call({**refund, "amount_minor": "1001"})
    assert (above["state"], above["reason"]) == ("rejected", "amount_above_left")
    done, again = caller.call(refund), caller.call(refund)
    assert (done["state"], again["state"]) == ("approved", "replayed")
    assert (again["first"], again["approved_minor"]) == (done["operation"], 400)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"kind": "refund", "payment": "p", "ammount_minor": "1"}, "meant to be 'amount_minor'"),
        ({**SALE, "line": "3"}, "A call knows no 'line'. It may have: kind"),
        ({**SALE, "4111111111111111": ""}, "A call knows no '***'. It may have"),
        ({**SALE, "amount_minor": 1000}, "amount_minor is of type int: every value of a call is"),
        ({**SALE, "amount_minor": None}, "amount_minor is of type NoneType: every value of a call"),
        (
            {**SALE, "reference": b"one"},
            "reference is of type bytes: every value of a call is text",
        ),
        ({**SALE, "reference": "a\ud800"}, "'reference' has half a character"),
        ({**SALE, "\ud800": "a"}, "A call knows no '\\ud800'."),
        ({7: "a"}, "A call knows no '7'."),
        ({}, "The call is empty. It may have: kind, "),
    ],
)
def test_a_call_that_cannot_be_read_is_refused_before_anything_is_done(
    engine: Engine, place: Place, values: Any, sentence: str
) -> None:
    caller = Caller(engine, place)
    with pytest.raises(CallWrongError) as caught:
        caller.call(values)
    assert sentence in str(caught.value)
    assert caller.call(SALE)["state"] == "approved"


def test_what_a_result_has_beside_its_row_is_passed_over(engine: Engine, place: Place) -> None:
    answer = Caller(engine, place).call({**SALE, "outcome": "declined", "final": ""})
    assert answer["state"] == "approved"


def test_empty_values_are_none(engine: Engine, place: Place) -> None:
    answer = Caller(engine, place).call({"kind": "", "amount_minor": ""})
    assert (answer["state"], answer["reason"]) == ("rejected", "kind_missing")


def test_a_new_gate_and_another_default_are_seen(engine: Engine, place: Place) -> None:
    now = [NOW]
    engine = replace(engine, clock=lambda: now[0])
    caller, named = Caller(engine, place), Caller(engine, place)
    sale = {**SALE, "gate": "new"}
    assert caller.call(sale)["reason"] == "gate_unknown"
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate_values("new", currencies=["JPY"]))
        connection.execute("UPDATE gate SET is_default = FALSE")
        connection.execute("UPDATE gate SET is_default = TRUE WHERE name = 'new'")
    assert caller.call(sale)["reason"] == "gate_unknown"
    now[0] += timedelta(minutes=1)
    assert caller.call(sale)["state"] == "approved"
    assert caller.call({**SALE, "currency": "USD"})["reason"] == "currency_not_at_gate"
    assert named.call({**SALE, "gate": "sandbox"})["state"] == "approved"


def test_a_gate_that_was_chosen_stays(engine: Engine, place: Place) -> None:
    (many,) = [gate.id for gate in place.gates if gate.name == "many"]
    now = [NOW]
    caller = Caller(replace(engine, clock=lambda: now[0]), replace(place, gate_id=many))
    now[0] += timedelta(minutes=1)
    assert caller.call({**SALE, "currency": "JPY"})["state"] == "approved"


def test_calls_that_come_together_never_overspend(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    sale = caller.call(SALE)
    refund = {"kind": "refund", "payment": sale["payment"], "amount_minor": "30"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: caller.call(refund), range(64)))
    assert sum(each["state"] == "approved" for each in answers) == 33
    assert laws_hold(engine)


def test_a_key_with_another_detail_is_a_conflict(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    held = caller.call({**SALE, "kind": "authorize"})["payment"]
    row = {"kind": "adjust", "payment": held, "amount_minor": "10", "idempotency_key": "k"}
    assert caller.call({**row, "direction": "up"})["state"] == "approved"
    assert caller.call({**row, "direction": "up"})["state"] == "replayed"
    assert caller.call({**row, "direction": "down"})["reason"] == "key_conflict"
