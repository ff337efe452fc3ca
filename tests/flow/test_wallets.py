"""Wallets and identifiers: what is enrolled or mapped pays later; the same again is refused."""

from collections.abc import Callable

import polars as pl
import pytest

from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place
from paybatch.store import directory
from tests_support import laws_hold, run

COLUMNS = (
    "kind,reference,payment,amount_minor,currency,gate,card_number,card_expiry,card_reference,"
    "account_number,routing_number,account_type,sec_code,customer,means_rank,identifier_type,"
    "identifier"
)
VISA, MASTERCARD = "4111111111111111", "5555555555554444"
CARD = {"card_number": VISA, "card_expiry": "12/39"}
OTHER = {"card_number": MASTERCARD, "card_expiry": "11/39"}
BANK = {"account_number": "1234567890", "routing_number": "021000021"}
BANK |= {"account_type": "checking", "sec_code": "WEB"}
ADA = {"customer": "ada"}
MAIL = {"identifier_type": "email", "identifier": "Ada@Example.com"}


def row(kind: str, **cells: str) -> str:
    """Write a row."""
    return ",".join({**dict.fromkeys(COLUMNS.split(","), ""), "kind": kind, **cells}.values())


def pay(kind: str, reference: str = "p", **cells: str) -> str:
    """Write a row that makes a payment of 1000."""
    asked = {"reference": reference, "amount_minor": "1000", "currency": "USD"}
    return row(kind, **{**asked, **cells})


def done(engine: Engine, place: Place, *rows: str) -> pl.DataFrame:
    """Run rows as a file."""
    return run(engine, place, "\n".join([COLUMNS, *rows, ""]), again=True)


def wallet(engine: Engine, place: Place, customer: str = "ada") -> list[tuple[int, str]]:
    """Give ranks and masked numbers of a customer's means."""
    with engine.database.transaction() as connection:
        found = directory.means_of_customers(connection, place.merchant_id, [customer])
    return list(found.select("rank", "masked").iter_rows())


def test_a_card_is_enrolled_and_pays(engine: Engine, place: Place) -> None:
    first = done(engine, place, row("wallet_enroll", **ADA, **CARD))
    assert first["message"].to_list() == ["the card has rank 1"]
    then = [pay("sale", "earlier", **OTHER), row("wallet_enroll", **ADA, payment="earlier")]
    assert done(engine, place, *then)["message"].to_list() == [None, "the card has rank 2"]
    assert wallet(engine, place) == [(1, "411111******1111"), (2, "555555******4444")]
    second = done(
        engine,
        place,
        pay("wallet_sale", "s", **ADA, means_rank="2"),
        pay("wallet_credit", "c", **ADA),
        row("refund", payment="s", amount_minor="400"),
        row("void", payment="c"),
    )
    assert second["outcome"].to_list() == ["approved"] * 4
    for name, origin, brand in (("s", "wallet_sale", "mastercard"), ("c", "wallet_credit", "visa")):
        (key,) = find_payments(engine, [place.merchant_id], name)
        values = view_payment(engine, key).values
        assert (values["origin"], values["brand"], values["captured"]) == (origin, brand, 1000)
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("rows", "reasons", "ranks"),
    [
        ([{**ADA, **CARD}, {**ADA, **CARD}], [None, "card_held"], [1]),
        ([{**ADA, **CARD}, {**ADA, **OTHER}, {**ADA, **CARD}], [None, None, "card_held"], [1, 2]),
        ([{**ADA, **CARD}, {**ADA, **CARD, "card_expiry": "01/40"}], [None, None], [1, 2]),
        ([{**ADA, **CARD}, {**CARD, "customer": "bob"}], [None, None], [1]),
    ],
)
def test_the_same_card_again(
    engine: Engine,
    place: Place,
    rows: list[dict[str, str]],
    reasons: list[str | None],
    ranks: list[int],
) -> None:
    result = done(engine, place, *(row("wallet_enroll", **each) for each in rows))
    assert result["reason"].to_list() == reasons
    assert [rank for rank, _ in wallet(engine, place)] == ranks
    again = done(engine, place, row("wallet_enroll", **rows[0]))
    assert again["reason"].to_list() == ["card_held"]
    assert again["message"].item().endswith("the customer's wallet has this card already")
    caller = Caller(engine, place)
    assert caller.call({"kind": "wallet_enroll", **rows[0]})["reason"] == "card_held"
    assert caller.call({"kind": "wallet_enroll", **ADA, **CARD, "card_expiry": "02/41"})[
        "message"
    ] == (f"the card has rank {len(ranks) + 1}")


def test_an_earlier_payment_s_card_again(engine: Engine, place: Place) -> None:
    """Of rows on payments too, in whichever chunks they are worked."""
    result = done(
        engine,
        place,
        pay("sale", "a", **CARD),
        pay("sale", "b", **CARD),
        row("wallet_enroll", **ADA, payment="a"),
        row("wallet_enroll", **ADA, payment="a"),
        row("wallet_enroll", **ADA, payment="b"),
    )
    assert sorted(filter(None, result["reason"])) == ["card_held", "card_held"]
    assert [rank for rank, _ in wallet(engine, place)] == [1]
    assert result["outcome"].to_list()[:3] == ["approved"] * 3


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({**CARD}, "value_missing"),
        ({**ADA}, "subject_missing"),
        ({**ADA, **CARD, "payment": "p"}, "subject_several"),
        ({**ADA, "card_number": VISA}, "means_incomplete"),
        ({**ADA, **CARD, "card_expiry": "12/20"}, "expiry_past"),
        ({**ADA, **CARD, "card_number": "4111111111111112"}, "number_check_digit"),
        ({**ADA, "card_reference": "card_x"}, "card_reference_unknown"),
        ({**ADA, "payment": "nothing"}, "payment_unknown"),
        ({**ADA, "payment": "bank"}, "card_needed"),
        ({**ADA, "payment": "transfer"}, "means_missing"),
        ({"customer": "a b", **CARD}, "value_malformed"),
        ({**ADA, **CARD, "amount_minor": "5"}, "value_not_allowed"),
    ],
)
@pytest.mark.parametrize("kind", ["wallet_enroll", "card_mapping"])
def test_what_is_no_card(
    engine: Engine, place: Place, kind: str, cells: dict[str, str], reason: str
) -> None:
    done(engine, place, pay("sale", "bank", **BANK), pay("transfer_create", "transfer"))
    if kind == "card_mapping":
        mail = MAIL if "customer" in cells else {}
        if cells.get("customer") == "a b":
            mail, reason = {"identifier_type": "mail", "identifier": "x"}, "choice_unknown"
        cells = {**{name: cell for name, cell in cells.items() if name != "customer"}, **mail}
    assert done(engine, place, row(kind, **cells))["reason"].to_list() == [reason]
    assert wallet(engine, place) == []


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({}, "value_missing"),
        ({"customer": "nobody"}, "customer_unknown"),
        ({**ADA, "means_rank": "2"}, "customer_unknown"),
        ({**ADA, "means_rank": "0"}, "choice_unknown"),
        ({**ADA, **CARD}, "value_not_allowed"),
        ({**ADA, "currency": "EUR"}, "currency_not_at_gate"),
        ({**ADA, "amount_minor": ""}, "amount_missing"),
        ({**ADA, "amount_minor": "0"}, "amount_zero"),
        ({**ADA, **MAIL}, "value_not_allowed"),
    ],
)
@pytest.mark.parametrize("kind", ["wallet_sale", "wallet_credit"])
def test_what_no_wallet_pays(
    engine: Engine, place: Place, kind: str, cells: dict[str, str], reason: str
) -> None:
    done(engine, place, row("wallet_enroll", **ADA, **CARD))
    result = done(engine, place, pay(kind, **cells))
    assert result["reason"].to_list() == [reason]
    assert find_payments(engine, [place.merchant_id], "p") == []


@pytest.mark.parametrize("kind", ["sale", "authorize", "credit"])
def test_an_identifier_stands_for_its_newest_card(engine: Engine, place: Place, kind: str) -> None:
    assert done(engine, place, pay(kind, **MAIL))["reason"].to_list() == ["identifier_unknown"]
    phone = {"identifier_type": "phone", "identifier": "+44 20 7946-0018"}
    mapped = done(
        engine,
        place,
        row("card_mapping", **MAIL, **CARD),
        row("card_mapping", **phone, **CARD),
        row("card_mapping", **MAIL, **OTHER),
    )
    assert mapped["outcome"].to_list() == ["approved"] * 3
    called = {"identifier_type": "phone", "identifier": "+442079460018"}
    made = done(
        engine,
        place,
        pay(kind, "mail", identifier_type="email", identifier="ada@example.COM"),
        pay(kind, "phone", **called),
        pay(kind, "handle", **{**called, "identifier_type": "handle"}),
        pay(kind, "untyped", identifier="ada@example.com"),
        pay(kind, "both", **called, **CARD),
    )
    assert made["reason"].to_list() == [
        *(None, None, "identifier_unknown", "means_incomplete", "means_several"),
    ]
    for name, brand in (("mail", "mastercard"), ("phone", "visa")):
        (key,) = find_payments(engine, [place.merchant_id], name)
        assert view_payment(engine, key).values["brand"] == brand
    answer = Caller(engine, place).call({"kind": kind, "amount_minor": "5", **called})
    assert answer["state"] == "approved"
    assert laws_hold(engine)


def test_identifiers_that_look_like_card_numbers_stay_two(engine: Engine, place: Place) -> None:
    """Their masks are alike, their marks are not: one payer must never pay for another."""
    numbers = ("4111110000011119", "4111119000021119")
    phones = [{"identifier_type": "phone", "identifier": number} for number in numbers]
    mapped = done(
        engine,
        place,
        row("card_mapping", **phones[0], **CARD),
        row("card_mapping", **phones[1], **OTHER),
    )
    assert mapped["outcome"].to_list() == ["approved"] * 2
    caller = Caller(engine, place)
    assert caller.call({"kind": "card_mapping", **phones[1], **OTHER})["state"] == "approved"
    done(engine, place, pay("sale", "a", **phones[0]), pay("sale", "b", **phones[1]))
    for name, brand in (("a", "visa"), ("b", "mastercard")):
        (key,) = find_payments(engine, [place.merchant_id], name)
        assert view_payment(engine, key).values["brand"] == brand
    with engine.database.transaction() as connection:
        kept = connection.execute("SELECT cells FROM row_text UNION ALL SELECT name FROM card_name")
        told = " ".join(str(cell) for (cell,) in kept)
    assert all(number not in told for number in numbers)


@pytest.mark.parametrize("policy", ["valid-rows", "all-or-none"])
@pytest.mark.parametrize("chunk_rows", [1, 3, 50_000])
def test_what_is_newest_follows_the_lines(
    place: Place, with_settings: Callable[..., Engine], chunk_rows: int, policy: str
) -> None:
    """Whether a row names its card by a payment of the file, an older one, or by its number."""
    engine = with_settings(chunk_rows=chunk_rows, threads=2)
    done(engine, place, pay("sale", "old", **CARD))
    third = {"card_number": "4000000000000051", "card_expiry": "10/39"}
    phones = [
        {"identifier_type": "phone", "identifier": f"+44 20 7946 001{each}"} for each in range(4)
    ]
    rows = [
        pay("sale", "own", **CARD),
        *(row("card_mapping", payment=each, **phones[0]) for each in ("own", "old")),
        row("card_mapping", **phones[0], **OTHER),
        row("card_mapping", **phones[1], **OTHER),
        *(row("card_mapping", payment=each, **phones[1]) for each in ("old", "own")),
        row("card_mapping", payment="own", **phones[2]),
        row("card_mapping", **phones[2], **OTHER),
        row("card_mapping", **phones[3], **OTHER),
        row("card_mapping", payment="own", **phones[3]),
        row("wallet_enroll", **ADA, payment="own"),
        row("wallet_enroll", **ADA, **OTHER),
        row("wallet_enroll", **ADA, **third),
        row("wallet_enroll", customer="bob", **third),
        row("wallet_enroll", customer="bob", payment="own"),
        row("wallet_enroll", customer="bob", **OTHER),
    ]
    text = "\n".join([COLUMNS, *rows, ""])
    result = run(engine, place, text, policy=policy)
    assert result["outcome"].to_list() == ["approved"] * len(rows)
    done(engine, place, *(pay("sale", f"s{each}", **phones[each]) for each in range(4)))
    brands = [
        view_payment(engine, find_payments(engine, [place.merchant_id], f"s{each}")[0]).values
        for each in range(4)
    ]
    assert [each["brand"] for each in brands] == ["mastercard", "visa", "mastercard", "visa"]
    tails = {
        name: [mask[-4:] for _, mask in wallet(engine, place, name)] for name in ("ada", "bob")
    }
    assert tails == {"ada": ["1111", "4444", "0051"], "bob": ["0051", "1111", "4444"]}
