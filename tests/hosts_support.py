"""Hosts with a worker each: homes of their own with the same keys, one database, one processor."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.chaos import timings

from conftest import gate_values
from outside_support import CARD, hand_in
from paybatch.flow.engine import Engine, open_engine
from paybatch.settings import Settings
from paybatch.store import directory
from sandbox_support import Outside
from server_support import OWNER, WORKER, Server

PATIENCE_SECONDS = 40  # of waits for what must come; a quiet machine needs a few seconds
TIMEOUT_SECONDS, LEASE_SECONDS, CLAIM_ROWS = 2.0, 1.0, 2_000
# A session that stands still in a transaction ends after this, so that no test waits for minutes.
OPTIONS = "-c idle_in_transaction_session_timeout=4000"
_ROOT = Path(__file__).parents[1]
_WATCHED = re.compile(r"http://127\.0\.0\.1:\d+")
DOUBTS = "SELECT count(*) FROM attempt WHERE state IN ('unknown', 'person')"
_HELD = """
SELECT count(*) FROM chunk AS c
INNER JOIN pg_locks AS h
    ON h.locktype = 'advisory' AND h.objsubid = 1
    AND (h.classid::bigint << 32 | h.objid::bigint) = c.holder
INNER JOIN pg_stat_activity AS s ON h.pid = s.pid
WHERE c.state = 'sending' AND s.application_name = %s
"""

_HOW_IT_STANDS = (
    "SELECT id, state FROM batch",
    "SELECT number, state, attempt, deadline_at, now() FROM chunk WHERE state <> 'done'",
    "SELECT state, looks, count(*), min(next_look_at) FROM attempt GROUP BY 1, 2",
    "SELECT id, task_name, status FROM procrastinate_jobs WHERE status <> 'succeeded'",
    """
    SELECT pid, application_name, state, wait_event, pg_blocking_pids(pid), state_change, query
    FROM pg_stat_activity WHERE datname = current_database()
    """,
)


def until(found: Callable[[], Any], what: str) -> Any:
    """Wait until something is found, and give it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not (seen := found()):
        assert time.monotonic() < end, f"it never came to this: {what}"
        time.sleep(0.05)
    return seen


class Host:
    """A worker in a process of its own."""

    def __init__(self, name: str, url: str, home: Path, blobs: Path, **settings: object) -> None:
        self.name, self.log = name, home / "worker.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PAYBATCH_")}
        environment |= {
            "PAYBATCH_DATABASE_URL": url,
            "PAYBATCH_HOME": str(home),
            "PAYBATCH_BLOB_URL": str(blobs),
            "PAYBATCH_CHUNK_ROWS": "20",
            "PAYBATCH_PATIENCE_SECONDS": "0.3",
            "POLARS_MAX_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)]),
            timings.TIMEOUT: str(TIMEOUT_SECONDS),
            timings.CLAIM_ROWS: str(CLAIM_ROWS),
            timings.LEASE: str(LEASE_SECONDS),
            timings.KEYS: "1",
            **{f"PAYBATCH_{key.upper()}": str(value) for key, value in settings.items()},
        }
        words = [sys.executable, str(_ROOT / "tests" / "machines" / "host.py")]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*words, "worker", "--port", "0", "--log-json"],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.page = until(self._page, f"{name} says where it is watched").group()

    def _page(self) -> re.Match[str] | None:
        assert self.process.poll() is None, self.log.read_text()
        return _WATCHED.search(self.log.read_text())

    def asked(self, path: str) -> int:
        """Give the status of a page; 0 = none came."""
        try:
            with urllib.request.urlopen(f"{self.page}{path}", timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.asked("/ready") == 200

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        """End it however it stands."""
        with suppress(ProcessLookupError):
            self.send(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


class House:
    """A database, an account at the processor, and hosts that come and go."""

    def __init__(self, server: Server, processor: Outside, folder: Path, name: str) -> None:
        self.server, self.processor, self.folder, self.name = server, processor, folder, name
        with server.admin("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE paybatch OWNER {OWNER}")
        self.blobs = folder / "blobs"
        first = folder / "first"
        self.engine: Engine = open_engine(
            Settings(
                database_url=self.url("office"),
                home=first,
                blob_url=str(self.blobs),
                chunk_rows=20,
            )
        )
        self.engine.stopping.set()  # the office hands in and asks; the hosts do the work
        with self.engine.database.transaction() as connection:
            directory.add_sender(connection, "local")
            directory.add_merchant(connection, "demo", "Demo merchant", "local")
            told = json.dumps({"url": f"{processor.url}/{name}"})
            values = gate_values("outside", connector="sandbox_http", settings=told)
            directory.add_gate(connection, values)
        self.hosts: list[Host] = []

    def url(self, name: str, **parts: Any) -> str:
        """Give the database's address for a host."""
        usual = {"dbname": self.name, "application_name": name, "options": OPTIONS}
        return self.server.url(WORKER, **{**usual, **parts})

    def host(self, name: str, **parts: Any) -> Host:
        """Bring up a host with a home of its own and the first one's keys; wait until it works."""
        home = self.folder / name
        home.mkdir()
        shutil.copytree(self.folder / "first" / "keys", home / "keys")
        found = Host(name, self.url(name, **parts), home, self.blobs)
        self.hosts.append(found)
        until(found.is_ready, f"{name} is ready")
        return found

    def hand_in(self, rows: int) -> int:
        """Hand in a batch that the hosts work; give its number."""
        lines = "".join(f"sale,{100 + number},USD,{CARD},,\n" for number in range(rows))
        batch = hand_in(self.engine, lines)
        assert batch.state == "running"
        return int(batch.id)

    def asked(self, query: str, *values: object) -> Any:
        """Ask the database for one value, past every role and link."""
        with self.server.admin(self.name) as connection:
            row = connection.execute(query, values).fetchone()
        assert row is not None
        return row[0]

    def effects(self) -> list[dict[str, Any]]:
        """Give what stands in the processor's books of this house."""
        return [each for each in self.processor.lines("books") if each["account"] == self.name]

    def held_by(self, host: Host) -> int:
        """Give how many chunks a host has under way."""
        return int(self.asked(_HELD, host.name))

    def stop_in_the_middle(self, host: Host) -> None:
        """Let a host stand still while it has calls under way."""

        def stopped() -> bool:
            host.send(signal.SIGSTOP)
            if self.held_by(host) and len(self.effects()) > 20:
                return True
            host.send(signal.SIGCONT)
            return False

        until(stopped, f"{host.name} stands still in the middle")

    def completed(self, batch_id: int) -> None:
        """Wait until a batch is completed."""

        def is_over() -> bool:
            state = self.asked("SELECT state FROM batch WHERE id = %s", batch_id)
            return state == "completed"

        try:
            until(is_over, f"batch {batch_id} is completed")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.told()}") from None

    def told(self) -> str:
        """Say how everything stands, for one who looks for a fault."""
        lines = []
        with self.server.admin(self.name) as connection:
            for query in _HOW_IT_STANDS:
                lines += [str(row) for row in connection.execute(query).fetchall()]
        for each in self.hosts:
            lines += [each.name, *each.log.read_text().splitlines()[-20:]]
        return "\n".join(lines)

    def close(self) -> None:
        """End everything."""
        for each in self.hosts:
            each.end()
        self.engine.close()
        with self.server.admin("postgres") as connection:
            connection.execute(f"DROP DATABASE {self.name} WITH (FORCE)")


def one_effect_per_row(house: House, rows: int) -> bool:
    """Hold the processor's books against ours."""
    effects = house.effects()
    keys = [each["key"] for each in effects]
    assert (len(effects), len(set(keys))) == (rows, rows)
    assert {each["status"] for each in effects} == {"approved"}
    amounts = sorted(each["approved_minor"] for each in effects)
    assert amounts == [100 + number for number in range(rows)]
    approved = "SELECT count(*) FROM outcome WHERE state = 'approved'"
    assert house.asked(approved) == house.asked("SELECT count(*) FROM outcome") == rows
    assert house.asked("SELECT sum(approved_minor) FROM outcome") == sum(amounts)
    assert house.asked("SELECT sum(captured) FROM payment") == sum(amounts)
    assert house.asked("SELECT count(*) FROM payment") == rows
    tally = "SELECT coalesce(sum(row_count), 0) FROM tally WHERE state = %s"
    states = ("approved", "unknown", "sending", "queued")
    assert [int(house.asked(tally, each)) for each in states] == [rows, 0, 0, 0]
    assert house.asked(DOUBTS) == 0
    return True
