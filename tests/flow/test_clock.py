"""Capture mode and day: what is put off, captured by the clock, and what expires."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from conftest import gate_values
from paybatch.domain.capabilities import Capabilities
from paybatch.flow import clock, worker
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake.receive import Request
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.store import directory
from tests_support import laws_hold, run

HEADER = "kind,reference,payment,amount_minor,currency,card_number,card_expiry,capture_mode,"
HEADER += "capture_day\n"
VISA, AMEX, MAESTRO = "4111111111111111", "378282246310005", "5018000000000009"
HELD = "4000000000000119"


def row(kind: str, mode: str, day: str = "", number: str = VISA, reference: str = "p") -> str:
    return f"{kind},{reference},,1000,USD,{number},12/39,{mode},{day}\n"


def act(kind: str, amount: str = "") -> str:
    return f"{kind},,p,{amount},,,,,\n"


def on_day(engine: Engine, days: int) -> Engine:
    """Give the engine of another process, some days later."""
    now = engine.clock() + timedelta(days=days)
    return replace(engine, clock=lambda: now, known_numbers=set(), accounts={})


def status_of(engine: Engine, place: Place, reference: str = "p") -> dict[str, Any]:
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key).values


def done(engine: Engine, days: int, work: Callable[[Engine], list[Any]]) -> list[int]:
    """Let the clock do what it finds on a day; give the batches."""
    later = on_day(engine, days)
    return [clock.hand_in(later, each) for each in work(later)]


@pytest.mark.parametrize(
    ("kind", "mode", "day", "status", "verb_status"),
    [
        ("sale", "", "", "captured", "sale"),
        ("sale", "immediate", "", "captured", "sale"),
        ("sale", "author_capture", "3", "authorized", "authorize"),
        ("sale", "author_capture", "", "authorized", "authorize"),
        ("sale", "validation", "", "authorized", "authorize"),
        ("authorize", "", "", "authorized", "authorize"),
        ("authorize", "author_capture", "0", "authorized", "authorize"),
        ("authorize", "validation", "7", "authorized", "authorize"),
    ],
)
def test_what_a_mode_makes_of_a_payment(  # noqa: PLR0917 - a table
    engine: Engine, place: Place, kind: str, mode: str, day: str, status: str, verb_status: str
) -> None:
    result = run(engine, place, HEADER + row(kind, mode, day))
    assert result["outcome"].item() == "approved"
    payment = status_of(engine, place)
    assert (payment["status"], payment["origin"]) == (status, verb_status)
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("kind", "mode", "day", "reason"),
    [
        ("sale", "later", "", "choice_unknown"),
        ("sale", "author_capture", "100", "choice_unknown"),
        ("sale", "author_capture", "-1", "choice_unknown"),
        ("sale", "author_capture", "1.5", "choice_unknown"),
        ("sale", "", "3", "capture_day_alone"),
        ("sale", "immediate", "3", "capture_day_alone"),
        ("authorize", "immediate", "", "capture_at_once"),
        ("credit", "author_capture", "", "value_not_allowed"),
    ],
)
def test_wrong_modes_and_days(  # noqa: PLR0917 - a table
    engine: Engine, place: Place, kind: str, mode: str, day: str, reason: str
) -> None:
    result = run(engine, place, HEADER + row(kind, mode, day))
    assert (result["outcome"].item(), result["reason"].item()) == ("rejected", reason)


def test_a_bank_account_is_not_held(engine: Engine, place: Place) -> None:
    text = "kind,amount_minor,account_number,routing_number,account_type,sec_code,capture_mode\n"
    result = run(engine, place, f"{text}sale,100,1234567890,021000021,checking,WEB,validation\n")
    assert result["reason"].item() == "hold_not_at_means"


@pytest.mark.parametrize("kind", ["sale", "authorize"])
def test_it_is_captured_when_its_day_has_come(engine: Engine, place: Place, kind: str) -> None:
    run(engine, place, HEADER + row(kind, "author_capture", "3"))
    assert done(engine, 2, clock.due_work) == []
    (batch_id,) = done(engine, 3, clock.due_work)
    batch = load_batch(engine, batch_id)
    assert (batch.state, batch.sender, batch.merchant) == ("completed", "local", "demo")
    assert batch.file_name == "capture due on 2026-11-24"
    payment = status_of(engine, place)
    assert (payment["status"], payment["captured"]) == ("captured", 1000)
    assert done(engine, 3, clock.due_work) == done(engine, 9, clock.due_work) == []
    assert laws_hold(engine)


def test_day_zero_is_today_and_the_rest_of_a_part_is_captured(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "0") + act("capture", "300"))
    assert len(done(engine, 0, clock.due_work)) == 1
    assert status_of(engine, place)["captured"] == 1000
    assert laws_hold(engine)


def test_a_clock_that_runs_twice_changes_nothing(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "1") + row("sale", "", reference="q"))
    later = on_day(engine, 1)
    (work,) = clock.due_work(later)
    first, again = clock.hand_in(later, work), clock.hand_in(later, work)
    assert first == again
    run(engine, place, HEADER + row("sale", "author_capture", "1", reference="r"))
    (other,) = clock.due_work(later)
    both = work.vstack(other)  # another clock that saw more
    batch_id = clock.hand_in(later, both)
    assert batch_id != first
    payments = [status_of(engine, place, name)["captured"] for name in "pqr"]
    assert payments == [1000, 1000, 1000]
    states = {each["state"] for name in "p" for each in _operations(engine, place, name)}
    assert states == {"approved", "replayed"}
    assert laws_hold(engine)


def _operations(engine: Engine, place: Place, reference: str) -> list[dict[str, Any]]:
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key).operations


def test_a_clock_that_was_killed_before_it_noted_the_batch(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "1"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(clock.due, "hand_over", killed)
        with pytest.raises(KeyboardInterrupt):
            done(engine, 1, clock.due_work)
    assert status_of(engine, place)["status"] == "authorized"
    worker.take_on_left(on_day(engine, 1))
    assert status_of(engine, place)["captured"] == 1000
    assert done(engine, 1, clock.due_work) == []
    assert laws_hold(engine)


def test_what_was_voided_is_forgotten(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "1") + act("void"))
    assert done(engine, 1, clock.due_work) == []
    with engine.database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM due").fetchone() == (0,)


def test_a_challenged_one_waits_for_a_person(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "1", HELD))
    assert done(engine, 1, clock.due_work) == []
    run(engine, place, HEADER + act("accept_challenge"))
    assert status_of(engine, place)["status"] == "authorized"
    assert len(done(engine, 1, clock.due_work)) == 1
    assert status_of(engine, place)["status"] == "captured"
    assert laws_hold(engine)


def test_a_declined_one_has_nothing_due(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "0", "4000000000000002"))
    assert done(engine, 5, clock.due_work) == []


def test_what_nobody_validates_in_its_days_expires(engine: Engine, place: Place) -> None:
    rows = row("sale", "validation", "2") + row("sale", "validation", "2", reference="q")
    run(engine, place, HEADER + rows + act("capture", "400"))
    assert done(engine, 2, clock.due_work) == []
    (batch_id,) = done(engine, 3, clock.due_work)
    assert load_batch(engine, batch_id).row_count == 2
    p, q = status_of(engine, place), status_of(engine, place, "q")
    assert (p["status"], p["captured"], p["released"]) == ("captured", 400, 600)
    assert (q["status"], q["captured"], q["released"]) == ("expired", 0, 1000)
    late = run(engine, place, HEADER + "capture,,q,,,,,,\nvoid,,q,,,,,,\nexpire,,q,,,,,,\n")
    assert late["reason"].to_list() == ["hold_expired"] * 3
    assert laws_hold(engine)


@pytest.mark.parametrize(("number", "days"), [(VISA, 28), (AMEX, 30), (MAESTRO, 7), (HELD, 28)])
def test_holds_expire_by_brand(engine: Engine, place: Place, number: str, days: int) -> None:
    run(engine, place, HEADER + row("authorize", "", "", number))
    assert done(engine, days - 1, clock.lapsed_work) == []
    (batch_id,) = done(engine, days, clock.lapsed_work)
    assert load_batch(engine, batch_id).file_name.startswith("expire due on ")
    payment = status_of(engine, place)
    assert (payment["status"], payment["released"]) == ("expired", 1000)
    assert done(engine, days, clock.lapsed_work) == done(engine, days + 1, clock.lapsed_work) == []
    assert laws_hold(engine)


def test_holds_expire_by_gate(engine: Engine, place: Place) -> None:
    with engine.database.transaction() as connection:
        told = Capabilities(hold_days=frozenset({"visa:2", "other:9"}))
        directory.add_gate(connection, gate_values("short", capabilities=told.model_dump_json()))
    short = find_place(engine, "local", gate="short")
    run(engine, place, HEADER + row("authorize", "", reference="usual"))
    rows = row("authorize", "", reference="v") + row("authorize", "", "", AMEX, "a")
    run(engine, short, HEADER + rows)
    expired = []
    for day in (1, 2, 8, 9):
        done(engine, day, clock.lapsed_work)
        expired.append([n for n in ("usual", "v", "a") if status_of(engine, place, n)["released"]])
    assert expired == [[], ["v"], ["v"], ["v", "a"]]
    assert laws_hold(engine)


def test_what_has_no_hold_does_not_expire(engine: Engine, place: Place) -> None:
    rows = row("sale", "") + row("credit", "", reference="c") + row("verify", "", reference="v")
    rows = rows.replace("verify,v,,1000", "verify,v,,")
    run(engine, place, HEADER + rows + "transfer_create,t,,500,USD,,,,\n")
    assert done(engine, 400, clock.lapsed_work) == []


def test_the_worker_does_what_is_due(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "1"))
    worker.take_on_left(on_day(engine, 1))
    assert status_of(engine, place)["status"] == "captured"
    run(engine, place, HEADER + row("authorize", "", reference="h"))
    worker._on_time(on_day(engine, 40), clock.lapsed_work)
    assert status_of(engine, place, "h")["status"] == "expired"


def test_a_call_may_put_its_capture_off(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    values = {"kind": "sale", "amount_minor": "700", "card_number": VISA, "card_expiry": "12/39"}
    later = {"capture_mode": "author_capture", "capture_day": "1", "idempotency_key": "k"}
    made = caller.call({**values, **later})
    assert (made["state"], made["status"]) == ("approved", "authorized")
    assert caller.call({**values, **later})["state"] == "replayed"
    other = caller.call({**values, **later, "capture_day": "2"})
    assert other["reason"] == "key_conflict"
    assert len(done(engine, 1, clock.due_work)) == 1
    assert laws_hold(engine)


def test_a_preview_knows_what_is_put_off(engine: Engine, place: Place) -> None:
    text = HEADER + row("sale", "validation") + act("refund") + act("capture")
    found = preview(engine, place, [text.encode()], Request(file_name="p.csv"))
    assert [(each["line"], each["reason"]) for each in found.refused] == [(3, "status_not_allowed")]
    result = run(engine, place, text)
    assert result["outcome"].to_list() == ["approved", "rejected", "approved"]


def test_the_kept_details_stand_with_the_payment(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + row("sale", "author_capture", "3"))
    made = Caller(engine, place).call(
        {"kind": "verify", "card_number": VISA, "card_expiry": "12/39", "initiator": "customer"}
    )
    keys = [find_payments(engine, [1], name)[0] for name in ("p", made["payment"])]
    first, second = (view_payment(engine, key).details for key in keys)
    assert first == {"capture_mode": "author_capture", "capture_day": "3"}
    assert second == {}, "the text of a call is not kept"
