"""What a worker tells on its port."""

import urllib.error
import urllib.request
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from outside_support import CARD, SALE, Clock, Model, clocked, hand_in
from paybatch import registry
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.watch import watched

AT = (("gate", "sandbox"), ("merchant", "demo"))
Told = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0, 0.0))
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return found


@pytest.fixture
def timed(engine: Engine) -> tuple[Engine, Clock]:
    return clocked(engine)


def asked(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metrics(port: int) -> Told:
    status, text = asked(port, "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_tell_queue_calls_doubts_and_breakers(
    timed: tuple[Engine, Clock], place: Place, model: Model
) -> None:
    engine, clock = timed
    rows = "".join(f"sale,{i},USD,{CARD},,\n" for i in range(1, 41))
    with watched(engine, "127.0.0.1", 0) as port:
        assert metrics(port)[("paybatch_queue_rows", (("state", "loaded"),))] == 0
        hand_in(engine, f"{rows}sale,50,USD,4000000000000002,12/39,,\n")
        model.loses = model.is_deaf = True
        Caller(engine, place).call({**SALE, "amount_minor": "77"})
        model.loses, model.is_busy = False, True
        hand_in(engine, rows)
        clock.now += timedelta(minutes=2)
        told = metrics(port)
    outcomes = {
        dict(labels)["outcome"]: value
        for (name, labels), value in told.items()
        if name == "paybatch_calls_total"
    }
    assert (outcomes["approved"], outcomes["declined"], outcomes["unknown"]) == (40, 1, 1)
    assert outcomes["not_taken"] >= 20
    assert told[("paybatch_call_seconds_count", AT)] == sum(outcomes.values())
    assert told[("paybatch_call_seconds_bucket", (AT[0], ("le", "+Inf"), AT[1]))] == sum(
        outcomes.values()
    )
    assert told[("paybatch_queue_rows", (("state", "loaded"),))] == 40
    assert told[("paybatch_batches", (("state", "paused"),))] == 1
    assert told[("paybatch_breaker_open", AT)] == 1
    assert told[("paybatch_unknown_calls", (*AT, ("state", "unknown")))] == 1
    assert told[("paybatch_unknown_oldest_seconds", (*AT, ("state", "unknown")))] == 120


def test_health_and_readiness(engine: Engine) -> None:
    with watched(engine, "127.0.0.1", 0) as port:
        assert asked(port, "/health") == (200, "ok\n")
        assert asked(port, "/ready") == (200, "ready\n")
        assert asked(port, "/")[0] == 404
        engine.stopping.set()
        assert asked(port, "/ready") == (503, "stopping\n")
        assert asked(port, "/health")[0] == 200


def test_without_its_database_a_worker_is_not_ready(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paybatch.store.database.CONNECT_TIMEOUT_SECONDS", 1)
    with watched(engine, "127.0.0.1", 0) as port:
        engine.database.close()
        assert asked(port, "/ready")[0] == 503
        assert asked(port, "/metrics")[0] == 503
        assert asked(port, "/health")[0] == 200
