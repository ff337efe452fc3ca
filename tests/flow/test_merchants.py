"""Merchants: each row belongs to the one that it names, its payment's, its gate's or the batch's.

One that the sender may not act for looks unknown, and so do its payments and gates.
"""

import pytest

from conftest import gate_values
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.store import directory, payments
from tests_support import laws_hold, run

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,payment,gate,merchant\n"
SALE = "sale,100,USD,4111111111111111,12/39"


@pytest.fixture
def several(engine: Engine) -> Place:
    """Give the place of a sender of two merchants; a third one belongs to another sender."""
    with engine.database.transaction() as connection:
        directory.add_merchant(connection, "second", "Second", "local")
        directory.add_gate(connection, gate_values("sandbox", merchant="second"))
        directory.add_gate(connection, gate_values("theirs", merchant="second", mode="live"))
        directory.add_sender(connection, "other")
        directory.add_merchant(connection, "third", "Third", "other")
        directory.add_gate(connection, gate_values("far", merchant="third"))
    return find_place(engine, "local", "demo")


def merchants(engine: Engine) -> list[tuple[str, str]]:
    """Give merchant and gate of each operation, by their names."""
    with engine.database.transaction() as connection:
        rows = connection.execute(
            "SELECT coalesce(m.name, '?'), coalesce(g.name, '') FROM operation AS o"
            " LEFT JOIN merchant AS m ON m.id = o.merchant_id"
            " LEFT JOIN gate AS g ON g.id = o.gate_id ORDER BY o.id"
        ).fetchall()
    return [(str(row[0]), str(row[1])) for row in rows]


@pytest.mark.parametrize("copies", [1, 40])  # few rows are looked up by a loop
def test_ids_of_payments_may_span_merchants(engine: Engine, several: Place, copies: int) -> None:
    other = find_place(engine, "other")
    made = run(engine, several, HEADER + f"{SALE},a,,,\n{SALE},b,,,second\n{SALE},c,,theirs,\n")
    far = run(engine, other, HEADER + f"{SALE},d,,,\n")
    ids = [*made["result_payment"], *far["result_payment"]]
    text = HEADER + "".join(f"refund,1,,,,r{n},{each},,\n" for n in range(copies) for each in ids)
    found = preview(engine, several, [text.encode()], Request(file_name="span.csv"))
    result = run(engine, several, text)
    wanted = [("approved", None)] * 3 + [("rejected", "payment_unknown")]
    assert list(result.select("outcome", "reason").iter_rows()) == wanted * copies
    assert [each["line"] for each in found.refused] == list(range(5, 4 * copies + 2, 4))
    acted = merchants(engine)[4:]
    assert [each[0] for each in acted] == ["demo", "second", "second", "demo"] * copies
    assert laws_hold(engine)


def test_a_call_finds_the_merchant_of_its_payment(engine: Engine, several: Place) -> None:
    made = run(engine, several, HEADER + f"{SALE},b,,,second\n")
    caller = Caller(engine, several)
    refund = {"kind": "refund", "payment": str(made["result_payment"][0]), "amount_minor": "1"}
    assert caller.call(refund)["state"] == "approved"
    assert caller.call({**refund, "merchant": "demo"})["reason"] == "payment_unknown"
    assert caller.call({**refund, "gate": "many"})["reason"] == "gate_unknown"


def test_a_gate_gives_the_merchant_where_its_name_does(engine: Engine, several: Place) -> None:
    rows = [",,", ",theirs,", ",sandbox,", ",sandbox,second", ",theirs,demo", ",far,", ",,third"]
    result = run(
        engine, several, HEADER + "".join(f"{SALE},g{n},{row}\n" for n, row in enumerate(rows))
    )
    assert result["reason"].to_list() == [
        *[None] * 4,
        *("gate_unknown", "gate_unknown", "merchant_unknown"),
    ]
    assert merchants(engine) == [
        ("demo", "sandbox"),
        ("second", "theirs"),
        ("demo", "sandbox"),
        ("second", "sandbox"),
        *(("demo", ""), ("demo", ""), ("?", "")),
    ]
    second = find_place(engine, "local", "second")
    result = run(engine, second, HEADER + f"{SALE},h0,,many,\n{SALE},h1,,sandbox,\n")
    assert merchants(engine)[7:] == [("demo", "many"), ("second", "sandbox")]


def test_a_gate_that_several_others_have_gives_none(engine: Engine, several: Place) -> None:
    with engine.database.transaction() as connection:
        directory.add_merchant(connection, "fourth", "Fourth", "local")
        directory.add_gate(connection, gate_values("theirs", merchant="fourth"))
    place = find_place(engine, "local", "demo")
    assert run(engine, place, HEADER + f"{SALE},g,,theirs,\n")["reason"][0] == "gate_unknown"


def test_one_merchant_costs_no_look(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(engine, place, HEADER + f"{SALE},a,,,\n")
    looked: list[object] = []

    def look(*given: object) -> dict[int, int]:
        looked.append(given)
        return {}

    monkeypatch.setattr(payments, "merchants_of_payments", look)
    text = HEADER + f"refund,1,,,,r,{made['result_payment'][0]},,\n"
    assert run(engine, place, text)["outcome"][0] == "approved"
    assert looked == []
