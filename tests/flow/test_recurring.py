"""Recurring payments: amounts, cards, charges by hand and changes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from conftest import gate_values
from paybatch.flow import recurring
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.store import directory
from recurring_support import (
    CARD,
    COLUMNS,
    DECLINES,
    EXPIRED,
    OTHER,
    SECOND_TIME,
    TODAY,
    VISA,
    charge,
    charged,
    create,
    dates,
    done,
    on,
    payments,
    row,
    status,
    tick,
    update,
    view,
)
from tests_support import laws_hold, run

# How much


def test_an_amount_is_drawn_once_and_kept(engine: Engine, place: Place) -> None:
    rows = [
        create(
            reference=f"r{n}",
            amount_minor="",
            amount_from="5.00",
            amount_to="5.99",
            period="day",
        )
        for n in range(6)
    ]
    assert set(done(engine, place, *rows)["outcome"]) == {"approved"}
    recurring.due_work(on(engine, TODAY))
    drawn = dates(engine)
    recurring.due_work(on(engine, TODAY))
    assert dates(engine) == drawn, "it is not drawn again"
    tick(engine, TODAY)
    assert sorted(charged(engine)) == sorted((due, amount) for due, amount, _, _ in drawn)
    tick(engine, TODAY + timedelta(days=1))
    amounts = [amount for _, amount in charged(engine)]
    assert len(amounts) == 12
    assert all(500 <= amount <= 599 for amount in amounts)
    assert len(set(amounts)) > 6, "they are not all the same"
    assert [each["captured"] for each in payments(engine)].sort() == amounts.sort()


def test_an_amount_of_a_range_of_one(engine: Engine, place: Place) -> None:
    done(engine, place, create(amount_minor="", amount_from="5.00", amount_to="5.00"))
    tick(engine, TODAY)
    assert charged(engine) == [(str(TODAY), 500)]


@pytest.mark.parametrize("written", ["1.00;2.50;0.05", '"1.00,2.50,0.05"'])
def test_a_sequence_gives_each_amount_and_ends(engine: Engine, place: Place, written: str) -> None:
    done(engine, place, create(amount_minor="", amount_sequence=written, period="day"))
    for number in range(6):
        tick(engine, TODAY + timedelta(days=number))
    assert [amount for _, amount in charged(engine)] == [100, 250, 5]
    assert status(engine, place) == "recurring_finished"
    assert laws_hold(engine)


def test_a_currency_without_decimals(engine: Engine, place: Place) -> None:
    cells = {"gate": "many", "currency": "JPY", "amount_minor": "", "period": "day"}
    rows = [
        create(reference="a", amount_sequence="500;70", **cells),
        create(reference="b", amount_from="10", amount_to="10", **cells),
    ]
    done(engine, place, *rows)
    tick(engine, TODAY)
    assert [amount for _, amount in charged(engine)] == [500, 10]
    assert {each["currency"] for each in payments(engine)} == {"JPY"}


WAYS = {"amount_from": "1.00", "amount_to": "2.00"}
NONE = {"amount_minor": ""}


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (NONE, "amount_missing"),
        (WAYS, "amount_twice"),
        ({"amount_sequence": "1.00"}, "amount_twice"),
        ({**NONE, **WAYS, "amount_sequence": "1.00"}, "amount_twice"),
        ({**NONE, "amount_from": "1.00"}, "range_wrong"),
        ({**NONE, "amount_to": "1.00"}, "range_wrong"),
        ({**NONE, **WAYS, "amount_from": "2.01"}, "range_wrong"),
        ({**NONE, **WAYS, "amount_from": "1"}, "amount_not_decimal"),
        ({**NONE, **WAYS, "amount_from": "0.00"}, "amount_zero"),
        ({**NONE, "amount_sequence": "1.00;2"}, "amount_not_decimal"),
        ({**NONE, "amount_sequence": "1.00;0.00"}, "amount_zero"),
        ({**NONE, "amount_sequence": "0.00;1.00"}, "amount_zero"),
        ({**NONE, "amount_sequence": "1.00;"}, "amount_not_decimal"),
        ({**NONE, "amount_sequence": "1.00 2.00"}, "amount_not_decimal"),
        ({**NONE, "amount_sequence": "12345678901.00;1234567890123.00"}, "amount_too_large"),
        ({"amount_minor": "0"}, "amount_zero"),
        ({"period": ""}, "value_missing"),
        ({"period": "fortnight"}, "choice_unknown"),
        ({"every": "0"}, "choice_unknown"),
        ({"attempts": "16"}, "choice_unknown"),
        ({"finish_count": "0"}, "choice_unknown"),
        ({"start_on": "31.1.2027"}, "day_malformed"),
        ({"start_on": "2027-02-01", "finish_on": "2027-01-31"}, "finish_before_start"),
        ({"card_side": "BOTH"}, "choice_unknown"),
        ({"card_number": VISA}, "means_incomplete"),
        ({**CARD, "card_expiry": "01/20"}, "expiry_past"),
        ({**CARD, "card_number": "4111111111111112"}, "number_check_digit"),
        ({**CARD, "payment": "p"}, "subject_several"),
        ({"card_reference": "card_nobody"}, "card_reference_unknown"),
        ({"payment": "nobody"}, "payment_unknown"),
        ({"payment": "bank"}, "card_needed"),
        ({"payment": "declined"}, "status_not_allowed"),
        ({"payment": "transfer"}, "means_missing"),
        ({"payment": "p", "currency": "EUR", "gate": "many"}, "gate_differs"),
    ],
)
def test_wrong_rows(engine: Engine, place: Place, cells: dict[str, str], reason: str) -> None:
    pay = {"amount_minor": "1000", "currency": "USD"}
    bank = {"account_number": "1234567890", "routing_number": "021000021"}
    bank |= {"account_type": "checking", "sec_code": "WEB"}
    result = done(
        engine,
        place,
        row("sale", reference="p", **pay, **CARD),
        row("sale", reference="bank", **pay, **bank),
        row("sale", reference="declined", **pay, **{**CARD, "card_number": DECLINES}),
        row("transfer_create", reference="transfer", **pay),
        create(**cells),
    )
    assert (result["outcome"][4], result["reason"][4]) == ("rejected", reason)


def test_amounts_without_a_known_currency_are_refused(engine: Engine, place: Place) -> None:
    many = {"gate": "many", "currency": ""}
    wrong = [create(**many, **NONE, **WAYS), create(**many, **NONE, amount_sequence="1.00")]
    assert done(engine, place, *wrong)["reason"].to_list() == ["currency_missing"] * 2


# With which card


def test_the_card_of_an_order_a_reference_or_a_number(engine: Engine, place: Place) -> None:
    pay = {"amount_minor": "1000", "currency": "USD"}
    sale = row("sale", reference="order", **pay, **OTHER)
    verified = row("verify", reference="checked", currency="USD", **CARD)
    made = done(engine, place, sale, verified, create(reference="a", payment="order"))
    known = made["card_number"][0]
    rows = [
        create(reference="b", payment="checked"),
        create(reference="c", card_reference=known),
        create(reference="d", **CARD),
    ]
    assert done(engine, place, *rows)["outcome"].to_list() == ["approved"] * 3
    tick(engine, TODAY)
    brands = ["mastercard", "visa", "mastercard", "visa"]
    assert [each["brand"] for each in payments(engine)] == brands
    assert [each["expiry"] for each in payments(engine)] == [3911, 3912, 3911, 3912]
    assert laws_hold(engine)


def test_a_cvv_is_taken_and_not_kept(engine: Engine, place: Place) -> None:
    result = done(engine, place, create(**CARD, card_cvv="123"))
    assert result["outcome"].to_list() == ["approved"]
    with engine.database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM secret_block").fetchone() == (0,)


def test_a_card_that_is_paid(engine: Engine, place: Place) -> None:
    done(engine, place, create(card_number=VISA, card_side="DST", period="day"))
    tick(engine, TODAY)
    done(engine, place, charge("by-hand"))
    made = payments(engine)
    assert [each["origin"] for each in made] == ["recurring_payout"] * 2
    assert [(each["captured"], each["is_payout"]) for each in made] == [(1000, True), (700, True)]
    assert view(engine, place, "by-hand")["status"] == "credited"
    with engine.database.transaction() as connection:
        accounts = connection.execute(
            "SELECT DISTINCT d.name, c.name FROM transfer t "
            "JOIN account d ON d.id = t.debit_account_id JOIN account c ON c.id = "
            "t.credit_account_id"
        ).fetchall()
    assert accounts == [("merchant", "receivable")]
    wrong = done(engine, place, create(reference="s"), row("recurring_payout", payment="s",
        amount_minor="1", currency="USD"))  # fmt: skip
    assert wrong["reason"].to_list() == [None, "status_not_allowed"]
    assert laws_hold(engine)


def test_a_charge_is_by_the_merchant_with_the_first_scheme_id(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = place.connector(place.gate_id)
    seen: list[pl.DataFrame] = []

    def send(calls: pl.DataFrame) -> Any:
        seen.append(calls)
        return sandbox.send(calls)

    wants = sandbox.wants | {"initiator", "scheme_transaction_id", "email"}
    spying = replace(sandbox, send=send, wants=wants)
    monkeypatch.setattr(Place, "connector", lambda *_: spying)
    payer = {"billing_postal_code": "10115", "email": "ada@example.com"}
    done(engine, place, create(scheme_transaction_id="MCC4711", **payer))
    tick(engine, TODAY)
    done(engine, place, charge(), update(email="bob@example.com"))
    tick(engine, "2026-12-21")
    names = ("initiator", "pattern", "scheme_transaction_id", "attempt", "billing_postal_code")
    told = [each.row(0, named=True) for each in seen]
    first = {"initiator": "merchant", "pattern": "recurring", "scheme_transaction_id": "MCC4711"}
    assert {name: told[0][name] for name in names} == {
        **first, "attempt": "1", "billing_postal_code": "10115"
    }  # fmt: skip
    assert (told[1]["initiator"], told[1]["pattern"]) == ("merchant", "recurring")
    assert told[1]["attempt"] is None
    assert told[2]["email"] == "bob@example.com"


def test_the_scheme_id_of_a_series_is_that_of_its_first_payment(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = place.connector(place.gate_id)
    seen: dict[str, str | None] = {}

    def send(calls: pl.DataFrame) -> Any:
        for amount, scheme_id in calls.select("amount_minor", "scheme_transaction_id").rows():
            seen[str(amount)] = scheme_id
        return sandbox.send(calls)

    spying = replace(sandbox, send=send, wants=sandbox.wants | {"scheme_transaction_id"})
    monkeypatch.setattr(Place, "connector", lambda *_: spying)
    pay = {"amount_minor": "1000", "currency": "USD", **CARD}
    first = row("sale", reference="order", **pay, scheme_transaction_id="FIRST")
    plain = row("sale", reference="plain", **{**pay, "amount_minor": "1001"})
    done(
        engine, place, first, plain,
        create(reference="a", payment="order", amount_minor="10"),
        charge("x", payment="a", amount_minor="11"),
    )  # fmt: skip
    done(engine, place, create(reference="b", payment="order", amount_minor="20"),
         create(reference="c", payment="plain", amount_minor="30"),
         create(reference="d", payment="order", amount_minor="40", scheme_transaction_id="OWN"),
         charge("y", payment="b", amount_minor="21"))  # fmt: skip
    done(engine, place, charge("z", payment="b", amount_minor="22"),
         charge("w", payment="d", amount_minor="41", scheme_transaction_id="TOLD"))  # fmt: skip
    Caller(engine, place).call(
        {"kind": "recurring_charge", "payment": "b", "amount_minor": "23", "currency": "USD"}
    )
    tick(engine, TODAY)
    assert seen == {
        "1000": "FIRST", "1001": None, "11": "FIRST", "21": "FIRST", "22": "FIRST", "23": "FIRST",
        "41": "TOLD", "10": "FIRST", "20": "FIRST", "30": None, "40": "OWN",
    }  # fmt: skip


# By hand


def test_a_charge_by_hand_is_one_more(engine: Engine, place: Place) -> None:
    done(engine, place, create(start_on="2026-12-01"))
    assert done(engine, place, charge("a"), charge("b"))["outcome"].to_list() == ["approved"] * 2
    called = Caller(engine, place).call(
        {"kind": "recurring_charge", "payment": "r", "amount_minor": "5", "currency": "USD"}
    )
    assert called["state"] == "approved"
    tick(engine, "2026-12-01")
    assert charged(engine) == [("2026-12-01", 1000)]
    assert [each["captured"] for each in payments(engine)] == [700, 700, 5, 1000]
    assert done(engine, place, row("refund", payment="a"))["outcome"].item() == "approved"
    assert laws_hold(engine)


def test_made_and_charged_in_one_file(engine: Engine, place: Place) -> None:
    text = "\n".join([COLUMNS, create(), charge("a"), update(action="pause"), charge("b"), ""])
    found = preview(engine, place, [text.encode()], Request(file_name="r.csv"))
    assert [(each["line"], each["reason"]) for each in found.refused] == [(5, "recurring_paused")]
    result = run(engine, place, text)
    assert result["reason"].to_list() == [None, None, None, "recurring_paused"]


@pytest.mark.parametrize("kind", ["capture", "void", "refund", "rebill", "duplicate"])
def test_it_is_no_payment(engine: Engine, place: Place, kind: str) -> None:
    amount = {"amount_minor": "5", "currency": "USD"} if kind in {"rebill", "duplicate"} else {}
    result = done(engine, place, create(), row(kind, payment="r", **amount))
    assert result["outcome"].to_list() == ["approved", "rejected"]
    assert result["reason"].to_list() == [None, "status_not_allowed"]


def test_terms_are_no_money(engine: Engine, place: Place) -> None:
    done(engine, place, create(), update(amount_minor="2000", currency="USD"))
    with engine.database.transaction() as connection:
        sums = connection.execute("SELECT sum(approved_minor) FROM tally").fetchone()
        moved = connection.execute("SELECT count(*) FROM transfer").fetchone()
    assert (sums, moved) == ((0,), (0,))
    assert view(engine, place)["authorized"] == 0


# Changes


def test_a_new_card_is_charged(engine: Engine, place: Place) -> None:
    done(engine, place, create(period="day"))
    tick(engine, TODAY)
    done(engine, place, update(**OTHER))
    tick(engine, "2026-11-22")
    later = on(engine, "2026-11-22", hour=13)
    done(later, place, update(**CARD, card_cvv="123"), charge("by-hand"))
    found = [(each["brand"], each["expiry"]) for each in payments(engine)]
    assert found == [("visa", 3912), ("mastercard", 3911), ("visa", 3912)]
    assert view(engine, place)["brand"] == "visa"
    assert laws_hold(engine)


def test_a_new_card_mends_what_failed(engine: Engine, place: Place) -> None:
    expired = {**CARD, "card_number": EXPIRED}
    done(engine, place, create(**expired, period="week"))
    tick(engine, TODAY)
    assert status(engine, place) == "recurring_failed"
    result = done(
        engine,
        place,
        update(action="resume"),
        update(**expired),
        update(action="pause"),
        update(amount_minor="900", currency="USD"),
        update(**OTHER),
    )
    used_up = "card_used_up"
    assert result["reason"].to_list() == [used_up, used_up, used_up, None, None]
    assert status(engine, place) == "recurring_active"
    assert tick(engine, "2026-11-22") == [], "the date that was declined is not charged again"
    tick(engine, "2026-11-28")
    assert charged(engine) == [("2026-11-28", 900)]


def test_a_new_expiry_is_another_card(engine: Engine, place: Place) -> None:
    done(engine, place, create(**{**CARD, "card_number": EXPIRED}))
    tick(engine, TODAY)
    result = done(engine, place, update(card_number=EXPIRED, card_expiry="01/40"))
    assert result["outcome"].item() == "approved"
    assert status(engine, place) == "recurring_active"


def test_new_amounts(engine: Engine, place: Place) -> None:
    done(engine, place, create(period="day", finish_count="6"))
    later = {"currency": "USD"}
    changes = {
        1: update(amount_minor="2000", **later),
        2: update(amount_sequence="1.00;2.00;9.00;9.00", **later),
        4: update(amount_from="3.00", amount_to="3.00", **later),
    }
    for number in range(8):
        if number in changes:
            moved = on(engine, TODAY + timedelta(days=number), hour=1)
            done(moved, place, changes[number])
        tick(engine, TODAY + timedelta(days=number))
    assert [amount for _, amount in charged(engine)] == [1000, 2000, 100, 200, 300, 300]
    assert status(engine, place) == "recurring_finished"


def test_nothing_is_charged_for_a_pause(engine: Engine, place: Place) -> None:
    done(engine, place, create(start_on="2026-11-20", period="week"))
    tick(engine, TODAY)
    done(engine, place, update(action="pause"))
    for day in ("2026-11-27", "2026-12-04"):
        assert tick(engine, day) == []
    done(on(engine, "2026-12-07"), place, update(action="resume"))
    assert tick(engine, "2026-12-07") == []
    tick(engine, "2026-12-11")
    assert [due for due, _ in charged(engine)] == ["2026-11-20", "2026-12-11"]


def test_what_is_due_on_the_day_of_its_resumption_is_charged(engine: Engine, place: Place) -> None:
    done(engine, place, create(start_on="2026-11-27", period="week"), update(action="pause"))
    tick(engine, "2026-11-27")
    done(on(engine, "2026-12-04"), place, update(action="resume"))
    tick(engine, "2026-12-04", hour=13)
    assert [due for due, _ in charged(engine)] == ["2026-12-04"]


def test_a_retry_does_not_outlive_a_pause(engine: Engine, place: Place) -> None:
    done(engine, place, create(**{**CARD, "card_number": SECOND_TIME}))
    tick(engine, TODAY)
    done(engine, place, update(action="pause"))
    assert tick(engine, "2026-11-22") == []
    done(on(engine, "2026-11-23"), place, update(action="resume"))
    assert tick(engine, "2026-11-23") == []
    assert dates(engine) == [("2026-11-21", 1000, 2, "given_up")]


@pytest.mark.parametrize(
    ("actions", "reasons", "ends_as"),
    [
        (["pause"], [None], "recurring_paused"),
        (["pause", "pause"], [None, None], "recurring_paused"),
        (["resume"], [None], "recurring_active"),
        (["pause", "resume"], [None, None], "recurring_active"),
        (["stop", "resume"], [None, "recurring_over"], "recurring_stopped"),
        (["pause", "stop", "pause"], [None, None, "recurring_over"], "recurring_stopped"),
        (["finish", "stop"], [None, "recurring_over"], "recurring_finished"),
    ],
)
@pytest.mark.parametrize("files", [1, 2, 9])
def test_actions(  # noqa: PLR0917 - a table
    engine: Engine,
    place: Place,
    actions: list[str],
    reasons: list[str | None],
    ends_as: str,
    files: int,
) -> None:
    """In one file with what they change, in a file of their own, and as calls."""
    rows = [update(action=each) for each in actions]
    if files == 1:
        found = done(engine, place, create(), *rows)["reason"].to_list()[1:]
    elif files == 2:
        done(engine, place, create())
        found = done(engine, place, *rows)["reason"].to_list()
    else:
        done(engine, place, create())
        caller = Caller(engine, place)
        asked = [{"kind": "recurring_update", "payment": "r", "action": each} for each in actions]
        found = [caller.call(each)["reason"] for each in asked]
    assert found == reasons
    assert status(engine, place) == ends_as


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"action": "sleep"}, "choice_unknown"),
        ({"card_number": VISA}, "means_incomplete"),
        ({"card_expiry": "12/39"}, "means_incomplete"),
        ({**CARD, "card_reference": "card_x"}, "means_several"),
        ({"amount_from": "1.00", "currency": "USD"}, "range_wrong"),
        ({"amount_from": "1.00", "amount_to": "2.00"}, "currency_missing"),
        ({"amount_minor": "5", "currency": "JPY"}, "currency_differs"),
        ({"payment": "p", "action": "stop"}, "status_not_allowed"),
        ({"payment": ""}, "value_missing"),
        ({"period": "day"}, "value_not_allowed"),
    ],
)
def test_wrong_changes(engine: Engine, place: Place, cells: dict[str, str], reason: str) -> None:
    sale = row("sale", reference="p", amount_minor="5", currency="USD", **CARD)
    result = done(engine, place, sale, create(), update(**cells))
    assert (result["outcome"][2], result["reason"][2]) == ("rejected", reason)


def test_a_recurring_payment_of_another_merchant_looks_unknown(
    engine: Engine, place: Place
) -> None:
    done(engine, place, create())
    with engine.database.transaction() as connection:
        directory.add_sender(connection, "theirs")
        directory.add_merchant(connection, "other", "Other", "theirs")
        directory.add_gate(connection, gate_values("g", merchant="other"))
    result = done(engine, find_place(engine, "theirs"), update(action="stop"), charge())
    assert set(result["reason"]) == {"payment_unknown"}
