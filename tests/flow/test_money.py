"""Money of all kinds: what is out, what is in, what may be undone, and what the books say of it."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from matrix_support import BANK_SALE, HOLD, SALE, TRANSFER, Cells, Done, Gate
from paybatch import registry
from paybatch.connectors import sandbox
from paybatch.domain import payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Connector
from paybatch.flow import clock
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from tests_support import laws_hold

AMEX = {"card_number": "378282246310005"}
OUT = {"transfer_direction": "out"}
CLOSE = {"kind": "close_day", "gate": "g"}
TAKES = "receivable <- merchant 1000"


def on(kind: str, amount: str = "", **cells: str) -> Cells:
    """Give a row that acts on the payment ``p``."""
    code = {"return_code": "R01"} if kind == "debit_return" else {}
    direction = {"direction": "up"} if kind == "adjust" else {}
    return {"kind": kind, "payment": "p", "amount_minor": amount, **code, **direction, **cells}


def made(row: Cells, **cells: str) -> Cells:
    """Give a row that makes the payment ``p``."""
    return {**row, "reference": "p", **cells}


def short(done: list[Done]) -> list[str]:
    """Say how rows ended: the payment's status of those that were done, else the reason."""
    return [str(each.reason or (each.status if each.state == "approved" else "!")) for each in done]


def amounts(gate: Gate) -> dict[str, int]:
    """Give the amounts of ``p`` that are not zero."""
    row = gate.payments()["p"]
    return {name: int(str(row[name])) for name in payment.AMOUNTS if row[name]}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Give what the sandbox is asked: verb and amount."""
    found: list[tuple[str, int]] = []

    def send(calls: pl.DataFrame) -> Any:
        found.extend(calls.select("verb", "amount_minor").rows())
        return sandbox._send(calls)

    seen: Connector = replace(sandbox.CONNECTOR, send=send)
    monkeypatch.setattr("paybatch.flow.place.registry.connectors", lambda: {"sandbox": seen})
    return found


@pytest.mark.parametrize("void_captured", [True, False])
def test_a_payout_that_has_arrived_is_given_and_final(engine: Engine, void_captured: bool) -> None:
    gate = Gate(engine, "g", transfer_needs_capture=True, void_captured=void_captured)
    done = gate.run([made(TRANSFER, **OUT), on("mark_sent"), on("mark_received")])
    assert short(done) == ["transfer_pending", "sent", "credited"]
    assert done[2].postings == "merchant <- receivable 1000; hold_contra <- hold 1000"
    done = gate.run([on("void"), on("reverse"), on("capture"), on("expire"), CLOSE])
    assert short(done)[:2] == ["transfer_arrived"] * 2
    assert amounts(gate) == {"authorized": 1000, "captured": 1000, "settled": 1000}
    assert laws_hold(engine)


def test_a_pay_in_that_has_arrived_is_refunded_and_not_voided(
    engine: Engine, asked: list[tuple[str, int]]
) -> None:
    gate = Gate(engine, "g")
    done = gate.run([made(TRANSFER), on("mark_received"), on("void"), on("reverse", "400")])
    assert short(done) == ["transfer_pending", "captured", "transfer_arrived", "partially_refunded"]
    assert asked == [("refund", 400)]
    assert laws_hold(engine)


@pytest.mark.parametrize("way", [{}, OUT])
def test_a_transfer_that_was_not_sent_is_called_off(
    engine: Engine, asked: list[tuple[str, int]], way: Cells
) -> None:
    gate = Gate(engine, "g")
    done = gate.run([made(TRANSFER, **way), on("void", "300"), on("void"), on("mark_received")])
    assert short(done) == ["transfer_pending"] * 2 + ["voided", "status_not_allowed"]
    assert asked == []
    assert gate.run([made(TRANSFER, reference="q"), on("mark_sent", payment="q")])[1].reason is None
    assert gate.run([on("void", payment="q")])[0].reason == "status_not_allowed"
    assert laws_hold(engine)


def test_a_transfer_is_not_adjusted(engine: Engine) -> None:
    gate = Gate(engine, "g", transfer_needs_capture=True, over_capture="yes")
    adjust = on("adjust", "500", currency="USD")
    done = gate.run([made(TRANSFER), on("mark_received"), adjust, on("capture", "1001")])
    assert short(done) == ["transfer_pending", "authorized", "not_by_card", "amount_above_left"]
    assert short(gate.run([on("capture")])) == ["captured"]
    assert amounts(gate) == {"authorized": 1000, "captured": 1000}


def test_what_is_held_beside_a_return_can_still_be_captured() -> None:
    row = dict.fromkeys(payment.AMOUNTS, 0) | {"state": "approved", "is_payout": False}
    row |= {"authorized": 1000, "captured": 400, "returned": 400}
    rows = [row, row | {"refunded": 100}, row | {"released": 600}]
    told = pl.DataFrame(rows).select(payment.status()).to_series().to_list()
    assert told == ["partially_captured", "partially_refunded", "returned"]


def test_the_hold_beside_a_chargeback_can_be_voided(engine: Engine) -> None:
    gate = Gate(engine, "g")
    done = gate.run([made(HOLD), on("capture", "400"), on("chargeback"), on("void"), on("void")])
    assert short(done)[2:] == ["charged_back", "charged_back", "nothing_left"]
    assert done[3].postings == "hold_contra <- hold 600"
    assert amounts(gate)["released"] == 600


def test_closes_of_a_day_do_not_move_the_calendar(engine: Engine) -> None:
    gate = Gate(engine, "g")
    later = {"capture_mode": "author_capture", "capture_day": "2"}
    gate.run([CLOSE] * 5)
    gate.run([made(HOLD), made(HOLD, reference="q", **later), *[CLOSE] * 5])
    assert [str(gate.payments()[name]["business_day"]) for name in "pq"] == ["2026-11-22"] * 2

    def found(days: int, name: str) -> int:
        now = engine.clock() + timedelta(days=days)
        then = replace(engine, clock=lambda: now, known_numbers=set(), accounts={})
        work = clock.due_work(then) if name == "due" else clock.lapsed_work(then)
        return sum(each.height for each in work)

    assert [found(days, "due") for days in (0, 1, 2)] == [0, 0, 1]
    assert [found(days, "lapsed") for days in (0, 27, 28)] == [0, 0, 2]


def test_a_debit_is_due_by_the_calendar(engine: Engine) -> None:
    gate = Gate(engine, "g")
    debit = made(BANK_SALE, kind="direct_debit")
    done = gate.run([*[CLOSE] * 3, {**debit, "collect_on": "2026-11-22"}, CLOSE])
    assert done[3].status == "in_collection"
    done = gate.run([{**debit, "reference": "q", "collect_on": "2026-11-21"}])
    assert done[0].status == "captured"


def test_a_daily_close_bears_the_day_that_it_closes(engine: Engine) -> None:
    gate, days = Gate(engine, "g"), []
    for day in range(3):
        now = engine.clock() + timedelta(days=day)
        gate.engine = replace(engine, clock=lambda now=now: now)
        gate.run([CLOSE, CLOSE] if day == 0 else [CLOSE])
    with engine.database.transaction() as connection:
        rows = connection.execute("SELECT business_day::text FROM settlement ORDER BY number")
        days = [row[0] for row in rows.fetchall()]
    assert days == ["2026-11-21", "2026-11-22", "2026-11-22", "2026-11-23"]


def test_all_that_is_not_settled_is_voided(engine: Engine) -> None:
    gate = Gate(engine, "g")
    first = [made(HOLD), on("capture", "400"), CLOSE, on("refund", "400"), on("capture")]
    done = gate.run([*first, on("void"), CLOSE])
    assert (done[5].status, done[5].postings) == ("refunded", "merchant <- receivable 600")
    assert amounts(gate)["cancelled"] == 600
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("rows", "calls", "status"),
    [
        ([on("adjust", "999", direction="down", currency="USD")], [], "authorized"),
        ([on("adjust", "5", currency="USD")], [("adjust", 5)], "authorized"),
        ([on("void")], [], "voided"),
        ([on("capture", "400"), on("void")], [("capture", 400), ("void", 400)], "voided"),
        ([on("capture", "400"), on("void", "600")], [("capture", 400)], "captured"),
        (
            [on("capture", "400"), on("void", "600"), on("void", "300"), on("void")],
            [("capture", 400), ("void", 300), ("void", 100)],
            "voided",
        ),
        (
            [on("capture", "400"), on("void", "700")],
            [("capture", 400), ("void", 100)],
            "captured",
        ),
    ],
)
def test_a_hold_that_is_not_reversed_is_asked_of_nobody(
    engine: Engine,
    asked: list[tuple[str, int]],
    rows: list[Cells],
    calls: list[tuple[str, int]],
    status: str,
) -> None:
    gate = Gate(engine, "g")
    gate.run([made(HOLD, **AMEX)])
    del asked[:]
    assert gate.run(rows)[-1].status == status
    assert asked == calls
    told = view_payment(engine, (gate.place.merchant_id, int(str(gate.payments()["p"]["id"]))))
    is_told = any("rolls off by 2026-12-21" in str(each["message"]) for each in told.operations)
    assert is_told == (calls != [("adjust", 5)])
    assert laws_hold(engine)


def test_a_part_that_the_processor_declines_leaves_the_hold_too(engine: Engine) -> None:
    gate = Gate(engine, "g")
    gate.run([made(HOLD, amount_minor="60000", **AMEX), on("capture", "50200", currency="USD")])
    assert gate.payments()["p"]["status"] == "authorized"  # the sandbox declines 502.00
    gate.run([on("capture", "50000", currency="USD"), on("capture", "200", currency="USD")])
    before = amounts(gate)
    assert gate.run([on("void")])[0].state == "declined"  # 502.00 again; 98.00 is not sent
    assert amounts(gate) == before
    assert gate.run([on("void", "9900")])[0].state == "approved"
    assert amounts(gate)["cancelled"] == 100


@pytest.mark.parametrize(
    ("rows", "ends", "left"),
    [
        (
            [made(SALE), on("void"), on("chargeback"), on("chargeback"), on("chargeback_reversal")],
            ["captured", "voided", "charged_back", "nothing_left", "voided"],
            {"cancelled": 1000, "charged_back": 1000, "represented": 1000},
        ),
        (
            [made(SALE), on("chargeback", "1100"), on("refund"), on("void")],
            ["captured", "charged_back", "nothing_left", "nothing_left"],
            {"charged_back": 1100},
        ),
        (
            [made(SALE), on("void", "400"), on("chargeback"), on("chargeback", "7")],
            ["captured", "captured", "charged_back", "charged_back"],
            {"cancelled": 400, "charged_back": 607},
        ),
        (
            [made(HOLD), on("void"), on("chargeback"), on("chargeback", "1")],
            ["authorized", "voided", "status_not_allowed", "status_not_allowed"],
            {"released": 1000},
        ),
        (
            [made(BANK_SALE), on("void"), on("debit_return"), on("debit_return")],
            ["captured", "voided", "returned", "nothing_left"],
            {"cancelled": 1000, "returned": 1000},
        ),
        (
            [made(BANK_SALE), on("debit_return", "1001"), on("refund")],
            ["captured", "returned", "status_not_allowed"],
            {"returned": 1001},
        ),
        (
            [made(SALE), on("debit_return"), on("debit_return", "1")],
            ["captured", "not_a_debit", "not_a_debit"],
            {},
        ),
        (
            [made(TRANSFER), on("mark_received"), on("debit_return")],
            ["transfer_pending", "captured", "not_a_debit"],
            {},
        ),
    ],
)
def test_facts_are_recorded_whatever_they_add_up_to(
    engine: Engine, rows: list[Cells], ends: list[str], left: dict[str, int]
) -> None:
    gate = Gate(engine, "g")
    done = gate.run(rows)
    assert short(done) == ends
    moved = {name: amount for name, amount in amounts(gate).items() if name not in _USUAL}
    assert moved == left
    assert laws_hold(engine)


_USUAL = {"authorized", "captured"}


def test_more_given_back_than_taken_is_shown(engine: Engine) -> None:
    gate = Gate(engine, "g")
    for rows, over in (
        ([made(SALE), on("refund", "400"), on("chargeback", "600")], False),
        ([on("chargeback", "1")], True),
        ([on("chargeback_reversal")], False),
    ):
        gate.run([{**each, "currency": "USD"} for each in rows])
        (key,) = find_payments(engine, [gate.place.merchant_id], "p")
        view = view_payment(engine, key)
        assert view.values["over_returned"] is over
        told = view.operations[-1]["message"]
        assert ("more was given back than was taken" in told) is over


def test_a_reversal_behind_a_refund_voids_the_hold(engine: Engine) -> None:
    gate = Gate(engine, "g")
    rows = [made(HOLD), on("capture", "400"), CLOSE, on("reverse")]
    assert short(gate.run([*rows, on("reverse"), on("reverse")]))[3:] == [
        *("partially_refunded", "refunded", "status_not_allowed")
    ]
    assert amounts(gate) == {
        "authorized": 1000,
        "captured": 400,
        "settled": 400,
        "refunded": 400,
        "released": 600,
    }
    (key,) = find_payments(engine, [gate.place.merchant_id], "p")
    assert "still held" in str(view_payment(engine, key).operations[-3]["message"])
    assert laws_hold(engine)


@pytest.mark.parametrize("row", [{**SALE, "kind": "credit"}, {**BANK_SALE, "kind": "direct_debit"}])
def test_what_was_given_or_collected_is_not_held_by_a_score(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, row: Cells
) -> None:
    def send(calls: pl.DataFrame) -> Any:
        for replies in sandbox._send(calls):
            yield replies.with_columns(response=pl.lit("challenged"))

    own = {"sandbox": replace(sandbox.CONNECTOR, send=send)}
    monkeypatch.setattr("paybatch.flow.place.registry.connectors", lambda: own)
    gate = Gate(engine, "g")
    done = gate.run([made(row), on("refuse_challenge"), on("void")])
    assert short(done)[1:] == ["status_not_allowed", "voided"]
    assert short(done)[0] in {"credited", "captured"}
    assert laws_hold(engine)


def test_a_challenged_payment_says_what_it_waits_for(engine: Engine) -> None:
    gate = Gate(engine, "g")
    rows = [made(SALE, card_number="4000000000000119"), on("capture"), on("void"), on("refund")]
    assert short(gate.run([*rows, on("reverse"), on("chargeback")])) == [
        *("challenged", *["challenged"] * 5)
    ]


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
@pytest.mark.parametrize(
    ("limit", "rows", "ends"),
    [
        ("no", ["1001"], ["amount_above_left"]),
        ("15", ["1151", "1150"], ["amount_above_left", "captured"]),
        ("15", ["", "1"], ["captured", "status_not_allowed"]),
        ("15", ["600", "551", "550"], ["partially_captured", "amount_above_left", "captured"]),
        ("1", ["1011", "1010"], ["amount_above_left", "captured"]),
        ("yes", ["999999999999"], ["captured"]),
    ],
)
def test_a_capture_above_the_authorization(
    engine: Engine, currency: str, limit: str, rows: list[str], ends: list[str]
) -> None:
    gate = Gate(engine, "g", "USD", "JPY", "KWD", over_capture=limit)
    money = {"currency": currency}
    done = gate.run([made(HOLD, **money), *(on("capture", each, **money) for each in rows)])
    assert short(done)[1:] == ends
    last, found = done[-1], amounts(gate)
    if last.state == "approved":
        above = found["captured"] - 1000
        taken = int(rows[-1]) if rows[-1] else 1000
        assert found["authorized"] == found["captured"]
        assert f"hold <- hold_contra {above}" in last.postings
        assert f"hold_contra <- hold {taken}" in last.postings
        assert short(gate.run([on("refund"), CLOSE]))[0] == "refunded"
    assert laws_hold(engine)


def test_a_final_capture_above_releases_nothing(engine: Engine) -> None:
    gate = Gate(engine, "g", over_capture="50", several_captures=False)
    done = gate.run([made(HOLD), on("capture", "1500"), on("capture", "1")])
    assert short(done) == ["authorized", "captured", "captured_already"]
    assert amounts(gate) == {"authorized": 1500, "captured": 1500}
    assert laws_hold(engine)


@pytest.mark.parametrize("told", ["maybe", "0", "-1", "1000", ""])
def test_a_limit_that_is_none_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match="write no, yes, or a percent"):
        Capabilities(over_capture=told)


UNDOABLE = {
    "sale": ([], made(SALE)),
    "authorize": ([], made(HOLD)),
    "capture": ([made(HOLD)], on("capture", "400")),
    "credit": ([], made({**SALE, "kind": "credit"})),
    "adjust": ([made(HOLD)], on("adjust", "300", currency="USD")),
    "transfer_create": ([], made(TRANSFER)),
    "mark_received": ([made(TRANSFER)], on("mark_received")),
    "direct_debit": ([], made(BANK_SALE, kind="direct_debit")),
    "mark_collected": (
        [made(BANK_SALE, kind="direct_debit", collect_on="2026-12-24")],
        on("mark_collected"),
    ),
    "accept_challenge": (
        [made(SALE, card_number="4000000000000119")],
        on("accept_challenge"),
    ),
    "rebill": (
        [made(SALE, reference="q")],
        {
            "kind": "rebill",
            "payment": "q",
            "reference": "p",
            "amount_minor": "7",
            "currency": "USD",
        },
    ),
    "duplicate": (
        [made(SALE, reference="q")],
        {**on("duplicate", "7"), "payment": "q", "reference": "p", "currency": "USD"},
    ),
    "chargeback": ([made(SALE)], on("chargeback")),
    "prepare_reversal": ([made(SALE)], on("prepare_reversal")),
    "withdraw_reversal": ([made(SALE), on("prepare_reversal")], on("withdraw_reversal")),
    "chargeback_reversal": ([made(SALE), on("chargeback")], on("chargeback_reversal")),
}
# What `undone` says: the hold is not there again; or the whole payment is undone.
STAYS = dict.fromkeys(("capture", "mark_received", "accept_challenge"), ("hold", "hold_contra"))
WHOLE = {"mark_collected"}
LATER = {"sale", "capture", "rebill", "duplicate", "direct_debit", "mark_received"}


def moved(done: list[Done], aside: tuple[str, ...]) -> dict[str, int]:
    """Add up what rows moved; what is settled counts as if it were not."""
    found: dict[str, int] = {}
    for each in done:
        for text in filter(None, each.postings.split("; ")):
            debit, _, credit, amount = text.split(" ")
            for name, value in ((debit, int(amount)), (credit, -int(amount))):
                found[name] = found.get(name, 0) + value
    return {name: value for name, value in found.items() if value and name not in aside}


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("void_captured", [True, False])
@pytest.mark.parametrize("kind", UNDOABLE)
def test_an_opposite_undoes(engine: Engine, kind: str, void_captured: bool, later: bool) -> None:
    if (later and kind not in LATER) or (kind == "credit" and not void_captured):
        pytest.skip("its `undone` says that it is not undone then")
    opposite = registry.kinds()[kind].opposite
    assert opposite is not None
    gate = Gate(engine, "g", void_captured=void_captured)
    before, row = UNDOABLE[kind]
    undo = on(opposite, direction="down") if opposite == "adjust" else on(opposite)
    if kind in {"capture", "adjust"}:
        undo |= {"amount_minor": row["amount_minor"], "currency": "USD"}
    done = gate.run(before) if before else []
    done = [*(done if kind in WHOLE else []), *gate.run([row])]
    if later:
        gate.run([CLOSE])
    done += gate.run([undo])
    assert {each.state for each in done} == {"approved"}, done
    assert moved(done, STAYS.get(kind, ())) == {}
    assert laws_hold(engine)
