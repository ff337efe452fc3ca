"""Calls that leave the house: one effect for each row, whatever the processor answers, or does not.

The processor here is a model with its own books: by key, one effect each, and faults by amount.
"""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.connector import REPLY_SCHEMA, Connector
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.flow.report import report
from paybatch.flow.sending.recover import recover
from paybatch.store.batches import Batch
from tests_support import laws_hold

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
CARD = "4111111111111111,12/39"
REQUEST = Request(file_name="out.csv", dialect="native", again=True)
INLINE = registry.connectors()["sandbox"]
LOST, LOST_BEFORE, NOT_TAKEN = 701, 702, 703  # amounts that trigger faults


@dataclass
class Processor:
    """A processor with books of its own: an effect for each key."""

    effects: dict[str, tuple[str, int]] = field(default_factory=dict)
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    refusals: int = 2
    is_mute: bool = False

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Answer each call, but for those whose amount is a fault."""
        for call in calls.iter_rows(named=True):
            self.calls.append(call["key"])
            amount = call["amount_minor"]
            if amount == NOT_TAKEN and self.refusals > 0:
                self.refusals -= 1
                yield told(call, "failed", 0, "not_taken")
                continue
            if amount == LOST_BEFORE and self.calls.count(call["key"]) == 1:
                yield told(call, "unknown", 0, None)
                continue
            reply = self._done(call)
            if self.is_mute or (amount == LOST and self.calls.count(call["key"]) == 1):
                continue  # the effect is there, the answer is not
            yield reply

    def _done(self, call: dict[str, Any]) -> pl.DataFrame:
        if call["key"] not in self.effects:
            (reply,) = INLINE.send(pl.DataFrame([call], infer_schema_length=None))
            self.replies[call["key"]] = reply.row(0, named=True)
            self.effects[call["key"]] = (call["verb"], call["amount_minor"])
        return pl.DataFrame([self.replies[call["key"]]], schema=REPLY_SCHEMA)

    def look_up(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Tell what became of keys."""
        for call in calls.iter_rows(named=True):
            self.looks.append(call["key"])
            if self.is_mute:
                yield told(call, "unknown", 0, None)
            elif call["key"] in self.effects:
                yield self._done(call)
            else:
                yield told(call, "failed", 0, "not_found")


def told(call: dict[str, Any], result: str, amount: int, response: str | None) -> pl.DataFrame:
    row = dict.fromkeys(REPLY_SCHEMA) | {"operation": call["operation"], "result": result}
    row |= {"approved_minor": amount, "response": response}
    return pl.DataFrame([row], schema=REPLY_SCHEMA)


@pytest.fixture
def processor() -> Processor:
    return Processor()


@pytest.fixture
def outside(processor: Processor, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """Let the sandbox be really outside, idempotent and with look-up."""
    connector = replace(
        INLINE, inline=False, idempotent=True, send=processor.send, look_up=processor.look_up
    )
    monkeypatch.setitem(registry.connectors(), "sandbox", connector)
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return connector


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clocked(engine: Engine) -> tuple[Engine, Clock]:
    clock = Clock(engine.clock())
    settings = engine.settings.model_copy(update={"patience_seconds": 0.0})
    return replace(engine, clock=clock, settings=settings), clock


def run(engine: Engine, rows: str) -> Batch:
    place = find_place(engine, "local")
    return batches.run(engine, place, [(HEADER + rows).encode()], REQUEST)


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
    done = run(engine, rows)
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
    done = run(engine, rows)
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
    assert run(engine, rows).state == "completed"
    done = run(engine, "void,,,,,,a\n")  # of the captured 701; the hold takes no reversal
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
    done = run(engine, rows)
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
    done = run(engine, f"sale,{LOST_BEFORE},USD,{CARD},a,\n")
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
    assert run(engine, f"sale,{NOT_TAKEN},USD,{CARD},a,\n").state == "completed"
    assert len(processor.effects) == 1
    assert states(engine) == {"approved": 1}


@pytest.mark.usefixtures("outside")
def test_one_that_stays_unknown_waits_for_a_person(
    clocked: tuple[Engine, Clock], processor: Processor
) -> None:
    engine, clock = clocked
    processor.is_mute = True
    done = run(engine, f"authorize,100,USD,{CARD},a,\n")
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
    assert run(engine, f"authorize,100,USD,{CARD},a,\n").state == "completed"
    processor.is_mute = True
    assert run(engine, "capture,70,USD,,,,a\n").state == "waiting"
    assert reserved(engine) == 70
    done = run(engine, "void,70,USD,,,,a\nvoid,40,USD,,,,a\n")
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
