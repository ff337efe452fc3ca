"""Kinds on payments: what each does to the payment and to the books, as tables."""

import polars as pl
import pytest

from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place
from tests_support import laws_hold, run

HEADER = "kind,reference,payment,amount_minor,currency,card_number,card_expiry,direction,comment\n"
CARD, HELD = "4111111111111111,12/39,,", "4000000000000119,12/39,,"
SALE = f"sale,p,,1000,USD,{CARD}"
HOLD = f"authorize,p,,1000,USD,{CARD}"
HELD_SALE = f"sale,p,,1000,USD,{HELD}"
HELD_HOLD = f"authorize,p,,1000,USD,{HELD}"


def act(kind: str, amount: str = "", direction: str = "") -> str:
    """Write a row that acts on payment p."""
    return f"{kind},,p,{amount},,,,{direction},"


@pytest.mark.parametrize(
    ("rows", "outcomes", "status", "amounts"),
    [
        ([SALE, act("chargeback", "400")], "aa", "charged_back", {"charged_back": 400}),
        ([SALE, act("chargeback"), act("refund", "1")], "aar", "charged_back", {"refunded": 0}),
        ([SALE, act("chargeback", "400"), act("refund")], "aaa", "charged_back", {"refunded": 600}),
        ([SALE, act("refund"), act("chargeback")], "aaa", "charged_back", {"charged_back": 1000}),
        (
            [SALE, act("chargeback"), act("chargeback_reversal", "300")],
            "aaa",
            "charged_back",
            {"charged_back": 1000, "represented": 300},
        ),
        ([SALE, act("chargeback"), act("chargeback_reversal")], "aaa", "captured", {}),
        ([SALE, act("chargeback_reversal")], "ar", "captured", {}),
        ([HOLD, act("chargeback")], "ar", "authorized", {}),
        ([SALE, act("reverse")], "aa", "voided", {"cancelled": 1000, "refunded": 0}),
        ([SALE, act("refund", "10"), act("reverse")], "aaa", "refunded", {"refunded": 1000}),
        ([HOLD, act("reverse", "400")], "aa", "authorized", {"released": 400}),
        ([HOLD, act("adjust", "500", "up")], "aa", "authorized", {"authorized": 1500}),
        ([HOLD, act("adjust", "400", "down")], "aa", "authorized", {"authorized": 600}),
        ([HOLD, act("adjust", "1000", "down")], "ar", "authorized", {"authorized": 1000}),
        (
            [HOLD, act("adjust", "500", "up"), act("adjust", "1200", "down"), act("capture")],
            "aaaa",
            "captured",
            {"authorized": 300, "captured": 300},
        ),
        ([SALE, act("adjust", "1", "up")], "ar", "captured", {"authorized": 1000}),
        ([HELD_SALE], "a", "challenged", {"authorized": 1000, "captured": 0}),
        ([HELD_SALE, act("refund")], "ar", "challenged", {}),
        ([HELD_SALE, act("accept_challenge")], "aa", "captured", {"captured": 1000}),
        ([HELD_SALE, act("accept_challenge"), act("refund")], "aaa", "refunded", {}),
        ([HELD_SALE, act("refuse_challenge")], "aa", "voided", {"released": 1000}),
        ([HELD_HOLD, act("capture")], "ar", "challenged", {}),
        ([HELD_HOLD, act("accept_challenge"), act("capture")], "aaa", "captured", {}),
        ([HELD_HOLD, act("refuse_challenge"), act("accept_challenge")], "aar", "voided", {}),
        ([SALE, act("accept_challenge")], "ar", "captured", {}),
        ([SALE, act("fraud")], "aa", "captured", {}),
    ],
)
def test_a_chain_of_rows(  # noqa: PLR0917 - a table
    engine: Engine,
    place: Place,
    rows: list[str],
    outcomes: str,
    status: str,
    amounts: dict[str, int],
) -> None:
    result = run(engine, place, HEADER + "".join(f"{row}\n" for row in rows))
    told = "".join(word[0] for word in result["outcome"])
    assert told == outcomes, str(result.select("kind", "outcome", "message"))
    (key,) = find_payments(engine, list(place.merchants.values()), "p")
    payment = view_payment(engine, key).values
    assert payment["status"] == status
    assert {name: payment[name] for name in amounts} == amounts
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("source", "kind", "outcome"),
    [
        ([SALE], "rebill", "approved"),
        ([HOLD], "rebill", "rejected"),
        ([SALE, act("refund")], "rebill", "approved"),
        ([HOLD, act("void")], "duplicate", "approved"),
        (["sale,p,,1000,USD,4000000000000002,12/39,,"], "duplicate", "declined"),
        (["sale,p,,1000,USD,4000000000000002,12/39,,"], "rebill", "rejected"),
    ],
)
def test_a_new_payment_from_an_earlier_one(
    engine: Engine, place: Place, source: list[str], kind: str, outcome: str
) -> None:
    rows = [*source, f"{kind},again,p,250,,,,,", "refund,,again,50,,,,,"]
    result = run(engine, place, HEADER + "".join(f"{row}\n" for row in rows))
    assert result["outcome"].to_list()[len(source)] == outcome
    assert result["outcome"].to_list()[-1] == ("approved" if outcome == "approved" else "rejected")
    if outcome != "rejected":
        (key,) = find_payments(engine, list(place.merchants.values()), "again")
        values = view_payment(engine, key).values
        assert (values["origin"], values["brand"], values["currency"]) == (kind, "visa", "USD")
        assert values["captured"] == (250 if outcome == "approved" else 0)
    assert laws_hold(engine)


def test_comments_add_up_and_stand_with_the_payment(engine: Engine, place: Place) -> None:
    rows = [SALE, "comment,,p,,,,,,first", "comment,,p,,,,,,card 4111111111111111 again"]
    run(engine, place, HEADER + "".join(f"{row}\n" for row in rows))
    (key,) = find_payments(engine, list(place.merchants.values()), "p")
    words = [fact["text"] for fact in view_payment(engine, key).facts]
    assert words == ["first", "card 411111******1111 again"]


def test_a_mark_on_a_declined_payment(engine: Engine, place: Place) -> None:
    declined = "sale,p,,1000,USD,4000000000000002,12/39,,"
    rows = HEADER + "".join(f"{row}\n" for row in (declined, "comment,,p,,,,,,hm", act("fraud")))
    result = run(engine, place, rows)
    assert result["outcome"].to_list() == ["declined", "approved", "rejected"]
    assert result.filter(pl.col("kind") == "fraud")["reason"].item() == "status_not_allowed"
