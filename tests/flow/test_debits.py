"""Direct debits: mandates, their sequence, collection until due, and returns."""

import polars as pl
import pytest

from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place
from paybatch.store import ledger
from tests_support import laws_hold, run

COLUMNS = (
    "kind,reference,payment,amount_minor,currency,gate,card_number,card_expiry,card_reference,"
    "account_number,routing_number,account_type,sec_code,iban,bic,creditor_id,mandate_type,"
    "signed_on,sequence_type,collect_on,return_code,comment"
)
IBAN, CREDITOR = "DE89370400440532013000", "DE98ZZZ09999999999"
SIGNED = {"iban": IBAN, "creditor_id": CREDITOR, "signed_on": "2026-11-01", "bic": "COBADEFF"}
ACH = {"account_number": "1234567890", "routing_number": "021000021"}
ACH |= {"account_type": "checking", "sec_code": "WEB"}
LATER = {"collect_on": "2026-11-25"}  # the clock of the tests stands at 2026-11-21


def row(kind: str, **cells: str) -> str:
    """Write a row."""
    return ",".join({**dict.fromkeys(COLUMNS.split(","), ""), "kind": kind, **cells}.values())


def mandate(**cells: str) -> str:
    """Write a mandate m."""
    return row("mandate", **{"reference": "m", "currency": "USD", **SIGNED, **cells})


def debit(sequence: str = "", **cells: str) -> str:
    """Write a debit of 1000; with a sequence type it is of mandate m."""
    named = {"payment": "m", "sequence_type": sequence} if sequence else {}
    return row("direct_debit", **{"amount_minor": "1000", **named, **cells})


def act(kind: str, amount: str = "", **cells: str) -> str:
    """Write a row on debit d."""
    code = {"return_code": "AC04"} if kind == "debit_return" else {}
    return row(kind, **{"payment": "d", "amount_minor": amount, **code, **cells})


def done(engine: Engine, place: Place, *rows: str) -> pl.DataFrame:
    """Run rows as a file."""
    result: pl.DataFrame = run(engine, place, "\n".join([COLUMNS, *rows, ""]), again=True)
    return result


def view(engine: Engine, place: Place, name: str) -> dict[str, object]:
    """Give the payment of a reference."""
    (key,) = find_payments(engine, [place.merchant_id], name)
    return view_payment(engine, key).values


ENDED, CANCELLED, ORDER = "mandate_ended", "mandate_cancelled", "sequence_not_allowed"


@pytest.mark.parametrize(
    ("kind", "debits", "reasons", "status"),
    [
        ("OOFF", ["OOFF", "OOFF"], [None, ENDED], ENDED),
        ("OOFF", ["FRST", "RCUR", "FNAL"], [ORDER] * 3, "mandate_once"),
        ("RCUR", ["RCUR", "FNAL", "OOFF"], [ORDER] * 3, "mandate_open"),
        ("", ["FRST", "RCUR", "RCUR"], [None, None, None], "mandate_running"),
        ("RCUR", ["RCUR", "FRST", "FRST", "RCUR"], [ORDER, None, ORDER, None], "mandate_running"),
        ("RCUR", ["FRST", "FNAL", "RCUR", "FNAL"], [None, None, ENDED, ENDED], ENDED),
        ("RCUR", ["FRST", "", "RCUR"], [None, None, CANCELLED], CANCELLED),
        ("OOFF", ["", "OOFF"], [None, CANCELLED], CANCELLED),
    ],
)
@pytest.mark.parametrize("files", [1, 2, 9])
def test_a_mandate_s_sequence(  # noqa: PLR0917 - a table
    engine: Engine,
    place: Place,
    kind: str,
    debits: list[str],
    reasons: list[str | None],
    status: str,
    files: int,
) -> None:
    """In one file with the mandate, in a file of their own, and as calls."""
    cancel = row("mandate_cancel", payment="m", comment="asked")
    rows = [debit(each) if each else cancel for each in debits]
    first = mandate(mandate_type=kind)
    if files == 1:
        found = done(engine, place, first, *rows)["reason"].to_list()[1:]
    else:
        assert done(engine, place, first)["outcome"].to_list() == ["approved"]
        if files == 2:
            found = done(engine, place, *rows)["reason"].to_list()
        else:
            caller, names = Caller(engine, place), COLUMNS.split(",")
            asked = [dict(zip(names, each.split(","), strict=True)) for each in rows]
            found = [
                caller.call({name: cell for name, cell in each.items() if cell})["reason"]
                for each in asked
            ]
    assert found == reasons
    assert view(engine, place, "m")["status"] == status
    assert laws_hold(engine)


def test_a_declined_debit_leaves_the_mandate_as_it_was(engine: Engine, place: Place) -> None:
    result = done(
        engine, place, mandate(), debit("FRST", amount_minor="50200"), debit("FRST"), debit("RCUR")
    )
    assert result["outcome"].to_list() == ["approved", "declined", "approved", "approved"]
    again = done(engine, place, debit("FRST"), debit("FNAL", amount_minor="50200"), debit("RCUR"))
    assert again["outcome"].to_list() == ["rejected", "declined", "approved"]
    assert laws_hold(engine)


@pytest.mark.parametrize("by", ["mandate", "account"])
@pytest.mark.parametrize(
    ("later", "rows", "outcomes", "status", "amounts"),
    [
        (False, [], "", "captured", {"captured": 1000}),
        (True, [], "", "in_collection", {"authorized": 1000, "captured": 0}),
        (True, [act("mark_collected")], "a", "captured", {"captured": 1000}),
        (True, [act("mark_collected"), act("mark_collected")], "ar", "captured", {}),
        (False, [act("mark_collected")], "r", "captured", {}),
        (True, [act("refund")], "r", "in_collection", {}),
        (True, [act("capture")], "r", "in_collection", {}),
        (True, [act("void")], "a", "voided", {"released": 1000, "captured": 0}),
        (True, [act("void", "400")], "a", "in_collection", {"released": 400}),
        (
            True,
            [act("void", "400"), act("mark_collected"), act("refund")],
            "aaa",
            "refunded",
            {"captured": 600, "refunded": 600},
        ),
        (True, [act("void"), act("mark_collected")], "ar", "voided", {}),
        (True, [act("reverse")], "a", "voided", {}),
        (True, [act("debit_return")], "a", "returned", {"released": 1000, "returned": 0}),
        (True, [act("debit_return", "1001")], "r", "in_collection", {}),
        (
            True,
            [act("debit_return", "300"), act("mark_collected"), act("debit_return")],
            "aaa",
            "returned",
            {"released": 300, "captured": 700, "returned": 700},
        ),
        (True, [act("debit_return"), act("mark_collected")], "ar", "returned", {}),
        (True, [act("debit_return"), act("debit_return")], "ar", "returned", {}),
        (False, [act("debit_return")], "a", "returned", {"returned": 1000}),
        (False, [act("refund", "400"), act("debit_return")], "aa", "returned", {"refunded": 400}),
        (False, [act("debit_return"), act("refund")], "ar", "returned", {"refunded": 0}),
        (False, [act("void")], "a", "voided", {"cancelled": 1000}),
    ],
)
def test_what_becomes_of_a_debit(  # noqa: PLR0917 - a table
    engine: Engine,
    place: Place,
    by: str,
    later: bool,
    rows: list[str],
    outcomes: str,
    status: str,
    amounts: dict[str, int],
) -> None:
    due = LATER if later else {}
    made = debit("FRST", reference="d", **due) if by == "mandate" else debit(
        reference="d", **ACH, **due
    )  # fmt: skip
    result = done(engine, place, mandate(), made, *rows)
    assert result["outcome"].to_list()[:2] == ["approved", "approved"], result["message"].to_list()
    assert "".join(word[0] for word in result["outcome"].to_list()[2:]) == outcomes
    values = view(engine, place, "d")
    assert values["status"] == status
    assert {name: values[name] for name in amounts} == amounts
    assert laws_hold(engine)


def test_what_is_not_due_stands_in_collection(engine: Engine, place: Place) -> None:
    done(engine, place, debit(reference="d", **ACH, **LATER), debit(**ACH, collect_on="2026-11-21"))
    with engine.database.transaction() as connection:
        found = {each["account"]: each for each in ledger.balances(connection)}
    sums = {name: each["debit_minor"] - each["credit_minor"] for name, each in found.items()}
    wanted = {"in_collection": 1000, "receivable": 1000, "merchant": -2000, "hold": 0}
    assert {name: int(sums[name]) for name in wanted} == wanted


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"iban": ""}, "iban_needed"),
        ({"iban": "DE89 3704 0044 0532 0130 00"}, "iban_malformed"),
        ({"iban": "de89370400440532013000"}, "iban_malformed"),
        ({"iban": "DE88370400440532013000"}, "iban_check_digits"),
        ({"iban": "DE8937040044053201300"}, "iban_check_digits"),
        ({"creditor_id": ""}, "value_missing"),
        ({"creditor_id": "DE99ZZZ09999999999"}, "creditor_check_digits"),
        ({"creditor_id": "1234"}, "value_malformed"),
        ({"bic": "COBADEF"}, "value_malformed"),
        ({"signed_on": ""}, "value_missing"),
        ({"signed_on": "01.11.2026"}, "day_malformed"),
        ({"mandate_type": "FRST"}, "choice_unknown"),
        ({"reference": ""}, "value_missing"),
        ({"iban": "", "card_reference": "card_x"}, "card_reference_unknown"),
        ({"card_number": "4111111111111111", "card_expiry": "12/39"}, "value_not_allowed"),
        ({"currency": "EUR"}, "currency_not_at_gate"),
        ({"gate": "many", "currency": ""}, "currency_missing"),
        ({"amount_minor": "5"}, "value_not_allowed"),
    ],
)
def test_what_is_no_mandate(
    engine: Engine, place: Place, cells: dict[str, str], reason: str
) -> None:
    result = done(engine, place, mandate(**cells))
    assert result["reason"].to_list() == [reason]
    assert IBAN not in result["message"].item()
    assert find_payments(engine, [place.merchant_id], "m") == []


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({}, "subject_missing"),
        ({"payment": "m"}, "value_missing"),
        ({"payment": "m", "sequence_type": "FIRST"}, "choice_unknown"),
        ({"payment": "m", "sequence_type": "FRST", **ACH}, "subject_several"),
        ({"payment": "nothing", "sequence_type": "FRST"}, "payment_unknown"),
        ({"payment": "s", "sequence_type": "FRST"}, "status_not_allowed"),
        ({"payment": "m", "sequence_type": "FRST", "amount_minor": ""}, "amount_missing"),
        ({"payment": "m", "sequence_type": "FRST", "amount_minor": "0"}, "amount_zero"),
        ({"payment": "m", "sequence_type": "FRST", "currency": "JPY"}, "currency_not_at_gate"),
        ({"payment": "m", "sequence_type": "FRST", "gate": "many"}, "gate_differs"),
        ({"payment": "m", "sequence_type": "FRST", "collect_on": "soon"}, "day_malformed"),
        ({**ACH, "sequence_type": "OOFF"}, "value_not_allowed"),
        ({**ACH, "sec_code": ""}, "means_incomplete"),
        ({**ACH, "routing_number": "021000022"}, "routing_check_digit"),
        ({**ACH, "gate": "many"}, "currency_missing"),
        ({"iban": IBAN}, "value_not_allowed"),
    ],
)
def test_what_is_no_debit(engine: Engine, place: Place, cells: dict[str, str], reason: str) -> None:
    card = {"card_number": "4111111111111111", "card_expiry": "12/39", "reference": "s"}
    sale = row("sale", amount_minor="5", currency="USD", **card)
    assert done(engine, place, mandate(), sale)["reason"].to_list() == [None, None]
    if reason == "currency_not_at_gate":
        reason = "currency_differs"
    assert done(engine, place, debit(**cells))["reason"].to_list() == [reason]
    assert view(engine, place, "m")["status"] == "mandate_open"
    assert laws_hold(engine)


def test_an_iban_pays_by_mandate_only(engine: Engine, place: Place) -> None:
    first = done(engine, place, mandate(), debit("FRST", reference="d"))
    reference = first["iban"][0]
    assert reference.startswith("bank_")
    assert first["account_number"].to_list() == [None, None]
    asked = {"amount_minor": "5", "currency": "USD"}
    result = done(
        engine,
        place,
        row("sale", card_reference=reference, **asked),
        row("authorize", card_reference=reference, **asked),
        row("direct_debit", card_reference=reference, **asked),
        row("rebill", payment="d", amount_minor="5"),
        row("duplicate", payment="d", amount_minor="5"),
        row("duplicate", payment="m", amount_minor="5"),
        mandate(reference="again", iban=reference),
        row("credit", card_reference=reference, **asked),
    )
    assert result["reason"].to_list() == [
        *("mandate_needed", "value_not_allowed"),
        *(["mandate_needed"] * 4),
        *(None, None),
    ]
    assert laws_hold(engine)


def test_other_means_of_a_debit(engine: Engine, place: Place) -> None:
    """A result's own references may be sent in again, in the columns where they stand."""
    made = done(engine, place, debit(reference="d", **ACH))
    reference = made["account_number"].item()
    card = row("sale", amount_minor="5", card_number="4111111111111111", card_expiry="12/39")
    card_reference = done(engine, place, card)["card_number"].item()
    again = done(
        engine,
        place,
        debit(**{**ACH, "account_number": reference, "routing_number": "", "account_type": "",
                 "sec_code": ""}),
        debit(card_reference=card_reference),
    )  # fmt: skip
    assert again["reason"].to_list() == [None, "account_needed"]


def test_no_iban_is_kept_in_clear(engine: Engine, place: Place) -> None:
    wrong = IBAN.replace("DE89", "DE88")
    rows = [mandate(), mandate(reference="n", iban=wrong), debit("FRST"), f'{mandate()},too,many"']
    result = done(engine, place, *rows)
    Caller(engine, place).call({"kind": "mandate", "reference": "x", "currency": "USD", **SIGNED})
    told = [result.write_csv()]
    with engine.database.transaction() as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        for (table,) in tables:
            kept = connection.execute(f"SELECT t::text FROM {table} AS t").fetchall()
            told += [str(each) for (each,) in kept]
    text = "\n".join(told)
    assert "DE******************00" in text
    assert IBAN not in text
    assert IBAN[2:] not in text
    assert wrong not in text


@pytest.mark.parametrize("undo", ["void", "reverse", "debit_return"])
@pytest.mark.parametrize(
    ("kind", "debits", "before"),
    [("OOFF", ["OOFF"], "mandate_once"), ("RCUR", ["FRST", "FNAL"], "mandate_running")],
)
def test_a_mandate_whose_last_debit_was_undone_is_as_before(  # noqa: PLR0917 - a table
    engine: Engine, place: Place, kind: str, debits: list[str], before: str, undo: str
) -> None:
    last = debit(debits[-1], reference="d", **LATER)
    done(engine, place, mandate(mandate_type=kind), *[debit(each) for each in debits[:-1]], last)
    assert view(engine, place, "m")["status"] == ENDED
    assert done(engine, place, act(undo, "400"))["outcome"].to_list() == ["approved"]
    assert view(engine, place, "m")["status"] == ENDED
    assert done(engine, place, act(undo))["outcome"].to_list() == ["approved"]
    assert view(engine, place, "m")["status"] == before
    again = [debit(debits[-1], **LATER), debit(debits[-1], **LATER)]
    assert done(engine, place, *again)["reason"].to_list() == [None, ENDED]
    assert view(engine, place, "m")["status"] == ENDED
    assert laws_hold(engine)


def test_a_debit_that_was_collected_and_came_back_ends_its_mandate(
    engine: Engine, place: Place
) -> None:
    done(engine, place, mandate(mandate_type="OOFF"), debit("OOFF", reference="d"))
    assert done(engine, place, act("debit_return"))["outcome"].to_list() == ["approved"]
    assert done(engine, place, debit("OOFF"))["reason"].to_list() == [ENDED]
