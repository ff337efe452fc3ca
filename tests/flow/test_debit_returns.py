"""Debits of test accounts come back by themselves, as those of real ones do by their bank."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from conftest import gate_values
from paybatch.flow import clock, worker
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import Place, find_place
from paybatch.store import directory
from tests_support import laws_hold, run

HEADER = "kind,reference,payment,amount_minor,currency,account_number,routing_number,"
HEADER += "account_type,sec_code\n"
SOON, LATER, NEVER = "000000001", "000000002", "021000021"


def debit(reference: str, routing: str, amount: int = 1000) -> str:
    return f"sale,{reference},,{amount},USD,1234567890,{routing},checking,WEB\n"


def on_day(engine: Engine, days: int) -> Engine:
    now = engine.clock() + timedelta(days=days)
    return replace(engine, clock=lambda: now, known_numbers=set(), accounts={})


def done(engine: Engine, days: int) -> list[int]:
    """Let the clock make the returns of a day; give their batches."""
    later = on_day(engine, days)
    return [clock.hand_in(later, each) for each in clock.returned_work(later)]


def rows_of(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.database.transaction() as connection:
        return connection.execute(query).fetchall()


RETURNS = "SELECT amount_minor, reason_code FROM dispute_step ORDER BY operation_id"


def test_they_come_back_on_their_day_and_once(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + debit("a", SOON) + debit("b", LATER, 500) + debit("c", NEVER))
    assert done(engine, 1) == []
    (batch_id,) = done(engine, 2)
    assert load_batch(engine, batch_id).state == "completed"
    assert rows_of(engine, RETURNS) == [(1000, "R01")]
    assert done(engine, 3) == []
    assert len(done(engine, 45)) == 1
    assert rows_of(engine, RETURNS) == [(1000, "R01"), (500, "R10")]
    assert rows_of(engine, "SELECT returned FROM payment ORDER BY id") == [(1000,), (500,), (0,)]
    assert done(engine, 400) == []
    assert laws_hold(engine)


def test_what_was_refunded_comes_back_all_the_same_what_was_voided_does_not(
    engine: Engine, place: Place
) -> None:
    acts = "refund,,a,400,USD,,,,\nvoid,,b,,,,,,\n"
    run(engine, place, HEADER + debit("a", SOON) + debit("b", SOON) + acts)
    (batch_id,) = done(engine, 2)
    assert rows_of(engine, RETURNS) == [(1000, "R01")]
    told = rows_of(engine, f"SELECT message FROM outcome WHERE id >> 30 = {batch_id}")
    assert told == [("more was given back than was taken",)]
    assert laws_hold(engine)


def test_the_worker_makes_them(engine: Engine, place: Place) -> None:
    run(engine, place, HEADER + debit("a", SOON))
    worker._on_time(on_day(engine, 2), clock.returned_work)
    assert rows_of(engine, RETURNS) == [(1000, "R01")]


@pytest.mark.parametrize("mode", ["test", "live"])
def test_live_gates_return_nothing_by_themselves(engine: Engine, mode: str) -> None:
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate_values("other", mode=mode))
    place = find_place(engine, "local", "demo", "other")
    run(engine, place, HEADER + debit("a", SOON if mode == "test" else NEVER))
    with engine.database.transaction() as connection:
        connection.execute("UPDATE operation SET bank_code = %s", [SOON])
    assert len(done(engine, 2)) == (1 if mode == "test" else 0)
