"""Recurring payments: what is due is charged once, tried again or not, and ends."""

import io
from datetime import date, timedelta

import polars as pl
import pytest

from conftest import gate_values
from paybatch.domain import declines
from paybatch.domain.connector import Response
from paybatch.flow import control, recurring, worker
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import Place
from paybatch.flow.report import report
from paybatch.store import directory
from recurring_support import (
    CARD,
    DECLINES,
    EXPIRED,
    NOT_AGAIN,
    SECOND_TIME,
    STOLEN,
    TODAY,
    VISA,
    charge,
    charged,
    create,
    dates,
    days,
    done,
    on,
    payments,
    row,
    status,
    tick,
)
from tests_support import laws_hold

# When it is due


@pytest.mark.parametrize(
    ("cells", "due"),
    [
        ({"start_on": "2027-01-31"}, ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]),
        ({"start_on": "2028-01-31"}, ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"]),
        ({"start_on": "2027-01-15"}, ["2027-01-15", "2027-02-15", "2027-03-15", "2027-04-15"]),
        (
            {"start_on": "2027-01-30", "every": "3"},
            ["2027-01-30", "2027-04-30", "2027-07-30", "2027-10-30"],
        ),
        (
            {"start_on": "2028-02-29", "period": "year"},
            ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"],
        ),
        ({"start_on": "2027-01-01", "period": "week", "every": "2"}, days("2027-01-01", 14, 28)),
        ({"start_on": "2026-12-30", "period": "day"}, days("2026-12-30", 1, 2, 3)),
        ({}, ["2026-11-21", "2026-12-21", "2027-01-21"]),
    ],
)
def test_it_is_charged_on_its_dates(
    engine: Engine, place: Place, cells: dict[str, str], due: list[str]
) -> None:
    made = done(engine, place, create(**cells))
    assert made["outcome"].to_list() == ["approved"]
    if cells:
        assert tick(engine, TODAY) == []
    for number, day in enumerate(due, start=1):
        before = date.fromisoformat(day) - timedelta(days=1)
        assert tick(engine, before) == [] or before < TODAY
        (batch_id,) = tick(engine, day)
        batch = load_batch(engine, batch_id)
        assert (batch.state, batch.sender, batch.merchant) == ("completed", "local", "demo")
        assert batch.file_name == f"recurring_charge due on {day}"
        assert charged(engine) == [(each, 1000) for each in due[:number]]
        assert tick(engine, day, hour=23) == []
    found = payments(engine)
    assert [each["captured"] for each in found] == [1000] * len(due)
    assert {each["brand"] for each in found} == {"visa"}
    assert status(engine, place) == "recurring_active"
    assert laws_hold(engine)


def test_it_is_due_in_the_zone_of_its_gate(engine: Engine, place: Place) -> None:
    with engine.database.transaction() as connection:
        for name, zone in (("tokyo", "Asia/Tokyo"), ("samoa", "Pacific/Pago_Pago")):
            directory.add_gate(connection, gate_values(name, zone=zone))
    rows = [create(gate=each, reference=each, start_on="2027-01-31") for each in ("tokyo", "samoa")]
    done(engine, place, *rows)
    assert tick(engine, "2027-01-30", hour=14) == []
    assert len(tick(engine, "2027-01-30", hour=15)) == 1  # midnight at Tokyo
    assert len(charged(engine)) == 1
    assert tick(engine, "2027-01-31", hour=10) == []
    assert len(tick(engine, "2027-01-31", hour=11)) == 1  # midnight at Pago Pago
    assert charged(engine) == [("2027-01-31", 1000)] * 2
    assert tick(engine, "2027-02-28", hour=10) != []
    assert charged(engine)[1] == ("2027-02-28", 1000)


def test_after_downtime_one_charge_is_made_for_all_that_was_missed(
    engine: Engine, place: Place
) -> None:
    done(engine, place, create(start_on="2026-12-10", period="week"))
    tick(engine, "2026-12-10")
    assert len(tick(engine, "2027-01-20")) == 1
    assert charged(engine) == [("2026-12-10", 1000), ("2027-01-14", 1000)]
    assert tick(engine, "2027-01-20") == []
    tick(engine, "2027-01-21")
    assert [due for due, _ in charged(engine)] == ["2026-12-10", "2027-01-14", "2027-01-21"]


def test_a_start_that_is_over_charges_its_newest_date(engine: Engine, place: Place) -> None:
    done(engine, place, create(start_on="2026-01-31"))
    tick(engine, TODAY)
    assert charged(engine) == [("2026-10-31", 1000)]
    tick(engine, "2026-11-30")
    assert charged(engine)[1:] == [("2026-11-30", 1000)]


# Declines


def test_a_soft_decline_is_tried_again_the_next_day(engine: Engine, place: Place) -> None:
    done(engine, place, create(**{**CARD, "card_number": SECOND_TIME}, period="week"))
    tick(engine, TODAY)
    assert dates(engine) == [("2026-11-21", 1000, 2, "open")]
    assert status(engine, place) == "recurring_active"
    assert tick(engine, TODAY, hour=23) == []
    tick(engine, "2026-11-22")
    assert dates(engine) == [("2026-11-21", 1000, 2, "charged")]
    assert [each["captured"] for each in payments(engine)] == [0, 1000]
    tick(engine, "2026-11-28")
    assert dates(engine)[1:] == [("2026-11-28", 1000, 2, "open")]
    assert laws_hold(engine)


@pytest.mark.parametrize(("attempts", "tried"), [("1", 1), ("2", 2), ("", 3)])
def test_attempts_end_and_the_next_date_is_charged(
    engine: Engine, place: Place, attempts: str, tried: int
) -> None:
    card = {**CARD, "card_number": DECLINES}
    done(engine, place, create(**card, attempts=attempts, period="week"))
    for day in range(7):
        tick(engine, TODAY + timedelta(days=day))
    assert dates(engine) == [("2026-11-21", 1000, tried, "given_up")]
    assert len(payments(engine)) == tried
    assert status(engine, place) == "recurring_active"
    tick(engine, "2026-11-28")
    assert len(payments(engine)) == tried + 1


def test_a_retry_is_left_when_the_next_date_comes(engine: Engine, place: Place) -> None:
    card = {**CARD, "card_number": SECOND_TIME}
    done(engine, place, create(**card, period="day"))
    tick(engine, TODAY)
    tick(engine, "2026-11-22")
    assert dates(engine) == [
        ("2026-11-21", 1000, 2, "given_up"),
        ("2026-11-22", 1000, 2, "open"),
    ]
    assert len(payments(engine)) == 2, "one charge on a day"


@pytest.mark.parametrize(
    ("number", "ends_as"),
    [
        (EXPIRED, "recurring_failed"),
        (STOLEN, "recurring_failed"),
        (NOT_AGAIN, "recurring_stopped"),
    ],
)
def test_a_hard_decline_and_a_stop_are_never_tried_again(
    engine: Engine, place: Place, number: str, ends_as: str
) -> None:
    done(engine, place, create(**{**CARD, "card_number": number}, period="week", attempts="9"))
    for day in (0, 1, 2, 7, 8, 14, 40):
        tick(engine, TODAY + timedelta(days=day))
    assert dates(engine) == [("2026-11-21", 1000, 1, "given_up")]
    assert len(payments(engine)) == 1
    assert status(engine, place) == ends_as
    reason = "card_used_up" if ends_as == "recurring_failed" else "recurring_over"
    assert done(engine, place, charge())["reason"].item() == reason
    assert len(payments(engine)) == 1
    assert laws_hold(engine)


def test_what_follows_a_hard_decline_in_a_file_is_refused(engine: Engine, place: Place) -> None:
    result = done(
        engine, place, create(**{**CARD, "card_number": STOLEN}), *[charge(n) for n in "abc"]
    )
    assert result["outcome"].to_list() == ["approved", "declined", "rejected", "rejected"]
    assert result["reason"].to_list() == [None, None, "card_used_up", "card_used_up"]
    soft = done(
        engine, place, create(reference="s", **{**CARD, "card_number": DECLINES}),
        *[charge(n, payment="s") for n in "de"],
    )  # fmt: skip
    assert soft["outcome"].to_list() == ["approved", "declined", "declined"]


def test_calls_behind_a_stop_are_refused(engine: Engine, place: Place) -> None:
    done(engine, place, create(**{**CARD, "card_number": NOT_AGAIN}))
    caller = Caller(engine, place)
    asked = {"kind": "recurring_charge", "payment": "r", "amount_minor": "5", "currency": "USD"}
    answers = [caller.call(asked) for _ in range(2)]
    assert [(each["state"], each["response"], each["reason"]) for each in answers] == [
        ("declined", "stop_recurring", None),
        ("rejected", None, "recurring_over"),
    ]


def test_every_response_is_soft_hard_or_a_stop() -> None:
    good = {Response.APPROVED, Response.PARTIALLY_APPROVED, Response.CHALLENGED}
    assert declines.SOFT.isdisjoint(declines.HARD | declines.STOPS_AGREEMENT | good)
    assert declines.SOFT | declines.HARD | declines.STOPS_AGREEMENT | good == set(Response)
    assert declines.STOPS_CARD <= declines.HARD


def test_a_card_on_our_lists_is_given_up(engine: Engine, place: Place) -> None:
    done(engine, place, create(period="day"), row("blacklist", card_number=VISA))
    tick(engine, TODAY)
    assert dates(engine) == [("2026-11-21", 1000, 1, "given_up")]
    assert status(engine, place) == "recurring_active"
    done(engine, place, row("unblacklist", card_number=VISA))
    tick(engine, "2026-11-22")
    assert charged(engine) == [("2026-11-22", 1000)]


# The end


@pytest.mark.parametrize(
    ("cells", "due"),
    [
        ({"finish_on": "2026-11-23"}, days("2026-11-21", 1, 2)),
        ({"finish_on": "2026-11-21"}, ["2026-11-21"]),
        ({"finish_count": "2"}, days("2026-11-21", 1)),
        ({"finish_count": "9", "finish_on": "2026-11-22"}, days("2026-11-21", 1)),
        ({"finish_count": "2", "finish_on": "2027-11-22"}, days("2026-11-21", 1)),
    ],
)
def test_it_ends_at_its_finish(
    engine: Engine, place: Place, cells: dict[str, str], due: list[str]
) -> None:
    done(engine, place, create(period="day", **cells))
    for number in range(8):
        tick(engine, TODAY + timedelta(days=number))
        is_over = number + 1 >= len(due)
        wanted = "recurring_finished" if is_over else "recurring_active"
        assert status(engine, place) == wanted
    assert [each for each, _ in charged(engine)] == due
    assert done(engine, place, charge())["reason"].item() == "recurring_over"
    with engine.database.transaction() as connection:
        assert connection.execute("SELECT is_over FROM recurring").fetchone() == (True,)


def test_downtime_beyond_the_finish_charges_the_last_date(engine: Engine, place: Place) -> None:
    done(engine, place, create(period="day", finish_on="2026-11-24"))
    tick(engine, "2027-03-01")
    assert charged(engine) == [("2026-11-24", 1000)]
    assert status(engine, place) == "recurring_finished"


def test_the_last_date_is_tried_again_before_it_ends(engine: Engine, place: Place) -> None:
    card = {**CARD, "card_number": SECOND_TIME}
    done(engine, place, create(**card, finish_count="1"))
    tick(engine, TODAY)
    assert status(engine, place) == "recurring_active"
    tick(engine, "2026-11-22")
    assert charged(engine) == [("2026-11-21", 1000)]
    assert status(engine, place) == "recurring_finished"


def test_a_date_that_was_given_up_counts(engine: Engine, place: Place) -> None:
    card = {**CARD, "card_number": DECLINES}
    done(engine, place, create(**card, finish_count="2", attempts="1", period="day"))
    for number in range(5):
        tick(engine, TODAY + timedelta(days=number))
    assert [state for _, _, _, state in dates(engine)] == ["given_up"] * 2
    assert status(engine, place) == "recurring_finished"


# The clock


def test_a_clock_that_runs_twice_charges_once(engine: Engine, place: Place) -> None:
    done(engine, place, create())
    later = on(engine, TODAY)
    (work,) = recurring.due_work(later)
    (again,) = recurring.due_work(later)
    assert recurring.hand_in(later, work) == recurring.hand_in(later, again)
    done(engine, place, create(reference="q"))
    (more,) = recurring.due_work(later)
    both = pl.concat([work, more])  # another clock that saw more, before the first noted its batch
    recurring.hand_in(later, both)
    assert len(payments(engine)) == 2
    tick(engine, TODAY)
    assert charged(engine) == [("2026-11-21", 1000)] * 2
    assert laws_hold(engine)


@pytest.mark.parametrize("where", ["receive_own", "hand_over_dates", "go_on", "conclude_dates"])
def test_a_clock_that_was_killed(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    done(engine, place, create(finish_count="1"), create(reference="q", start_on="2026-11-22"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    modules = {"receive_own": recurring.clock, "go_on": recurring.batches}
    with monkeypatch.context() as patched:
        patched.setattr(modules.get(where, recurring.recurring_dates), where, killed)
        with pytest.raises(KeyboardInterrupt):
            tick(engine, TODAY)
    worker.take_on_left(on(engine, "2026-11-22"))
    tick(engine, "2026-11-22")
    assert charged(engine) == [("2026-11-21", 1000), ("2026-11-22", 1000)]
    assert [each["captured"] for each in payments(engine)] == [1000] * 2
    assert status(engine, place) == "recurring_finished"
    assert laws_hold(engine)


def test_what_a_person_cancelled_is_given_up(engine: Engine, place: Place) -> None:
    done(engine, place, create(period="week"))
    later = on(engine, TODAY)
    (work,) = recurring.due_work(later)
    batch_id = recurring.clock.receive_own(later, work, recurring._charges(later, work))
    with engine.database.transaction() as connection:
        recurring.recurring_dates.hand_over_dates(connection, work, batch_id)
    control.cancel(later, load_batch(later, batch_id), "local")
    tick(engine, TODAY)
    assert dates(engine) == [("2026-11-21", 1000, 1, "given_up")]
    tick(engine, "2026-11-28")
    assert charged(engine) == [("2026-11-28", 1000)]


def test_while_an_outcome_is_not_known_nothing_follows(engine: Engine, place: Place) -> None:
    done(engine, place, create(period="month"))
    later = on(engine, TODAY)
    (work,) = recurring.due_work(later)
    batch_id = recurring.clock.receive_own(later, work, recurring._charges(later, work))
    with engine.database.transaction() as connection:
        recurring.recurring_dates.hand_over_dates(connection, work, batch_id)
    assert tick(engine, "2026-11-22") == tick(engine, "2026-12-20") == []
    assert dates(engine) == [("2026-11-21", 1000, 1, "handed_over")]
    worker.take_on_left(on(engine, "2026-12-20"))
    tick(engine, "2026-12-20")
    assert charged(engine) == [("2026-11-21", 1000)]


def test_the_worker_charges(engine: Engine, place: Place) -> None:
    done(engine, place, create())
    worker.take_on_left(on(engine, TODAY))
    worker.take_on_left(on(engine, TODAY))
    assert charged(engine) == [("2026-11-21", 1000)]


def test_many_at_once(engine: Engine, place: Place) -> None:
    rows = [create(reference=f"r{number}", period="day") for number in range(300)]
    done(engine, place, *rows)
    assert len(tick(engine, TODAY)) == 1
    assert len(payments(engine)) == 300
    assert laws_hold(engine)


def test_the_result_of_a_system_batch(engine: Engine, place: Place) -> None:
    done(engine, place, create(), create(reference="q", scheme_transaction_id="X1"))
    (batch_id,) = tick(engine, TODAY)
    target = io.BytesIO()
    report(engine, load_batch(engine, batch_id), place, target)
    result = pl.read_csv(target.getvalue(), infer_schema=False)
    assert result["outcome"].to_list() == ["approved"] * 2
    assert result["scheme_transaction_id"].to_list() == [None, "X1"]
    assert "email" not in result.columns, "nobody filled it"
