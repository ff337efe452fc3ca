"""Isolation: what one merchant's rows may name is never another merchant's."""

import polars as pl
import pytest

from conftest import gate_values
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.flow.wallet import add_customer
from paybatch.store import directory
from tests_support import laws_hold, run

HEADER = (
    "kind,amount_minor,card_number,card_expiry,card_reference,customer,reference,idempotency_key,"
    "payment,merchant\n"
)
SALE = "sale,100,4111111111111111,12/39,,,{},,,\n"


@pytest.fixture
def theirs(engine: Engine) -> Place:
    """Give the place of sender ``partner``, who acts for merchant ``other`` and no other one."""
    with engine.database.transaction() as connection:
        directory.add_sender(connection, "partner")
        directory.add_merchant(connection, "other", "Other", "partner")
        directory.add_gate(connection, gate_values("main", merchant="other"))
    return find_place(engine, "partner")


@pytest.fixture
def ours(engine: Engine, place: Place) -> pl.DataFrame:
    """Give the result of two sales of merchant ``demo``, and a customer with the card of one."""
    made = run(engine, place, HEADER + SALE.format("ours") + SALE.format("shared"))
    card = str(made["card_number"][0])
    add_customer(engine, ("demo", place.merchant_id), "ada", [card], "local")
    assert run(engine, place, HEADER + "sale,1,,,,ada,,,,\n")["outcome"][0] == "approved"
    return made


def refunded(engine: Engine) -> list[tuple[str, int]]:
    """Give merchant and refunded amount of each payment, in the order of their making."""
    with engine.database.transaction() as connection:
        return connection.execute(
            "SELECT m.name, p.refunded FROM payment AS p JOIN merchant AS m ON m.id = p.merchant_id"
            " ORDER BY p.id"
        ).fetchall()


def test_what_another_merchant_has_looks_unknown(
    engine: Engine, ours: pl.DataFrame, theirs: Place
) -> None:
    card, payment = ours["card_number"][0], ours["result_payment"][0]
    cases = {
        f"refund,1,,,,,,,{payment},\n": "payment_unknown",
        "refund,1,,,,,,,ours,\n": "payment_unknown",
        f"sale,1,,,{card},,,,,\n": "card_reference_unknown",
        "sale,1,,,,ada,,,,\n": "customer_unknown",
        "refund,1,,,,,,,ours,demo\n": "merchant_unknown",
        f"refund,1,,,,,,,{payment},demo\n": "merchant_unknown",
        "sale,1,4111111111111111,12/39,,,,,,demo\n": "merchant_unknown",
    }
    result = run(engine, theirs, HEADER + "".join(cases))
    assert result["reason"].to_list() == list(cases.values())
    assert [amount for _, amount in refunded(engine)] == [0, 0, 0]


def test_one_reference_is_a_payment_of_each(
    engine: Engine, ours: pl.DataFrame, theirs: Place
) -> None:
    """Neither is ambiguous, and a refund is never of the other one."""
    assert ours.height == 2
    run(engine, theirs, HEADER + SALE.format("shared"))
    result = run(engine, theirs, HEADER + "refund,30,,,,,,,shared,\n")
    assert result["outcome"].to_list() == ["approved"]
    assert refunded(engine) == [*[("demo", 0)] * 3, ("other", 30)]
    assert laws_hold(engine)


def test_one_key_is_done_once_for_each(engine: Engine, place: Place, theirs: Place) -> None:
    text = HEADER + SALE.replace("{},", "r,k").format()
    for number, where in enumerate((place, theirs, theirs)):
        result = run(engine, where, text, again=True)
        assert result["outcome"].to_list() == ["replayed" if number == 2 else "approved"]


def test_one_sender_may_act_for_several(
    engine: Engine, ours: pl.DataFrame, theirs: Place, place: Place
) -> None:
    """Then the row's merchant decides; its means and payments are that merchant's own."""
    assert theirs.merchants.keys() == {"other"}
    with engine.database.transaction() as connection:
        directory.add_merchant(connection, "other", "Other", "local")
    both = find_place(engine, "local", "demo")
    assert list(both.merchants) == ["demo", "other"]
    rows = {
        "sale,1,,,,ada,,,,\n": None,
        "sale,1,,,,ada,,,,other\n": "customer_unknown",
        f"sale,1,,,{ours['card_number'][0]},,,,,other\n": "card_reference_unknown",
        "refund,1,,,,,,,ours,other\n": "payment_unknown",
        "refund,1,,,,,,,ours,demo\n": None,
    }
    assert run(engine, both, HEADER + "".join(rows))["reason"].to_list() == list(rows.values())
    assert place.merchant_id == both.merchant_id
    same = [SALE.format("same").replace(",,,\n", f",,,{name}\n") for name in ("demo", "other")]
    same += [f"refund,{amount},,,,,,,same,{name}\n" for amount, name in ((5, "other"), (6, "demo"))]
    assert run(engine, both, HEADER + "".join(same))["outcome"].to_list() == ["approved"] * 4
    assert refunded(engine)[-2:] == [("demo", 6), ("other", 5)]


def test_a_foreign_id_and_a_made_up_one_get_the_same_answer(
    engine: Engine, ours: pl.DataFrame, theirs: Place
) -> None:
    foreign = str(ours["result_payment"][0])
    made_up = foreign[:-3] + ("aaa" if not foreign.endswith("aaa") else "bbb")
    told: set[tuple[str, str]] = set()
    caller = Caller(engine, theirs)
    for name in (foreign, made_up, "ours"):
        text = HEADER + f"refund,1,,,,,,,{name},\nvoid,,,,,,,,{name},\nrefund,1,,,,,,,{name},\n"
        result = run(engine, theirs, text)
        found = [*result.select("reason", "message").rows()]
        seen = preview(engine, theirs, [text.encode()], Request(file_name="seen.csv", again=True))
        found += [(each["reason"], each["message"]) for each in seen.refused]
        answer = caller.call({"kind": "refund", "payment": name, "amount_minor": "1"})
        found.append((answer["reason"], answer["message"]))
        assert len(found) == 7
        told |= {(reason, message.replace(name, "ID")) for reason, message in found}
    sentence = "column payment is ID: the merchant has no payment of this id or reference"
    assert told == {("payment_unknown", sentence)}
