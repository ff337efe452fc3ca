"""Calls that leave the house: one effect for each row, whatever the processor answers, or does not.

The processor here is a model with its own books: by key, one effect each, and faults by amount.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from outside_support import (
    CARD,
    HEADER,
    LOST,
    LOST_BEFORE,
    NOT_TAKEN,
    REQUEST,
    Clock,
    Processor,
    hand_in,
)
from paybatch import registry
from paybatch.domain.connector import Connector
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.flow.report import report
from paybatch.flow.sending.recover import recover
from paybatch.store.batches import Batch
from tests_support import laws_hold


def result_of(engine: Engine, batch: Batch, place: Place, tmp_path: Any) -> pl.DataFrame:
    path = tmp_path / "result.csv"
    with path.open("wb") as target:
        report(engine, batch, place, target)
    return pl.read_csv(path, infer_schema=False)


def states(engine: Engine) -> dict[str, int]:
    with engine.database.transaction() as connection:
        rows = connection.execute("SELECT state FROM outcome").fetchall()
    return dict(Counter(row[0] for row in rows))


def reserved(engine: Engine) -> int:
    with engine.database.transaction() as connection:
        query = "SELECT sum(reserved_capture + reserved_void + reserved_refund) FROM payment"
        row = connection.execute(query).fetchone()
    return int(row[0] or 0) if row else 0


@pytest.mark.usefixtures("outside")
def test_a_file_ends_as_with_an_inline_connector(
    engine: Engine, place: Place, processor: Processor
) -> None:
    rows = (
        f"sale,100,USD,{CARD},a,\nauthorize,200,USD,{CARD},b,\ncapture,50,USD,,,,b\n"
        "capture,60,USD,,,,b\nrefund,30,USD,,,,a\nrefund,80,USD,,,,a\nvoid,90,USD,,,,b\n"
    )
    done = hand_in(engine, rows)
    assert done.state == "completed"
    assert states(engine) == {"approved": 6, "rejected": 1}
    verbs = Counter(verb for verb, _ in processor.effects.values())
    assert verbs == {"sale": 1, "authorize": 1, "capture": 2, "refund": 1, "void": 1}
    assert len(processor.calls) == len(set(processor.calls))
    assert reserved(engine) == 0
    assert laws_hold(engine)
    with engine.database.transaction() as connection:
        found = connection.execute(
            "SELECT authorized, captured, released, refunded, state FROM payment ORDER BY id"
        ).fetchall()
    assert found == [(100, 100, 0, 30, "approved"), (200, 110, 90, 0, "approved")]


@pytest.mark.usefixtures("outside")
def test_a_lost_answer_is_looked_up_and_never_sent_twice(
    clocked: tuple[Engine, Clock], place: Place, processor: Processor, tmp_path: Any
) -> None:
    engine, clock = clocked
    rows = f"sale,{LOST},USD,{CARD},a,\nrefund,10,USD,,,,a\nsale,5,USD,{CARD},c,\n"
    done = hand_in(engine, rows)
    assert done.state == "waiting"
    assert result_of(engine, done, place, tmp_path)["outcome"].to_list() == [
        "unknown",
        "queued",
        "approved",
    ]
    assert states(engine) == {"approved": 1}
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    done = batches.go_on(engine, done.id)
    assert done.state == "completed"
    assert states(engine) == {"approved": 3}
    assert max(Counter(processor.calls).values()) == 1
    assert reserved(engine) == 0
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_a_lost_void_of_which_a_part_is_closed_with_us_is_looked_up(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    rows = "authorize,2000,USD,378282246310005,12/39,a,\ncapture,700,USD,,,,a\ncapture,1,USD,,,,a\n"
    assert hand_in(engine, rows).state == "completed"
    done = hand_in(engine, "void,,,,,,a\n")  # of the captured 701; the hold takes no reversal
    assert done.state == "waiting"
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    assert batches.go_on(engine, done.id).state == "completed"
    assert processor.effects.popitem()[1] == ("void", LOST)
    with engine.database.transaction() as connection:
        found = connection.execute("SELECT released, cancelled FROM payment").fetchall()
        told = connection.execute("SELECT message FROM outcome WHERE message IS NOT NULL")
        assert "rolls off" in str(told.fetchall())
    assert found == [(1299, LOST)]
    assert reserved(engine) == 0
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_a_capture_above_the_hold_is_reserved_and_authorized(
    clocked: tuple[Engine, Clock],
) -> None:
    engine, clock = clocked
    with engine.database.transaction() as connection:
        connection.execute("""UPDATE gate SET capabilities = '{"over_capture": "60"}'""")
    rows = f"authorize,600,USD,{CARD},a,\ncapture,200,USD,,,,a\ncapture,{LOST},USD,,,,a\n"
    done = hand_in(engine, rows)
    assert reserved(engine) == LOST
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    assert batches.go_on(engine, done.id).state == "completed"
    assert states(engine) == {"approved": 3}
    with engine.database.transaction() as connection:
        found = connection.execute("SELECT authorized, captured FROM payment").fetchall()
    assert found == [(200 + LOST, 200 + LOST)]
    assert reserved(engine) == 0
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_what_never_arrived_is_sent_again_with_its_key(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    done = hand_in(engine, f"sale,{LOST_BEFORE},USD,{CARD},a,\n")
    assert (done.state, processor.effects) == ("waiting", {})
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    assert batches.go_on(engine, done.id).state == "completed"
    assert list(processor.effects.values()) == [("sale", LOST_BEFORE)]
    assert Counter(processor.calls).most_common(1)[0][1] == 2
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_calls_that_are_not_taken_are_tried_again_or_given_back(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, _ = clocked
    assert hand_in(engine, f"sale,{NOT_TAKEN},USD,{CARD},a,\n").state == "completed"
    assert len(processor.effects) == 1
    assert states(engine) == {"approved": 1}


@pytest.mark.usefixtures("outside")
def test_one_that_stays_unknown_waits_for_a_person(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    processor.is_mute = True
    done = hand_in(engine, f"authorize,100,USD,{CARD},a,\n")
    assert done.state == "waiting"
    for _ in range(20):
        clock.now += timedelta(days=1)
        recover(engine)
    with engine.database.transaction() as connection:
        assert connection.execute("SELECT state, looks FROM attempt").fetchall() == [("person", 12)]
        assert connection.execute("SELECT state FROM payment").fetchall() == [("unknown",)]
    assert load_batch(engine, done.id).state == "waiting"
    assert len(processor.calls) == 1


@pytest.mark.usefixtures("outside")
def test_what_is_under_way_is_reserved(clocked: tuple[Engine, Clock], processor: Processor) -> None:
    engine, clock = clocked
    assert hand_in(engine, f"authorize,100,USD,{CARD},a,\n").state == "completed"
    processor.is_mute = True
    assert hand_in(engine, "capture,70,USD,,,,a\n").state == "waiting"
    assert reserved(engine) == 70
    done = hand_in(engine, "void,70,USD,,,,a\nvoid,40,USD,,,,a\n")
    assert done.state == "completed"
    assert states(engine) == {"approved": 1, "rejected": 2}
    processor.is_mute = False
    clock.now += timedelta(minutes=1)
    recover(engine)
    assert reserved(engine) == 0
    assert laws_hold(engine)


SALE = {"kind": "sale", "currency": "USD", "card_number": "4111111111111111"}
SALE |= {"card_expiry": "12/39"}


@pytest.mark.usefixtures("outside")
def test_single_calls_leave_the_house_too(
    engine: Engine, place: Place, processor: Processor
) -> None:
    caller = Caller(engine, place)
    sale = caller.call({**SALE, "amount_minor": "1000", "reference": "s"})
    assert (sale["state"], sale["status"], sale["approved_minor"]) == ("approved", "captured", 1000)
    refund = {"kind": "refund", "amount_minor": "300", "payment": sale["payment"]}
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: caller.call(refund), range(8)))
    assert Counter(each["state"] for each in told) == {"approved": 3, "rejected": 5}
    assert sum(amount for verb, amount in processor.effects.values() if verb == "refund") == 900
    assert reserved(engine) == 0
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_a_call_without_answer_is_unknown_and_looked_up(
    clocked: tuple[Engine, Clock], place: Place, processor: Processor
) -> None:
    engine, clock = clocked
    caller = Caller(engine, place)
    asked = {**SALE, "amount_minor": str(LOST), "idempotency_key": "k1"}
    first = caller.call(asked)
    assert (first["state"], first["payment"]) == ("unknown", None)
    assert caller.call(asked)["reason"] == "key_running"
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    again = caller.call(asked)
    assert (again["state"], again["first_state"]) == ("replayed", "approved")
    assert again["first"] == first["operation"]
    assert len(processor.calls) == 1
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_a_call_whose_process_died_is_looked_up(
    clocked: tuple[Engine, Clock], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its claim and its answer nobody is left who could tell."""
    engine, clock = clocked

    def died(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("paybatch.flow.calls.call.sent", died)
        with pytest.raises(KeyboardInterrupt):
            Caller(engine, place).call({**SALE, "amount_minor": "50"})
    assert recover(engine) == 0
    clock.now += timedelta(minutes=2)
    assert recover(engine) == 1
    assert states(engine) == {"approved": 1}
    assert laws_hold(engine)


MARKS = (
    "kind,reference,payment,amount_minor,currency,card_number,card_expiry,alert_id,alert_outcome,"
    "arn,initiator,pattern\n"
)
PAYER = {"card_number": "4111111111111111", "card_expiry": "12/39", "currency": "USD"}
SALE = {"kind": "sale", "reference": "p", "amount_minor": "100", **PAYER}
SALE |= {"initiator": "customer", "pattern": "recurring"}
ALERT = {"kind": "alert_update", "payment": "p", "alert_id": "EA-1", "alert_outcome": "stopped"}


def run_marks(engine: Engine, *rows: dict[str, str]) -> str:
    """Run rows as a file; give the state of its batch."""
    names = MARKS.strip().split(",")
    lines = [",".join(row.get(name, "") for name in names) for row in rows]
    text = MARKS + "\n".join(lines) + "\n"
    request = Request(file_name="marks.csv", dialect="native", again=True)
    return batches.run(engine, find_place(engine, "local"), [text.encode()], request).state


@pytest.mark.usefixtures("outside")
def test_marks_are_sent_once(engine: Engine, processor: Processor) -> None:
    listed = {"kind": "blacklist", "payment": "p"}
    by_card = {"kind": "blacklist", "card_number": "5555555555554444"}
    taken = {"kind": "chargeback", "payment": "p", "amount_minor": "40", "arn": "A1"}
    won = {"kind": "chargeback_reversal", "payment": "p", "arn": "A2"}
    assert run_marks(engine, SALE, ALERT, ALERT, taken, won, listed, by_card) == "completed"
    assert states(engine) == {"approved": 5, "rejected": 2}
    assert run_marks(engine, ALERT) == "completed"
    verbs = Counter(verb for verb, _ in processor.effects.values())
    assert verbs == {"sale": 1, "alert": 1, "blacklist": 2}
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_an_alert_without_answer_is_not_sent_again(
    clocked: tuple[Engine, Clock],
    processor: Processor,
) -> None:
    engine = clocked[0]
    run_marks(engine, SALE)
    processor.is_mute = True
    run_marks(engine, ALERT)
    run_marks(engine, ALERT)
    verbs = Counter(verb for verb, _ in processor.effects.values())
    assert verbs["alert"] == 1


@pytest.mark.usefixtures("outside")
def test_a_later_payment_of_a_series_is_sent_with_its_id(engine: Engine) -> None:
    later = {"kind": "rebill", "payment": "p", "amount_minor": "10", "currency": "USD"}
    later |= {"initiator": "merchant", "pattern": "recurring"}
    assert run_marks(engine, SALE, later) == "completed"
    assert run_marks(engine, later) == "completed"
    assert states(engine) == {"approved": 3}
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_rows_behind_an_unknown_one_wait_while_the_others_go_on(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    """The chunk is taken again for the capture; that must not end it."""
    engine, clock = clocked
    rows = f"sale,{LOST},USD,{CARD},a,\nrefund,10,USD,,,,a\nauthorize,50,USD,{CARD},b,\n"
    done = hand_in(engine, rows + "capture,50,USD,,,,b\n")
    assert (done.state, states(engine)) == ("waiting", {"approved": 2})
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    assert batches.go_on(engine, done.id).state == "completed"
    assert states(engine) == {"approved": 4}
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_a_batch_is_not_complete_while_a_row_without_followers_is_unknown(
    clocked: tuple[Engine, Clock],
) -> None:
    engine, _ = clocked
    rows = f"refund,{LOST},USD,,,,old\nauthorize,50,USD,{CARD},b,\ncapture,50,USD,,,,b\n"
    assert hand_in(engine, f"sale,900,USD,{CARD},old,\n").state == "completed"
    assert hand_in(engine, "refund,1,USD,,,,old\n" + rows).state == "waiting"


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("kind", ["capture", "void"])
def test_what_the_gate_decides_of_a_call_holds_when_it_becomes_known_later(
    clocked: tuple[Engine, Clock], processor: Processor, kind: str
) -> None:
    """At a gate with one capture for each payment every capture is final."""
    engine, clock = clocked
    with engine.database.transaction() as connection:
        connection.execute("UPDATE gate SET capabilities = '{\"several_captures\": false}'")
    assert hand_in(engine, f"authorize,900,USD,{CARD},a,\n").state == "completed"
    done = hand_in(engine, f"{kind},{LOST},USD,,,,a\n")
    assert done.state == "waiting"
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    with engine.database.transaction() as connection:
        found = connection.execute("SELECT captured, released FROM payment").fetchall()
    assert found == [(LOST, 900 - LOST) if kind == "capture" else (0, LOST)]
    assert batches.go_on(engine, done.id).state == "completed"
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_a_worker_that_lost_its_chunk_sends_nothing_again(
    clocked: tuple[Engine, Clock], processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others ask what became of the call by then, and may take it for never sent."""
    engine, clock = clocked

    def waited(*_: object) -> bool:
        clock.now += timedelta(hours=1)
        return True

    monkeypatch.setattr("paybatch.flow.sending.outward.Outward._waited", waited)
    hand_in(engine, f"sale,{NOT_TAKEN},USD,{CARD},a,\n")
    assert len(processor.calls) == 1 + len(processor.looks)


@pytest.mark.usefixtures("outside")
def test_a_part_that_is_not_allowed_is_reversed_beside_other_replies(
    clocked: tuple[Engine, Clock], place: Place, processor: Processor
) -> None:
    engine, _ = clocked
    header = HEADER.strip() + ",partial_approval\n"
    rows = f"sale,100,USD,4000000000000051,12/39,a,,not_allowed\nsale,5,USD,{CARD},b,,\n"
    done = batches.run(engine, place, [(header + rows).encode()], REQUEST)
    assert done.state == "completed"
    assert states(engine) == {"approved": 1, "declined": 1}
    assert [verb for verb, _ in processor.effects.values()].count("void") == 1
    assert laws_hold(engine)


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_lost_reversal_of_a_part_is_asked_about(
    clocked: tuple[Engine, Clock],
    processor: Processor,
    outside: Connector,
    monkeypatch: pytest.MonkeyPatch,
    idempotent: bool,
) -> None:
    """The part is gone at the processor: with us it must not stand."""
    monkeypatch.setitem(registry.connectors(), "sandbox", replace(outside, idempotent=idempotent))
    engine, clock = clocked
    header = HEADER.strip() + ",partial_approval\n"
    rows = f"sale,{2 * LOST},USD,4000000000000051,12/39,a,,not_allowed\n"
    done = batches.run(engine, find_place(engine, "local"), [(header + rows).encode()], REQUEST)
    assert done.state == "waiting"
    clock.now += timedelta(seconds=3)
    assert recover(engine) == 1
    assert batches.go_on(engine, done.id).state == "completed"
    assert states(engine) == {"declined": 1}
    assert list(processor.effects.values()) == [("sale", 2 * LOST), ("void", LOST)]
    assert idempotent or max(Counter(processor.calls).values()) == 1
    assert laws_hold(engine)


@pytest.mark.usefixtures("outside")
def test_follow_ups_are_sent_with_the_currency_of_their_payment(
    engine: Engine, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row need not name it; the processor wants to know."""
    heard: list[tuple[str, str]] = []
    real = Processor.send

    def send(self: Processor, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        heard.extend(calls.select("verb", "currency").rows())
        return real(self, calls)

    outside = registry.connectors()["sandbox"]
    told = replace(outside, send=lambda calls: send(processor, calls))
    monkeypatch.setitem(registry.connectors(), "sandbox", told)
    assert hand_in(engine, f"authorize,100,USD,{CARD},a,\ncapture,40,,,,,a\n").state == "completed"
    assert heard == [("authorize", "USD"), ("capture", "USD")]
