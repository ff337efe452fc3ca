"""Calls go out as fast as gate and processor allow, whoever sends them."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from conftest import gate_values
from outside_support import CARD, HEADER, REQUEST, SALE, Model, hand_in, outcomes
from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, find_place
from paybatch.store import directory, paces
from tests_support import laws_hold

HEADER_ROWS = "sale,{},USD," + CARD + ",,\n"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    return found


@pytest.fixture
def timed(engine: Engine) -> Engine:
    return replace(engine, clock=lambda: datetime.now(UTC))


@pytest.fixture
def limited(timed: Engine) -> Engine:
    """Let the default gate take forty calls a second."""
    with timed.database.transaction() as connection:
        values = gate_values("slow", capabilities='{"calls_per_second": 40}')
        directory.add_gate(connection, values)
        directory.set_default_gate(connection, "demo", "slow")
    return timed


def sales(count: int, first: int = 1) -> str:
    return "".join(HEADER_ROWS.format(first + i) for i in range(count))


def seconds_of(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_a_batch_keeps_to_the_rate_of_its_gate(limited: Engine, model: Model) -> None:
    took = seconds_of(lambda: hand_in(limited, sales(120)))
    assert model.done == 120
    assert max(model.sends) <= 20
    assert 2.0 <= took < 60.0  # 40 at once at most, then 40 a second
    assert laws_hold(limited)


def test_two_batches_share_the_rate(limited: Engine, model: Model) -> None:
    def both() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda first: hand_in(limited, sales(60, first)), (1, 101)))

    took = seconds_of(both)
    assert model.done == 120
    assert 2.0 <= took < 60.0


def test_gates_share_the_rate_of_their_processor(
    timed: Engine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    connector = replace(model.connector(), calls_per_second=40.0)
    monkeypatch.setitem(registry.connectors(), "sandbox", connector)
    rows = "".join(
        f"sale,{i + 1},USD,{CARD},,,{gate}\n" for i in range(60) for gate in ("sandbox", "many")
    )
    text = HEADER.replace("payment\n", "payment,gate\n") + rows
    place = find_place(timed, "local")
    took = seconds_of(lambda: batches.run(timed, place, [text.encode()], REQUEST))
    assert model.done == 120
    assert 2.0 <= took < 60.0


def test_single_calls_go_first(limited: Engine, model: Model) -> None:
    caller = Caller(limited, find_place(limited, "local"))
    with ThreadPoolExecutor(1) as pool:
        batch = pool.submit(hand_in, limited, sales(160))
        while not model.calls:
            time.sleep(0.01)
        worst = max(
            seconds_of(lambda: caller.call({**SALE, "amount_minor": "777"})) for _ in range(5)
        )
        assert not batch.done()
        batch.result()
    assert worst < 2.0
    assert model.done == 165


def test_too_many_requests_slow_the_gate_down_and_lose_nothing(
    timed: Engine, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.retry_after_seconds, model.busy_after = 1, 30
    began = time.monotonic()

    def send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        if model.sends:
            model.busy_after = None  # it relents
        yield from model.send(calls)

    connector = replace(model.connector(), send=send)
    monkeypatch.setitem(registry.connectors(), "sandbox", connector)
    done = hand_in(timed, sales(60))
    assert done.state == "completed"
    assert (model.done, len(outcomes(timed))) == (60, 60)
    assert time.monotonic() - began > 1.0
    assert len(model.calls) < 100  # nobody hammered
    with timed.database.transaction() as connection:
        (bucket,) = paces.read_paces(connection, [f"gate:{done.gate_id}"])
    assert bucket.per_second is None
    assert bucket.slowed_per_second is not None


@pytest.mark.parametrize("way", ["file", "calls"])
def test_a_processor_that_refuses_a_call_now_and_then_is_not_slowed_down(
    timed: Engine, model: Model, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """One in fifty: what was refused goes again, and everything else as fast as before."""
    met: list[str] = []
    model.retry_after_seconds = 0

    def send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        for call in calls.iter_slices(1):
            met.append(call["key"][0])
            model.is_busy = len(met) % 50 == 20
            yield from model.send(call)

    monkeypatch.setitem(registry.connectors(), "sandbox", replace(model.connector(), send=send))
    place = find_place(timed, "local")
    if way == "file":
        assert hand_in(timed, sales(150)).state == "completed"
    else:
        caller = Caller(timed, place)
        told = [caller.call({**SALE, "amount_minor": str(1_000 + i)}) for i in range(75)]
        assert {each["state"] for each in told} == {"approved"}
    assert model.done == (150 if way == "file" else 75)
    assert len(met) > model.done  # some were refused
    with timed.database.transaction() as connection:
        (bucket,) = paces.read_paces(connection, [f"gate:{place.gate_id}"])
    assert bucket.slowed_at is None
    assert laws_hold(timed)


def test_without_limits_nothing_is_written(timed: Engine, model: Model, place: Place) -> None:
    hand_in(timed, sales(10))
    Caller(timed, place).call({**SALE, "amount_minor": "777"})
    assert timed.traffic.is_clear(place.gate_id)
    with timed.database.transaction() as connection:
        assert connection.execute("SELECT * FROM pace").fetchall() == []
        assert connection.execute("SELECT * FROM breaker").fetchall() == []
