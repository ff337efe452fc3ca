"""Where a row has a say in the answer: partial approvals, forced voids, brands without reversal."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from conftest import gate_values
from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place, find_place
from paybatch.store import directory
from tests_support import laws_hold, run

HEADER = "kind,reference,payment,amount_minor,currency,card_number,card_expiry,"
HALF, VISA, AMEX = "4000000000000051", "4111111111111111", "378282246310005"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Give what the sandbox is asked: verb, amount, key, payment's test value, CVV."""
    calls: list[tuple[Any, ...]] = []
    sandbox = registry.connectors()["sandbox"]

    def send(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
        calls.extend(table.select("verb", "amount_minor", "key").rows())
        yield from sandbox.send(table)

    monkeypatch.setitem(registry.connectors(), "sandbox", replace(sandbox, send=send))
    return calls


def status_of(engine: Engine, place: Place, reference: str) -> dict[str, Any]:
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key).values


def partial(kind: str, allowed: str, amount: int = 1000, number: str = HALF) -> str:
    """Give a file with one payment of which the sandbox approves half."""
    row = f"{kind},p,,{amount},USD,{number},12/39,{allowed}\n"
    return f"{HEADER}partial_approval\n{row}"


@pytest.mark.parametrize("kind", ["sale", "authorize"])
def test_a_part_that_is_not_allowed_is_reversed(
    engine: Engine, place: Place, heard: list[tuple[Any, ...]], kind: str
) -> None:
    result = run(engine, place, partial(kind, "not_allowed"))
    assert result.row(0, named=True)["outcome"] == "declined"
    assert result["reason"].item() == "partial_not_allowed"
    assert result["message"].item().endswith("the part was reversed")
    (first, amount, key), (second, reversed_minor, reversal) = heard
    assert (first, amount, second, reversed_minor) == (kind, 1000, "void", 500)
    assert reversal == f"{key}-reversal"
    payment = status_of(engine, place, "p")
    assert (payment["status"], payment["authorized"], payment["captured"]) == ("declined", 0, 0)
    assert laws_hold(engine)


@pytest.mark.parametrize("allowed", ["", "allowed"])
def test_a_part_is_allowed_unless_the_row_says_otherwise(
    engine: Engine, place: Place, heard: list[tuple[Any, ...]], allowed: str
) -> None:
    result = run(engine, place, partial("sale", allowed))
    assert result["outcome"].item() == "approved"
    assert [verb for verb, *_ in heard] == ["sale"]
    assert status_of(engine, place, "p")["captured"] == 500


def test_a_whole_approval_is_no_part(
    engine: Engine, place: Place, heard: list[tuple[Any, ...]]
) -> None:
    result = run(engine, place, partial("sale", "not_allowed", number=VISA))
    assert (result["outcome"].item(), len(heard)) == ("approved", 1)


def test_a_part_that_cannot_be_reversed_stands(engine: Engine, place: Place) -> None:
    result = run(engine, place, partial("sale", "not_allowed", 100_400))  # a void of 50200 declines
    assert (result["outcome"].item(), result["reason"].item()) == ("approved", None)
    assert result["message"].item().endswith("the part stands; void or refund it")
    assert status_of(engine, place, "p")["captured"] == 50_200
    assert laws_hold(engine)


def test_a_connector_without_voids_keeps_the_part(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = registry.connectors()["sandbox"]
    verbs = sandbox.verbs - {"void"}
    monkeypatch.setitem(registry.connectors(), "sandbox", replace(sandbox, verbs=verbs))
    result = run(engine, place, partial("sale", "not_allowed"))
    assert result["outcome"].item() == "approved"
    assert status_of(engine, place, "p")["captured"] == 500


def test_partial_approval_by_call_and_its_bad_word(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    values = {"kind": "sale", "amount_minor": "10", "card_number": HALF, "card_expiry": "12/39"}
    strict = caller.call({**values, "partial_approval": "not_allowed"})
    assert (strict["state"], strict["reason"]) == ("declined", "partial_not_allowed")
    assert (strict["approved_minor"], strict["response"]) == (0, "partially_approved")
    assert caller.call({**values, "partial_approval": "no"})["reason"] == "choice_unknown"
    assert laws_hold(engine)


def test_only_the_rows_that_say_so(engine: Engine, place: Place) -> None:
    rows = "".join(
        f"sale,p{n},,1000,USD,{number},12/39,{allowed}\n"
        for n, (number, allowed) in enumerate(
            [(HALF, "not_allowed"), (HALF, ""), (VISA, "not_allowed"), (HALF, "not_allowed")]
        )
    )
    result = run(engine, place, f"{HEADER}partial_approval\n{rows}")
    assert result["outcome"].to_list() == ["declined", "approved", "approved", "declined"]
    assert laws_hold(engine)


def test_a_part_of_a_brand_without_reversal_rolls_off(
    engine: Engine, place: Place, heard: list[tuple[Any, ...]]
) -> None:
    with engine.database.transaction() as connection:
        told = Capabilities(no_reversal_brands=frozenset({"visa"}))
        directory.add_gate(connection, gate_values("v", capabilities=told.model_dump_json()))
    there = find_place(engine, "local", gate="v")
    result = run(engine, there, partial("authorize", "not_allowed"))
    assert result["outcome"].item() == "declined"
    assert "rolls off" in result["message"].item()
    assert [verb for verb, *_ in heard] == ["authorize"]
    assert run(engine, there, partial("sale", "not_allowed"))["outcome"].item() == "declined"
    assert [verb for verb, *_ in heard] == ["authorize", "sale", "void"]
    assert laws_hold(engine)


def voided(force: str, amount: int = 50_200, kind: str = "sale") -> str:
    """Give a file with a payment and its void; one of 50200 minor units declines."""
    sale = f"{kind},p,,100000,USD,{VISA},12/39,\n"
    return f"{HEADER}force\n{sale}void,,p,{amount},USD,,,{force}\n"


@pytest.mark.parametrize(
    ("force", "outcome", "cancelled"),
    [("true", "approved", 50_200), ("false", "declined", 0), ("", "declined", 0)],
)
def test_a_forced_void_leaves_the_batch_when_the_processor_declines(
    engine: Engine, place: Place, force: str, outcome: str, cancelled: int
) -> None:
    result = run(engine, place, voided(force))
    assert result["outcome"].to_list() == ["approved", outcome]
    told = result["message"].to_list()[1]
    if force == "true":
        assert told == (
            "the processor declined (05 DECLINED); it is done with us, as the row demands"
        )
    assert status_of(engine, place, "p")["cancelled"] == cancelled
    assert laws_hold(engine)


def test_force_does_not_break_our_own_rules(engine: Engine, place: Place) -> None:
    result = run(engine, place, voided("true", 100_001))
    assert result["reason"].to_list() == [None, "amount_above_left"]
    assert run(engine, place, voided("yes"))["reason"].to_list() == [None, "choice_unknown"]


def test_a_forced_void_that_is_approved_says_nothing(engine: Engine, place: Place) -> None:
    result = run(engine, place, voided("true", 5))
    assert (result["outcome"][1], result["message"][1]) == ("approved", None)


def test_a_forced_void_by_call(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    sale = {"kind": "sale", "amount_minor": "50200", "card_number": VISA, "card_expiry": "12/39"}
    made = caller.call({**sale, "amount_minor": "60000"})
    void = {"kind": "void", "payment": made["payment"], "amount_minor": "50200"}
    assert caller.call(void)["state"] == "declined"
    assert caller.call({**void, "force": "true"})["state"] == "approved"


def hold(number: str, *voids: str) -> str:
    rows = [f"authorize,p,,1000,USD,{number},12/39", *voids]
    return HEADER.rstrip(",") + "\n" + "".join(f"{row}\n" for row in rows)


def test_a_hold_of_a_brand_without_reversal_is_closed_with_us(
    engine: Engine, place: Place, heard: list[tuple[Any, ...]]
) -> None:
    result = run(engine, place, hold(AMEX, "void,,p,400,USD,,", "void,,p,,,,"))
    assert result["outcome"].to_list() == ["approved"] * 3
    told = "closed with us; this brand takes no reversal: its hold rolls off by 2026-12-21"
    assert result["message"].to_list() == [None, told, told]
    assert [verb for verb, *_ in heard] == ["authorize"]
    payment = status_of(engine, place, "p")
    assert (payment["status"], payment["released"]) == ("voided", 1000)
    assert laws_hold(engine)


def test_what_is_captured_of_such_a_brand_is_voided_at_the_processor(
    engine: Engine, place: Place, heard: list[tuple[Any, ...]]
) -> None:
    result = run(engine, place, hold(AMEX, "capture,,p,600,USD,,", "void,,p,,,,"))
    told = "closed with us; this brand takes no reversal: its hold rolls off by 2026-12-21"
    assert result["message"].to_list() == [None, None, told]
    calls = [("authorize", 1000), ("capture", 600), ("void", 600)]
    assert [(verb, amount) for verb, amount, *_ in heard] == calls
    assert laws_hold(engine)


def test_other_brands_are_asked_and_so_is_a_gate_that_can(
    engine: Engine, place: Place, heard: list[tuple[Any, ...]]
) -> None:
    with engine.database.transaction() as connection:
        told = Capabilities(no_reversal_brands=frozenset())
        directory.add_gate(connection, gate_values("can", capabilities=told.model_dump_json()))
    run(engine, place, hold(VISA, "void,,p,,,,"))
    run(engine, find_place(engine, "local", gate="can"), hold(AMEX, "void,,p,,,,"))
    assert [verb for verb, *_ in heard] == ["authorize", "void"] * 2


def test_the_same_by_call(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    values = {"kind": "authorize", "amount_minor": "1000", "card_number": AMEX}
    made = caller.call({**values, "card_expiry": "12/39"})
    gone = caller.call({"kind": "void", "payment": made["payment"]})
    assert (gone["state"], gone["status"], gone["approved_minor"]) == ("approved", "voided", 1000)
    assert gone["message"].endswith("rolls off by 2026-12-21")


@pytest.mark.parametrize("undo", ["void", "reverse"])
def test_a_cancelled_one_cannot_be_cancelled(engine: Engine, place: Place, undo: str) -> None:
    result = run(engine, place, hold(VISA, "void,,p,,,,", f"{undo},,p,,,,"))
    assert result["reason"].to_list() == [None, None, "cancelled_already"]
    assert "a cancelled one cannot be cancelled" in result["message"].to_list()[2]
    assert laws_hold(engine)


@pytest.mark.parametrize("wrong", ["visa", "visa:0", "visa:1000", "Visa:3", "visa:3:4", "visa:-1"])
def test_days_of_holds_have_a_form(wrong: str) -> None:
    with pytest.raises(ValueError, match="brand:days"):
        Capabilities(hold_days=frozenset({wrong}))
    with pytest.raises(ValueError, match="brand:days"):
        Capabilities(hold_days=frozenset({"visa:3", "visa:4"}))
    assert Capabilities(hold_days=frozenset({"visa:3"})).days_by_brand == {"visa": 3, "other": 28}
