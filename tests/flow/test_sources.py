"""A duplicate of another merchant's payment: its means, and a payment of the row's merchant."""

import pytest

from conftest import gate_values
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.store import directory
from tests_support import laws_hold, run

COLUMNS = (
    *("kind", "amount_minor", "currency", "card_number", "card_expiry", "reference", "payment"),
    *("gate", "merchant", "source_merchant", "idempotency_key"),
)


def row(kind: str, **values: object) -> str:
    return ",".join([kind, *(str(values.get(name, "")) for name in COLUMNS[1:])])


def sale(reference: str, number: str = "4111111111111111", **values: object) -> str:
    means = {"card_number": number, "card_expiry": "12/39", "amount_minor": 100}
    return row("sale", reference=reference, currency="USD", **means, **values)


def again(payment: str, source: str, **values: object) -> str:
    named = {"payment": payment, "source_merchant": source, "amount_minor": 70}
    return row("duplicate", **{**named, **values})


def told(engine: Engine, place: Place, *rows: str) -> list[str]:
    text = "\n".join([",".join(COLUMNS), *rows, ""])
    result = run(engine, place, text, again=True)
    return [reason or outcome for reason, outcome in result.select("reason", "outcome").rows()]


@pytest.fixture
def several(engine: Engine) -> Place:
    """Give the place of a sender of two merchants; a third one belongs to another sender."""
    with engine.database.transaction() as connection:
        directory.add_merchant(connection, "second", "Second", "local")
        directory.add_gate(connection, gate_values("here", merchant="second", currencies=["USD"]))
        live = gate_values("live", merchant="second", currencies=["USD"], mode="live")
        directory.add_gate(connection, live)
        directory.add_sender(connection, "other")
        directory.add_merchant(connection, "third", "Third", "other")
        directory.add_gate(connection, gate_values("far", merchant="third"))
    return find_place(engine, "local", "demo")


def made_by(engine: Engine, place: Place, reference: str) -> dict[str, object]:
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key).values


def test_the_new_payment_is_the_rows_merchants(engine: Engine, several: Place) -> None:
    told(engine, several, sale("a"), row("void", payment="a"))
    rows = [
        again("a", "demo", reference="b", merchant="second"),
        *(row("refund", payment="b", merchant="second"), again("b", "second", reference="c")),
    ]
    assert told(engine, several, *rows) == ["approved", "approved", "payment_unknown"]
    assert told(engine, several, again("b", "second", reference="c")) == ["approved"]
    old, new, third = (made_by(engine, several, name) for name in "abc")
    assert [each["merchant"] for each in (old, new, third)] == ["demo", "second", "demo"]
    assert (new["gate"], new["masked"], new["brand"], new["refunded"]) == (
        *("here", old["masked"], "visa", 70),
    )
    assert (old["cancelled"], third["captured"]) == (100, 70)
    with engine.database.transaction() as connection:
        kept = connection.execute("SELECT merchant_id FROM number ORDER BY 1").fetchall()
    assert kept == [(1,), (2,)]
    assert laws_hold(engine)


def test_an_id_gives_the_row_no_merchant(engine: Engine, several: Place) -> None:
    made = run(engine, several, "\n".join([",".join(COLUMNS), sale("a", merchant="second"), ""]))
    name = str(made["result_payment"][0])
    assert told(engine, several, again(name, "second", reference="b")) == ["approved"]
    assert made_by(engine, several, "b")["merchant"] == "demo"
    answer = Caller(engine, several).call(
        {
            "kind": "duplicate",
            "payment": name,
            "source_merchant": "second",
            "amount_minor": "5",
            "reference": "d",
        }
    )
    assert answer["state"] == "approved"
    assert made_by(engine, several, "d")["merchant"] == "demo"


@pytest.mark.parametrize(
    ("payment", "source", "values", "reason"),
    [
        ("a", "third", {}, "merchant_unknown"),
        ("a", "nobody", {}, "merchant_unknown"),
        ("z", "demo", {}, "payment_unknown"),
        ("twice", "demo", {}, "reference_ambiguous"),
        ("", "demo", {}, "value_missing"),
        ("", "", {}, "value_missing"),
        ("bill", "demo", {}, "means_missing"),
        ("mandate", "demo", {}, "mandate_needed"),
        ("a", "demo", {"gate": "live"}, "payment_unknown"),
        ("a", "demo", {"amount_minor": ""}, "amount_missing"),
        ("a", "demo", {"currency": "EUR"}, "currency_not_at_gate"),
    ],
)
def test_what_is_refused(
    engine: Engine,
    several: Place,
    *,
    payment: str,
    source: str,
    values: dict[str, object],
    reason: str,
) -> None:
    header = f"{','.join(COLUMNS)},iban,creditor_id,signed_on\n"
    signed = "DE89370400440532013000,DE98ZZZ09999999999,2026-01-01"
    rows = [
        *(sale("a"), sale("twice"), sale("twice")),
        row("transfer_create", reference="bill", amount_minor=100, currency="USD"),
    ]
    text = header + "".join(f"{each},,,\n" for each in rows)
    text += row("mandate", reference="mandate", currency="USD") + f",{signed}\n"
    assert set(run(engine, several, text)["outcome"]) == {"approved"}
    asked = again(payment, source, **{"merchant": "second", "reference": "n", **values})
    found = preview(
        engine, several, [f"{','.join(COLUMNS)}\n{asked}\n".encode()], Request(file_name="x.csv")
    )
    assert [each["reason"] for each in found.errors] == [reason]
    assert told(engine, several, asked) == [reason]


def test_a_key_knows_its_source(engine: Engine, several: Place) -> None:
    told(engine, several, sale("a"), sale("b"))
    key = {"merchant": "second", "idempotency_key": "k"}
    rows = [again("a", "demo", **key), again("a", "demo", **key), again("b", "demo", **key)]
    assert told(engine, several, *rows) == ["approved", "replayed", "key_conflict"]


def test_other_kinds_have_no_source(engine: Engine, several: Place) -> None:
    told(engine, several, sale("a"))
    refund = row("refund", payment="a", source_merchant="demo")
    assert told(engine, several, refund) == ["value_not_allowed"]
