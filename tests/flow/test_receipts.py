"""Receipts: what is awaited comes at once or in parts; what was captured is only confirmed."""

import pytest

from conftest import gate_values
from paybatch.flow.engine import Engine
from paybatch.flow.payments import PaymentView, find_payments, view_payment
from paybatch.flow.place import Place, find_place
from paybatch.store import directory
from tests_support import laws_hold, run

HEADER = (
    "kind,reference,payment,amount_minor,currency,gate,card_number,card_expiry,bank_reference\n"
)


def told(engine: Engine, place: Place, *rows: str) -> list[str]:
    result = run(engine, place, HEADER + "".join(f"{row}\n" for row in rows), again=True)
    return [reason or outcome for reason, outcome in result.select("reason", "outcome").rows()]


def view(engine: Engine, place: Place, reference: str) -> PaymentView:
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key)


def test_money_comes_in_parts(engine: Engine, place: Place) -> None:
    bill = "transfer_create,a,,1000,USD,,,,"
    parts = [f"receipt,,a,{amount},USD,,,,F{amount}" for amount in (300, 200, 600, 500)]
    assert told(engine, place, bill, *parts) == [
        *("approved", "approved", "approved", "amount_above_left", "approved"),
    ]
    found = view(engine, place, "a")
    assert (found.values["captured"], found.values["status"]) == (1000, "captured")
    assert [each["text"] for each in found.facts if each["name"] == "receipt"] == [
        *("F300", "F200", "F500"),
    ]
    assert laws_hold(engine)


def test_what_is_captured_is_only_confirmed(engine: Engine, place: Place) -> None:
    sale = "sale,a,,1000,USD,,4111111111111111,12/39,"
    rows = ["refund,,a,400,,,,,", "receipt,,a,,,,,,F1", "receipt,,a,601,USD,,,,"]
    assert told(engine, place, sale, *rows)[2:] == ["approved", "amount_above_left"]
    values = view(engine, place, "a").values
    assert (values["captured"], values["refunded"]) == (1000, 400)
    assert laws_hold(engine)


@pytest.mark.parametrize("sent", [True, False])
def test_a_capture_follows_where_the_gate_says_so(
    engine: Engine, place: Place, *, sent: bool
) -> None:
    later = gate_values("later", capabilities='{"transfer_needs_capture": true}')
    with engine.database.transaction() as connection:
        directory.add_gate(connection, later)
    place = find_place(engine, "local")
    rows = ["transfer_create,a,,1000,USD,later,,,", *(["mark_sent,,a,,,,,,"] if sent else [])]
    rows += ["receipt,,a,300,USD,,,,", "receipt,,a,,,,,,", "receipt,,a,,,,,,", "capture,,a,,,,,,"]
    assert told(engine, place, *rows)[-4:] == [
        *("partial_not_supported", "approved", "approved", "approved"),
    ]
    assert view(engine, place, "a").values["captured"] == 1000
    assert laws_hold(engine)
