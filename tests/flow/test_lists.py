"""Lists: what stands on one is not served, where the list holds and as long as it does."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.connector import Verb
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place
from tests_support import laws_hold, run

HEADER = (
    "kind,reference,payment,amount_minor,currency,gate,card_number,card_expiry,card_reference,"
    "email,customer_ip,bin,level,comment\n"
)
VISA, MASTERCARD = "4111111111111111", "5555555555554444"


def row(kind: str, **cells: str) -> str:
    """Write a row."""
    return ",".join(
        {**dict.fromkeys(HEADER.strip().split(","), ""), "kind": kind, **cells}.values()
    )


def sale(reference: str, number: str = VISA, **cells: str) -> str:
    """Write a sale."""
    card = {"card_number": number, "card_expiry": "12/39"}
    asked = {"reference": reference, "amount_minor": "100", "currency": "USD"}
    return row("sale", **{**asked, **card, **cells})


def reasons(engine: Engine, place: Place, *rows: str) -> list[str | None]:
    """Run rows and give the reason of each."""
    text = HEADER + "".join(f"{each}\n" for each in rows)
    return run(engine, place, text, again=True)["reason"].to_list()


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ({"payment": "first"}, "number_listed"),
        ({"card_number": VISA}, "number_listed"),
        ({"bin": "411111"}, "bin_listed"),
        ({"email": "Thief@Example.com"}, "email_listed"),
        ({"customer_ip": "192.0.2.7"}, "ip_listed"),
    ],
)
def test_what_is_listed_is_filtered(
    engine: Engine, place: Place, listed: dict[str, str], reason: str
) -> None:
    same = {"email": "thief@example.com", "customer_ip": "192.0.2.7"}
    assert reasons(engine, place, sale("first", **same)) == [None]
    assert reasons(engine, place, row("blacklist", **listed)) == [None]
    other = sale("other", MASTERCARD, email="good@example.com", customer_ip="192.0.2.8")
    assert reasons(engine, place, sale("second", **same), other) == [reason, None]
    (key,) = find_payments(engine, list(place.merchants.values()), "second")
    payment = view_payment(engine, key)
    assert payment.values["status"] == "filtered"
    assert payment.values["authorized"] == 0
    assert [each["state"] for each in payment.operations] == ["rejected"]
    off = {"card_number": VISA} if "payment" in listed else listed
    assert reasons(engine, place, row("unblacklist", **off)) == [None]
    assert reasons(engine, place, sale("third", **same)) == [None]
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("level", "filtered"),
    [("gate", [False, True]), ("merchant", [True, True]), ("processor", [True, True])],
)
def test_a_list_holds_at_its_level(
    engine: Engine, place: Place, level: str, filtered: list[bool]
) -> None:
    listed = row("blacklist", gate="many", card_number=VISA, level=level)
    assert reasons(engine, place, listed) == [None]
    met = reasons(engine, place, sale("a", gate="sandbox"), sale("b", gate="many"))
    assert [reason == "number_listed" for reason in met] == filtered


def test_a_row_names_one_thing(engine: Engine, place: Place) -> None:
    met = reasons(
        engine,
        place,
        row("blacklist"),
        row("blacklist", email="a@example.com", bin="411111"),
        row("blacklist", payment="nobody"),
        row("blacklist", bin="4111"),
        row("blacklist", customer_ip="somewhere"),
    )
    assert met == [
        *("subject_missing", "subject_several", "payment_unknown"),
        *("value_malformed", "value_malformed"),
    ]


def test_a_single_call_is_filtered_too(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    assert caller.call({"kind": "blacklist", "email": "thief@example.com"})["state"] == "approved"
    values = {"amount_minor": "100", "currency": "USD", "card_number": VISA, "card_expiry": "12/39"}
    answer = caller.call({"kind": "sale", **values, "email": "thief@example.com"})
    assert (answer["state"], answer["reason"]) == ("rejected", "email_listed")
    assert answer["status"] == "filtered"
    assert caller.call({"kind": "sale", **values})["state"] == "approved"


@pytest.mark.parametrize("kind", ["rebill", "duplicate"])
@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ({"payment": "first"}, "number_listed"),
        ({"bin": "411111"}, "bin_listed"),
        ({"bin": "411111", "level": "gate", "gate": "many"}, "bin_listed"),
    ],
)
def test_what_takes_the_means_of_an_earlier_payment_is_filtered_too(
    engine: Engine, place: Place, kind: str, listed: dict[str, str], reason: str
) -> None:
    met = reasons(engine, place, sale("first", gate="many"), sale("other", "5555555555554444"))
    assert met == [None, None]
    assert reasons(engine, place, row("blacklist", **listed)) == [None]
    again = {"amount_minor": "100", "currency": "USD"}
    rows = [row(kind, payment=name, reference=f"{name}-2", **again) for name in ("first", "other")]
    assert reasons(engine, place, *rows) == [reason, None]
    answer = Caller(engine, place).call({"kind": kind, "payment": "first", **again})
    assert (answer["state"], answer["reason"]) == ("rejected", reason)
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("listed", "others"),
    [
        ("2001:DB8::1", ["2001:db8::1", "2001:0db8:0:0:0:0:0:1", "2001:DB8:0::1"]),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", ["2001:db8::1"]),
        ("::ffff:192.0.2.7", ["192.0.2.7", "::FFFF:c000:207"]),
        ("192.0.2.7", ["::ffff:192.0.2.7"]),
    ],
)
def test_an_address_is_listed_however_it_is_spelled(
    engine: Engine, place: Place, listed: str, others: list[str]
) -> None:
    assert reasons(engine, place, row("blacklist", customer_ip=listed)) == [None]
    sales = [sale(f"s{n}", customer_ip=each) for n, each in enumerate([*others, "2001:db8::2"])]
    assert reasons(engine, place, *sales) == ["ip_listed"] * len(others) + [None]
    card = {"card_number": VISA, "card_expiry": "12/39"}
    asked = {"kind": "sale", "amount_minor": "100", "currency": "USD", **card}
    assert Caller(engine, place).call({**asked, "customer_ip": others[-1]})["reason"] == "ip_listed"
    assert reasons(engine, place, row("unblacklist", customer_ip=others[0])) == [None]
    assert reasons(engine, place, *sales) == [None] * len(sales)


@pytest.mark.parametrize("email", ["Thief@Example.COM", "THIEF@EXAMPLE.com", "thief@example.com"])
def test_an_e_mail_address_is_listed_whatever_its_capitals(
    engine: Engine, place: Place, email: str
) -> None:
    assert reasons(engine, place, row("blacklist", email=email)) == [None]
    sales = [sale(f"s{n}", email=each) for n, each in enumerate(["thief@EXAMPLE.com", email])]
    assert reasons(engine, place, *sales) == ["email_listed"] * 2


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("way", ["file", "call"])
def test_a_fraud_system_is_told_where_there_is_one(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, able: bool, way: str
) -> None:
    """Whether a row names a payment or a card; a connector without the verb is not asked."""
    told: list[tuple[str, str | None]] = []
    sandbox = registry.connectors()["sandbox"]

    def send(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
        told.extend(table.select("verb", "email").rows())
        yield from sandbox.send(table)

    lists = frozenset({Verb.BLACKLIST, Verb.UNBLACKLIST})
    verbs = sandbox.verbs if able else sandbox.verbs - lists
    changed = replace(sandbox, verbs=verbs, wants=sandbox.wants | {"email"}, send=send)
    monkeypatch.setitem(registry.connectors(), "sandbox", changed)
    assert reasons(engine, place, sale("first")) == [None]
    told.clear()
    cells = [{"payment": "first"}, {"card_number": VISA}, {"email": "thief@example.com"}]
    acts = [{"kind": "blacklist", **each} for each in cells]
    acts.append({"kind": "unblacklist", "payment": "first"})
    if way == "file":
        assert reasons(engine, place, *(row(**each) for each in acts)) == [None] * 4
    else:
        caller = Caller(engine, place)
        assert [caller.call(each)["state"] for each in acts] == ["approved"] * 4
    blacklist, thief = "blacklist", "thief@example.com"
    heard = [(blacklist, None), (blacklist, None), (blacklist, thief), ("unblacklist", None)]
    assert sorted(told, key=str) == (sorted(heard, key=str) if able else [])
    assert reasons(engine, place, sale("x", MASTERCARD, email=thief)) == ["email_listed"]
