"""Calls in groups: one transaction for many, and what becomes of the others when one goes wrong."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from paybatch.flow.calls import group as grouping
from paybatch.flow.calls.call import Caller
from paybatch.flow.calls.waiting import Answer, Waiting
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.working import settle as settling
from paybatch.flow.working.settle import Settled
from paybatch.store.database import Connection, ConstraintError, Database, DatabaseGoneError, Row
from tests_support import laws_hold

SALE = {
    "kind": "sale",
    "amount_minor": "1000",
    "card_number": "4111111111111111",
    "card_expiry": "12/39",
}
SECONDS = 10
Calling = Future[Answer]


class Breaking(Database):
    """Commits, and then raises ``error`` once, when it is told to."""

    error: BaseException | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection[Row]]:
        with super().transaction() as connection:
            yield connection
            stored = connection.execute("SELECT count(*) FROM outcome").fetchone() != (0,)
        error, self.error = self.error if stored else None, None if stored else self.error
        if error is not None:
            raise error


@pytest.fixture
def breaking(engine: Engine) -> Iterator[Engine]:
    database = Breaking(engine.database.url)
    yield replace(engine, database=database)
    database.close()


def wait_until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.001)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """Give threads to call from; they are not waited for, so that what hangs fails."""
    threads = ThreadPoolExecutor(16)
    yield threads
    threads.shutdown(wait=False, cancel_futures=True)


def together(pool: ThreadPoolExecutor, caller: Caller, *calls: dict[str, str]) -> list[Calling]:
    """Make calls that fall into one group, in this order."""
    groups, leader = caller._open, Waiting({})
    wait_until(partial(is_idle, caller))
    groups._leader = leader
    made: list[Calling] = []
    for values in calls:
        made.append(pool.submit(caller.call, values))
        wait_until(lambda: len(groups._queue) == len(made))
    groups._leave(leader)
    return made


def told(calls: list[Calling]) -> list[Any]:
    """Give the answers to calls, or the errors they raise."""
    return [each.exception(SECONDS) or each.result() for each in calls]


def is_idle(caller: Caller) -> bool:
    return caller._open._leader is None and not caller._open._queue


def rows(engine: Engine, statement: str) -> list[Row]:
    with engine.database.transaction() as connection:
        return connection.execute(statement).fetchall()


@contextmanager
def held(engine: Engine, reference: str) -> Iterator[None]:
    """Hold the payment of this reference, as a chunk of a batch does."""
    with engine.database.transaction() as connection:
        connection.execute(
            "SELECT FROM payment AS p INNER JOIN operation AS o USING (merchant_id, id) "
            "WHERE o.reference = %s FOR UPDATE OF p",
            [reference],
        )
        yield


def refund(reference: str, amount: int = 1) -> dict[str, str]:
    return {"kind": "refund", "payment": reference, "amount_minor": str(amount)}


@pytest.mark.parametrize("error", [DatabaseGoneError("lost"), KeyboardInterrupt()])
def test_a_lost_answer_to_a_commit_is_told_to_all_and_nothing_is_done_again(
    breaking: Engine, place: Place, pool: ThreadPoolExecutor, error: BaseException
) -> None:
    caller = Caller(breaking, place)
    assert isinstance(breaking.database, Breaking)
    breaking.database.error = error
    calls = [{**SALE, "idempotency_key": f"k{n}"} for n in range(3)]
    assert told(together(pool, caller, *calls)) == [error] * 3
    assert rows(breaking, "SELECT captured FROM payment") == [(1000,)] * 3
    again = caller.call(calls[1])
    assert (again["state"], again["first_state"]) == ("replayed", "approved")
    assert is_idle(caller)
    assert laws_hold(breaking)


def test_a_silent_database_is_not_asked_for_each_call(
    engine: Engine, place: Place, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def settle(group: grouping.Group, *_: object, **__: object) -> None:
        asked.append(group.rows.height)
        raise ValueError if len(asked) == 1 else DatabaseGoneError

    monkeypatch.setattr(grouping.Group, "settle", settle)
    errors = told(together(pool, Caller(engine, place), *[SALE] * 4))
    assert [type(each) for each in errors] == [DatabaseGoneError] * 4
    assert asked == [4, 1]


def test_a_group_that_is_undone_is_done_singly(
    engine: Engine, place: Place, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = settling.store

    def refusing(engine: Engine, connection: Connection[Row], settled: list[Settled]) -> None:
        store(engine, connection, settled)
        if any(7 in each.outcomes["amount_minor"] for each in settled):
            raise ConstraintError("payment_rule", "a rule of the database")

    monkeypatch.setattr(grouping, "store", refusing)
    caller = Caller(engine, place)
    good, bad, other = told(together(pool, caller, SALE, {**SALE, "amount_minor": "7"}, SALE))
    assert (good["state"], other["state"]) == ("approved", "approved")
    assert isinstance(bad, ConstraintError)
    assert rows(engine, "SELECT captured FROM payment") == [(1000,)] * 2
    assert is_idle(caller)


def test_an_operation_without_an_outcome_is_undone_and_nobody_hangs(
    engine: Engine, place: Place, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grouping, "in_rounds", lambda *_, **__: [])
    caller = Caller(engine, place)
    errors = told(together(pool, caller, SALE, SALE))
    assert {type(each) for each in errors} == {KeyError}
    assert rows(engine, "SELECT FROM operation") == []
    monkeypatch.undo()
    assert told([pool.submit(caller.call, SALE)])[0]["state"] == "approved"


def test_equal_keys_in_a_group_get_the_first_answer(
    engine: Engine, place: Place, pool: ThreadPoolExecutor
) -> None:
    keyed = {**SALE, "idempotency_key": "k"}
    calls = together(pool, Caller(engine, place), keyed, keyed, {**keyed, "amount_minor": "7"})
    first, second, other = told(calls)
    assert (second["state"], second["first"]) == ("replayed", first["operation"])
    assert (second["status"], second["approved_minor"]) == ("captured", 1000)
    assert (other["state"], other["reason"]) == ("rejected", "key_conflict")
    assert rows(engine, "SELECT count(*) FROM payment") == [(1,)]


def test_a_held_payment_holds_up_its_own_calls_only(
    engine: Engine, place: Place, pool: ThreadPoolExecutor
) -> None:
    caller = Caller(engine, place)
    for name in ("one", "two", "free"):
        caller.call({**SALE, "reference": name})
    with held(engine, "one"):
        with held(engine, "two"):
            two = pool.submit(caller.call, refund("two"))
            one = pool.submit(caller.call, refund("one"))
            wait_until(lambda: len(caller._held) == 2)
            calls = together(pool, caller, refund("free"), refund("one", 30), SALE, refund("none"))
            free, sale, none = told([calls[0], *calls[2:]])
            assert (free["state"], sale["state"]) == ("approved", "approved")
            assert none["reason"] == "payment_unknown"
        assert told([two])[0]["state"] == "approved"
        assert not one.done()
        assert not calls[1].done()
    assert {each["state"] for each in told([one, calls[1]])} == {"approved"}
    assert rows(engine, "SELECT refunded FROM payment ORDER BY refunded") == [
        (0,),
        (1,),
        (1,),
        (31,),
    ]
    wait_until(lambda: not caller._held)
    assert laws_hold(engine)


def test_a_key_that_waits_for_its_payment_holds_up_nobody(
    engine: Engine, place: Place, pool: ThreadPoolExecutor
) -> None:
    caller = Caller(engine, place)
    caller.call({**SALE, "reference": "one"})
    keyed = {**refund("one"), "idempotency_key": "k"}
    with held(engine, "one"):
        first = pool.submit(caller.call, keyed)
        wait_until(lambda: len(caller._held) == 1)
        second = pool.submit(caller.call, keyed)
        other = pool.submit(caller.call, {**SALE, "idempotency_key": "k", "amount_minor": "7"})
        (sale,) = told([other])
        assert sale["state"] == "approved"
    states = [each["reason"] for each in told([first, second])]
    assert states == ["key_conflict"] * 2


def test_a_held_payment_is_waited_for_on_few_connections(
    engine: Engine, place: Place, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paybatch.flow.calls.call.HELD_MAX", 1)
    caller = Caller(engine, place)
    for name in ("one", "two"):
        caller.call({**SALE, "reference": name})
    with held(engine, "one"):
        one = pool.submit(caller.call, refund("one"))
        wait_until(lambda: caller._room._value == 0)
        with held(engine, "two"):
            two = pool.submit(caller.call, refund("two"))
            wait_until(lambda: len(caller._held) == 2)
        assert told([pool.submit(caller.call, SALE)])[0]["state"] == "approved"
    assert [each["state"] for each in told([one, two])] == ["approved"] * 2
