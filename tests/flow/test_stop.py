"""A worker that is told to stop claims nothing more, and leaves nothing half done."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest

from conftest import gate_values
from outside_support import CARD, Model, hand_in, outcomes
from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import Place
from paybatch.flow.sending.outward import Outward
from paybatch.flow.worker import take_on
from paybatch.store import directory
from tests_support import laws_hold

ROWS = "".join(f"sale,{i},USD,{CARD},,\n" for i in range(1, 201))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    return found


def test_what_waits_for_its_turn_goes_back(engine: Engine, model: Model) -> None:
    timed = replace(engine, clock=lambda: datetime.now(UTC))
    with timed.database.transaction() as connection:
        values = gate_values("slow", capabilities='{"calls_per_second": 20}')
        directory.add_gate(connection, values)
        directory.set_default_gate(connection, "demo", "slow")

    def send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        if len(model.calls) > 20:
            timed.stopping.set()
        yield from model.send(calls)

    registry.connectors()["sandbox"] = replace(model.connector(), send=send)
    done = hand_in(timed, ROWS)
    assert done.state == "running"
    sent = model.done
    assert 20 < sent < 100
    assert len(outcomes(timed)) == sent
    with timed.database.transaction() as connection:
        assert connection.execute("SELECT count(*) FROM payment").fetchone() == (sent,)
        query = "SELECT count(*) FROM chunk WHERE state = 'sending'"
        assert connection.execute(query).fetchone() == (0,)
        query = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"
        before = connection.execute(query).fetchone()
    take_on(timed, done.id)  # a job that ends while its worker stops says that there is work
    with timed.database.transaction() as connection:
        assert connection.execute(query).fetchone() == ((before or (0,))[0] + 1,)
        directory.set_default_gate(connection, "demo", "sandbox")
        connection.execute("UPDATE gate SET capabilities = '{}'")
    timed.stopping.clear()
    registry.connectors()["sandbox"] = model.connector()
    assert batches.go_on(timed, done.id).state == "completed"
    assert (model.done, len(model.calls)) == (200, 200)
    assert laws_hold(timed)


def test_a_stopped_engine_claims_nothing(engine: Engine, model: Model) -> None:
    engine.stopping.set()
    done = hand_in(engine, ROWS)
    assert (load_batch(engine, done.id).state, model.calls) == ("running", [])


def test_a_worker_process_answers_on_its_port_and_ends_at_sigterm(engine: Engine) -> None:
    environment = {**os.environ, "PAYBATCH_DATABASE_URL": str(engine.settings.database_url)}
    environment["PAYBATCH_HOME"] = str(engine.settings.home)
    words = [sys.executable, "-m", "paybatch", "worker", "--port", "0", "--log-json"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        found = re.search(r"http://127\.0\.0\.1:\d+", lines[0])
        assert found, lines
        while not lines[-1].startswith("Working"):
            lines.append(process.stderr.readline())
        with urllib.request.urlopen(f"{found.group()}/ready", timeout=20) as answer:
            assert answer.read() == b"ready\n"
        with urllib.request.urlopen(f"{found.group()}/metrics", timeout=20) as answer:
            assert b"paybatch_queue_rows" in answer.read()
        killer = threading.Timer(30, process.kill)
        killer.start()
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate()
        killer.cancel()
    finally:
        process.kill()
    assert process.returncode == 0
    told = [json.loads(line) for line in rest.splitlines() if line.startswith("{")]
    assert told[-1]["event"] == "stopped"
    assert {"level", "timestamp"} <= set(told[-1])


def test_who_waits_for_a_turn_sees_that_the_worker_stops(engine: Engine, place: Place) -> None:
    engine.stopping.set()
    began = time.monotonic()
    assert not Outward(engine, place, engine.clock())._waited(60.0)
    assert time.monotonic() - began < 30
    engine.stopping.clear()
