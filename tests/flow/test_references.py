"""References: what a row means that names a payment by the reference of the row that made it.

An earlier line of the file, else the merchant's only payment; never a payment that nobody meant.
What the preview says of a file is what becomes of it.
"""

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from conftest import gate_values
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake import receive
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.store import directory, subjects
from paybatch.store.public_ids import Shape
from tests_support import laws_hold, run

HEADER = (
    "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference,payment,gate,merchant,"
    "idempotency_key\n"
)
CARD, WRONG, DECLINES = "4111111111111111", "4111111111111112", "4000000000000002"
Reengine = Callable[..., Engine]


def sale(
    reference: str,
    amount: int = 100,
    *,
    card: str = CARD,
    gate: str = "",
    merchant: str = "",
    key: str = "",
    kind: str = "sale",
) -> str:
    return f"{kind},{amount},USD,{card},12/39,,{reference},,{gate},{merchant},{key}"


def refund(
    payment: str, amount: int = 1, *, gate: str = "", merchant: str = "", reference: str = ""
) -> str:
    return f"refund,{amount},,,,,{reference},{payment},{gate},{merchant},"


def file_of(rows: list[str]) -> str:
    return HEADER + "\n".join(rows) + "\n"


def reasons(engine: Engine, place: Place, rows: list[str]) -> list[str]:
    """Run a file; give each row's reason, or its outcome. The preview must have said the same."""
    text = file_of(rows)
    found = preview(engine, place, [text.encode()], Request(file_name="references.csv"))
    result = run(engine, place, text, again=True)
    assert laws_hold(engine)
    ended = list(result.select("reason", "outcome").iter_rows())
    foreseen: dict[int, str] = {}
    for each in [*found.errors, *found.refused]:
        foreseen.setdefault(each["line"], each["reason"])  # a row's first error is its reason
    rejected = {n: reason for n, (reason, outcome) in enumerate(ended, 2) if outcome == "rejected"}
    assert foreseen == rejected
    return [reason or outcome for reason, outcome in ended]


def refunded(engine: Engine) -> dict[str, list[int]]:
    """Give what was refunded of each reference's payments, the oldest first."""
    found: dict[str, list[int]] = {}
    with engine.database.transaction() as connection:
        for reference, amount in connection.execute(
            "SELECT o.reference, p.refunded FROM payment AS p"
            " JOIN operation AS o ON o.merchant_id = p.merchant_id AND o.id = p.id ORDER BY p.id"
        ).fetchall():
            found.setdefault(str(reference), []).append(int(amount))
    return found


@pytest.mark.parametrize("chunk_rows", [1, 50_000])
def test_behind_a_rejected_line_no_older_payment_is_meant(
    place: Place, with_settings: Reengine, chunk_rows: int
) -> None:
    engine = with_settings(chunk_rows=chunk_rows)
    names = ["wrong", "kindless", "nobodys", "gateless", "righted", "spoiled", "own", "fine"]
    run(engine, place, file_of([sale(name, 5_000) for name in names]))
    rows = [
        refund("wrong"),  # above the rejected line the old one is meant
        sale("wrong", card=WRONG),
        refund("wrong"),
        sale("kindless", kind="sael"),
        refund("kindless"),
        sale("nobodys", merchant="demoo"),
        refund("nobodys", merchant="demo"),
        sale("gateless", gate="nowhere"),
        refund("gateless"),
        sale("righted", card=WRONG),
        sale("righted"),
        refund("righted"),
        sale("spoiled"),
        sale("spoiled", card=WRONG),
        refund("spoiled"),
        refund("own", 0, reference="own"),  # rejected, and makes nothing
        refund("own"),
        refund("fine"),
    ]
    no = "reference_rejected"
    assert reasons(engine, place, rows) == [
        *("approved", "number_check_digit", no, "kind_unknown", no, "merchant_unknown", no),
        *("gate_unknown", no, "number_check_digit", "approved", "approved"),
        *("approved", "number_check_digit", no, "amount_zero", "approved", "approved"),
    ]
    moved = {name: amounts for name, amounts in refunded(engine).items() if any(amounts)}
    assert moved == {"wrong": [1], "righted": [0, 1], "own": [1], "fine": [1]}


def test_a_replayed_line_is_not_a_rejected_one(engine: Engine, place: Place) -> None:
    """Its payment is there, and is what the rows behind it mean."""
    run(engine, place, file_of([sale("again", key="k")]))
    result = run(engine, place, file_of([sale("again", key="k"), refund("again")]))
    assert result["outcome"].to_list() == ["replayed", "approved"]
    other = run(engine, place, file_of([sale("again", 7, key="k"), refund("again")]))
    assert other["reason"].to_list() == ["key_conflict", "reference_rejected"]


@pytest.fixture
def both(engine: Engine) -> Place:
    """Give a place with two gates in live mode beside those in test mode."""
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate_values("live", mode="live"))
        directory.add_gate(connection, gate_values("live-too", mode="live"))
    return find_place(engine, "local")


def test_test_and_live_do_not_share_references(engine: Engine, both: Place) -> None:
    both_modes = [sale("o-1", gate="sandbox"), sale("o-1", gate="live")]
    run(engine, both, file_of([*both_modes, sale("only-live", gate="live"), sale("only-test")]))
    rows = [
        refund("o-1", 3, gate="live"),
        refund("o-1", 5, gate="sandbox"),
        refund("o-1", 7),  # the default gate is in test mode
        refund("only-live"),
        refund("only-live", gate="sandbox"),
        refund("only-test", gate="live"),
        refund("o-1", gate="live-too"),
    ]
    no = "payment_unknown"
    assert reasons(engine, both, rows) == [*["approved"] * 4, no, no, "gate_differs"]
    assert refunded(engine)["o-1"] == [12, 3]
    caller = Caller(engine, both)
    call = {"kind": "refund", "payment": "o-1", "amount_minor": "1"}
    assert caller.call(call)["state"] == "approved"
    assert caller.call({**call, "gate": "live"})["state"] == "approved"
    live = find_place(engine, "local", gate="live")
    assert Caller(engine, live).call(call)["state"] == "approved"
    assert refunded(engine)["o-1"] == [13, 5]
    assert reasons(engine, live, [refund("o-1", 2), refund("only-test", 2)]) == ["approved"] * 2
    assert refunded(engine)["o-1"] == [13, 7]
    unknown = caller.call({**call, "payment": "only-test", "gate": "live"})
    assert unknown["reason"] == "payment_unknown"


def test_lines_of_one_file_are_told_apart_by_mode_too(engine: Engine, both: Place) -> None:
    rows = [
        sale("x", gate="live"),
        refund("x", 2),  # nothing else has this reference
        sale("x", gate="sandbox"),
        refund("x", 3),
        refund("x", 5, gate="live"),
        sale("x", card=WRONG, gate="live"),
        refund("x", 7),
        refund("x", 11, gate="live"),
        sale("x", gate="sandbox"),
        refund("x"),
    ]
    assert reasons(engine, both, rows) == [
        *["approved"] * 5,
        *("number_check_digit", "approved", "reference_rejected", "approved"),
        "reference_ambiguous",
    ]
    assert refunded(engine)["x"] == [7, 10, 0]


def test_files_of_all_sorts_become_what_the_preview_said(engine: Engine, both: Place) -> None:
    """The preview finds payments by columns, a batch by a statement: they must agree."""
    dice = random.Random(7)
    for _ in range(6):
        rows = []
        for _ in range(40):
            name = dice.choice(["a", "b", "c", "d"])
            gate = dice.choice(["", "", "sandbox", "live", "nowhere"])
            merchant = dice.choice(["", "", "demo", "demo", "nobody"])
            if dice.random() < 0.4:
                card = dice.choice([CARD, CARD, WRONG, DECLINES])
                kind = dice.choice(["sale", "sale", "sale", "sael"])
                if card == DECLINES:
                    name = f"{name}-declined"  # what a processor will say nobody foresees
                rows.append(sale(name, card=card, gate=gate, merchant=merchant, kind=kind))
            else:
                rows.append(refund(name, gate=gate, merchant=merchant))
        found = reasons(engine, both, rows)
        assert {"approved", "reference_rejected", "merchant_unknown"} <= set(found)


def test_a_payment_that_was_never_made_is_not_named(engine: Engine) -> None:
    with engine.database.transaction() as connection:
        strict = gate_values("strict", capabilities='{"cvv_required": true}')
        directory.add_gate(connection, strict)
    place = find_place(engine, "local", gate="strict")
    first = sale("z", kind="authorize").replace("12/39,,", "12/39,123,")
    rows = [first, "capture,,,,,,,z,,,", first.replace(",z,", ",y,")]
    batch_id = receive.receive(engine, place, [file_of(rows).encode()], Request(file_name="z.csv"))
    batches._accepted(engine, batch_id, place, batches.Listener())
    batches.approve(engine, load_batch(engine, batch_id))
    later = engine.clock() + timedelta(hours=30)
    batches.go_on(replace(engine, clock=lambda: later), batch_id)
    with engine.database.transaction() as connection:
        found = connection.execute("SELECT reason, payment_id FROM outcome ORDER BY id").fetchall()
    assert found == [("cvv_gone", None), ("payment_unknown", None), ("cvv_gone", None)]


def test_a_payment_that_nobody_has_is_not_named(engine: Engine, place: Place) -> None:
    nobodys = engine.public_ids.encode_one(12345, "pay", Shape.NATIVE)
    result = run(engine, place, file_of([refund(nobodys)]))
    assert result.select("reason", "result_payment").rows() == [("payment_unknown", None)]


@pytest.mark.parametrize("makers", [1, 4_000], ids=["one payment", "ambiguous"])
def test_many_rows_of_a_reference_are_resolved_in_linear_time(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, makers: int
) -> None:
    seconds: list[float] = []

    def timed(*given: Any, **named: Any) -> None:
        began = time.monotonic()
        resolve(*given, **named)
        seconds.append(time.monotonic() - began)

    resolve = subjects.resolve_subjects
    monkeypatch.setattr(subjects, "resolve_subjects", timed)
    for many in (400, 4_000):
        name = f"X-{many}"
        rows = [sale(name, 10**6)] * min(makers, many) + [refund(name, reference=name)] * many
        run(engine, place, file_of(rows))
        preview(engine, place, [file_of(rows).encode()], Request(file_name="many.csv"))
    assert seconds[1] < max(seconds[0], 0.05) * 10 * 2


def test_a_declined_payment_is_found_where_there_is_no_other(engine: Engine, place: Place) -> None:
    header = "kind,reference,payment,amount_minor,currency,card_number,card_expiry,comment\n"
    declines = "sale,{},,100,USD,4000000000000002,12/39,\n"
    good = "sale,{},,100,USD,4111111111111111,12/39,\n"

    def reasons(*rows: str) -> list[str | None]:
        return run(engine, place, header + "".join(rows), again=True)["reason"].to_list()

    assert reasons(declines.format("d"), declines.format("g"), declines.format("t")) == [None] * 3
    assert reasons(good.format("g"), declines.format("t")) == [None] * 2
    again = "duplicate,{0}-2,{0},40,USD,,,\n"
    comment = "comment,,{},,,,,hello\n"
    rows = [comment.format(name) for name in "dgt"] + [again.format("d"), "refund,,d,1,USD,,,\n"]
    met = [None, None, "reference_ambiguous", None, "status_not_allowed"]
    assert reasons(*rows) == met
    assert reasons("refund,,g,1,USD,,,\n") == [None], "the good one is meant"
    caller = Caller(engine, place)
    said = [
        caller.call({"kind": "comment", "payment": name, "comment": "hello"})["reason"]
        for name in "dgt"
    ]
    assert said == met[:3]
    text = (header + "".join(rows)).encode()
    found = preview(engine, place, [text], Request(file_name="seen.csv", again=True)).refused
    refused = [(each["line"], each["reason"]) for each in found]
    assert refused == [(4, "reference_ambiguous"), (6, "status_not_allowed")]
