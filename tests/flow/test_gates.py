"""Gates: what one lacks, what it asks for, and which day its money belongs to."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time

import pytest

from conftest import gate_values
from paybatch import registry
from paybatch.domain.connector import Verb
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, find_place
from paybatch.flow.working.settle import business_day
from paybatch.store import directory
from paybatch.store.directory import Gate
from tests_support import run

HEADER = (
    "kind,gate,amount_minor,card_number,card_expiry,card_cvv,card_reference,account_number,"
    "routing_number,account_type,sec_code,reference,payment\n"
)
VISA, MASTERCARD, AMEX = "4111111111111111", "5555555555554444", "378282246310005"
Adding = Callable[..., Place]


@pytest.fixture
def with_gate(engine: Engine) -> Adding:
    """Give a function that makes a gate and gives the place that has it."""

    def add(name: str, **values: object) -> Place:
        with engine.database.transaction() as connection:
            directory.add_gate(connection, gate_values(name, **values))
        return find_place(engine, "local")

    return add


def card(kind: str, gate: str, *, number: str = VISA, cvv: str = "", reference: str = "") -> str:
    amount = "" if kind == "verify" else "100"
    return f"{kind},{gate},{amount},{number},12/39,{cvv},,,,,,{reference},\n"


def test_what_a_connector_cannot_do_is_not_supported(
    engine: Engine, with_gate: Adding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the check where the row names the gate, at claim where its payment does."""
    sandbox = registry.connectors()["sandbox"]
    plain = replace(sandbox, name="plain", verbs=frozenset({Verb.SALE}))
    monkeypatch.setitem(registry.connectors(), "plain", plain)
    place = with_gate("plain", connector="plain")
    rows = {
        card("sale", "plain", reference="p"): None,
        card("credit", "plain"): "not_supported",
        card("verify", "plain"): "not_supported",
        "refund,,1,,,,,,,,,,p\n": "not_supported",
        "refund,plain,1,,,,,,,,,,p\n": "not_supported",
        "comment,,,,,,,,,,,,p\n": "value_missing",  # it needs no processor, but a comment
        card("credit", ""): None,
    }
    result = run(engine, place, HEADER + "".join(rows))
    assert result["reason"].to_list() == list(rows.values())
    assert result["message"][1].startswith("column kind is credit: ")
    assert result["message"][3].startswith("column kind is refund: ")


def test_a_gate_says_which_brands_take_an_authorization_of_zero(
    engine: Engine, with_gate: Adding
) -> None:
    place = with_gate("zero", capabilities='{"zero_authorization_brands": ["visa", "amex"]}')
    brands = (VISA, MASTERCARD, AMEX)
    rows = [card("verify", gate, number=each) for gate in ("sandbox", "zero") for each in brands]
    result = run(engine, place, HEADER + "".join(rows))
    refused = "zero_not_at_brand"
    assert result["reason"].to_list() == [None, None, refused, None, refused, None]


def test_a_gate_may_ask_for_a_cvv(engine: Engine, with_gate: Adding) -> None:
    """Of cards that come by their number; of no other means."""
    place = with_gate("careful", capabilities='{"cvv_required": true}')
    made = run(engine, place, HEADER + card("sale", ""))
    rows = {
        card("sale", "careful"): "means_incomplete",
        card("authorize", "careful"): "means_incomplete",
        card("sale", "careful", cvv="123"): None,
        card("sale", ""): None,
        f"sale,careful,100,,,,{made['card_number'][0]},,,,,,\n": None,
        "sale,careful,100,,,,,1234567890,021000021,checking,WEB,,\n": None,
    }
    result = run(engine, place, HEADER + "".join(rows))
    assert result["reason"].to_list() == list(rows.values())
    assert result["message"][0].startswith("column card_cvv: ")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "cut_off", "now", "day"),
    [
        ("UTC", "00:00", "2026-11-21T00:00:00", "2026-11-21"),
        ("UTC", "00:00", "2026-11-21T23:59:59", "2026-11-21"),
        ("UTC", "18:00", "2026-11-21T17:59:59", "2026-11-21"),
        ("UTC", "18:00", "2026-11-21T18:00:00", "2026-11-22"),
        ("UTC", "18:00", "2026-12-31T18:00:01", "2027-01-01"),
        ("UTC", "00:30", "2026-11-21T00:29:00", "2026-11-21"),
        ("UTC", "00:30", "2026-11-21T00:30:00", "2026-11-22"),
        ("Europe/Berlin", "00:00", "2026-11-21T22:59:59", "2026-11-21"),
        ("Europe/Berlin", "00:00", "2026-11-21T23:00:00", "2026-11-22"),
        ("Europe/Berlin", "22:30", "2026-11-21T21:29:59", "2026-11-21"),
        ("Europe/Berlin", "22:30", "2026-11-21T21:30:00", "2026-11-22"),
        ("Europe/Berlin", "22:30", "2026-07-01T20:29:59", "2026-07-01"),  # summer time
        ("Europe/Berlin", "22:30", "2026-07-01T20:30:00", "2026-07-02"),
        ("America/New_York", "00:00", "2026-11-21T04:59:59", "2026-11-20"),
        ("America/New_York", "17:00", "2026-11-21T22:00:00", "2026-11-22"),
        ("Asia/Tokyo", "00:00", "2026-11-21T15:00:00", "2026-11-22"),
    ],
)
def test_business_day(place: Place, zone: str, cut_off: str, now: str, day: str) -> None:
    gate: Gate = replace(place.gates[0], zone=zone, cut_off=time.fromisoformat(cut_off))
    assert business_day(gate, at(now)) == date.fromisoformat(day)


def test_a_payment_has_the_business_day_of_its_gate(engine: Engine, with_gate: Adding) -> None:
    with_gate("late", cut_off="11:59")  # the tests' clock stands at noon, in UTC
    place = with_gate("kiritimati", zone="Pacific/Kiritimati")
    rows = [card("sale", gate) for gate in ("sandbox", "late", "kiritimati", "sandbox")]
    assert run(engine, place, HEADER + "".join(rows))["outcome"].to_list() == ["approved"] * 4
    with engine.database.transaction() as connection:
        days = connection.execute("SELECT business_day::text FROM payment ORDER BY id").fetchall()
    wanted = ["2026-11-21", "2026-11-22", "2026-11-22", "2026-11-21"]
    assert [row[0] for row in days] == wanted
