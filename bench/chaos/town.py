"""Town: where a run lives. A database, a processor, workers and a caller, each of which may die."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from bench.chaos import caller, timings
from bench.chaos.ambush import AMBUSH, AMBUSHES
from bench.chaos.mutants import MUTANT
from bench.chaos.plan import Plan
from bench.chaos.processor import Processor
from paybatch.flow.engine import Engine, open_engine
from paybatch.settings import Settings
from paybatch.site.migrate import migrate
from paybatch.store import directory, embedded
from paybatch.store.database import DatabaseBusyError, DatabaseGoneError

_SMALL = {"shared_buffers": "128MB", "max_wal_size": "1GB", "max_connections": "200"}
_PATIENCE_SECONDS = 90
_ERROR = re.compile(r"(?:error=|^[\w.]*?)([A-Z]\w*(?:Error|Exception|Violation)\b)", re.MULTILINE)
# What a database that was killed makes workers say.
_EXPECTED = {"DatabaseGoneError", "OperationalError", "ConnectorException", "PoolTimeout"}
_ABOVE = 12
_ROOT = Path(__file__).resolve().parents[2]
Found = TypeVar("Found")


class Town:
    """The processes of a run. Not for several threads at once."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.chance = random.Random(f"{plan.seed}/harm")
        self.harms: Counter[str] = Counter()
        self.home, self.done = folder / "home", folder / "calls.done"
        self.done.touch()
        os.environ.update(_environment(plan))
        timings.hasten()
        self.url = embedded.start(self.home, settings=_SMALL)
        migrate(self.url)
        settings = Settings(database_url=self.url, home=self.home, patience_seconds=0)
        self.engine = open_engine(settings)
        # Where keys are not looked at, what is done later than this is nobody's who asks in time.
        late = plan.timeout_seconds * (2 if plan.has_keys else 1.5)
        control: dict[str, Any] = {"late_seconds": late, "hold_seconds": 10}
        control["retry_after_seconds"] = 0  # a hold of the whole gate, and nothing would go wrong
        control |= {"refuse_seconds": 1.0, "settle_seconds": 1.0, "latency_ms": plan.latency_ms}
        control["jitter_ms"] = 3 * plan.latency_ms
        control |= {"rates": plan.rates, "idempotency": plan.has_keys}
        self.processor = Processor(folder / "processor", plan.seed, control)
        set_up(self.engine, self.processor.url)
        self.workers: list[subprocess.Popen[str]] = []
        self.caller: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Start the workers, and the caller."""
        self.workers = [self._worker(number) for number in range(self.plan.workers)]
        if self.plan.calls:
            self.caller = self._process("caller", "bench.chaos.caller", str(self.done))

    def _worker(self, number: int) -> "subprocess.Popen[str]":
        how = "queue" if number % 2 else "sweep"
        return self._process(f"worker-{number}", "bench.chaos.worker", how)

    def _process(self, name: str, module: str, *words: str) -> "subprocess.Popen[str]":
        environment = {
            **os.environ,
            "PAYBATCH_DATABASE_URL": self.url,
            "PAYBATCH_HOME": str(self.home),
            "PAYBATCH_CHUNK_ROWS": str(self.plan.chunk_rows),
            "PAYBATCH_PATIENCE_SECONDS": "0.3",
            "POLARS_MAX_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(_ROOT / "src"), str(_ROOT)]),
            AMBUSH: json.dumps([self.plan.ambushes, str(self.folder)]),
            MUTANT: self.plan.mutant,
        }
        with (self.folder / f"{name}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", module, *words],
                env=environment,
                stdout=log,
                stderr=log,
                text=True,
            )

    def tend(self) -> None:
        """Start what has died again."""
        for number, each in enumerate(self.workers):
            if each.poll() is not None:
                self.workers[number] = self._worker(number)
        if self.caller is not None and self.caller.poll():
            self.caller = self._process("caller", "bench.chaos.caller", str(self.done))
        if self.processor.process.poll() is not None:
            self.processor.start()
        if not embedded.is_up(self.home):
            embedded.start(self.home, settings=_SMALL)

    def calls_are_done(self) -> bool:
        """Tell whether the caller has the answers to all of its calls."""
        return self.caller is None or self.caller.poll() == 0

    def asked(self, step: Callable[[], Found]) -> Found:
        """Take a step with the database, also when it is away for a while."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return step()
            except (DatabaseGoneError, DatabaseBusyError):
                if time.monotonic() > until:
                    raise
                self.tend()
                time.sleep(0.2)

    def count_ambushes(self) -> None:
        """Count what happened at the worst places as harm."""
        for name in AMBUSHES:
            self.harms[name] = len(list(self.folder.glob(f"{name}.*")))

    def errors(self) -> Counter[str]:
        """Count the errors that workers and caller told, by their classes."""
        told = "".join(each.read_text() for each in self.folder.glob("*.log"))
        return Counter(_ERROR.findall(told))

    def unexpected(self) -> list[str]:
        """Give what was told of errors that no harm explains, with the lines above."""
        found = []
        for each in sorted(self.folder.glob("*.log")):
            lines = each.read_text().splitlines()
            for number, line in enumerate(lines):
                if any(name not in _EXPECTED for name in _ERROR.findall(line)):
                    found.append(
                        "\n".join([each.name, *lines[max(number - _ABOVE, 0) : number + 1]])
                    )
        return found

    def end_processes(self) -> None:
        """End workers and caller as they want to be ended, or otherwise."""
        some = [*self.workers, *([self.caller] if self.caller else [])]
        for each in some:
            each.send_signal(signal.SIGCONT)
            each.kill()
        for each in some:
            each.wait()

    def end(self) -> None:
        """End everything."""
        self.end_processes()
        self.processor.stop()
        self.engine.close()
        with suppress(embedded.EmbeddedError):
            embedded.stop(self.home)


def _environment(plan: Plan) -> dict[str, str]:
    return {
        timings.TIMEOUT: str(plan.timeout_seconds),
        timings.LEASE: str(plan.lease_seconds),
        timings.CLAIM_ROWS: str(plan.claim_rows),
        timings.KEYS: "1" if plan.has_keys else "0",
        caller.CALLS: json.dumps([plan.seed, plan.calls, plan.files, plan.rows]),
    }


def set_up(engine: Engine, url: str) -> None:
    """Make a merchant whose gate is outside."""
    gate = {"merchant": "demo", "name": "outside", "connector": "sandbox_http", "mode": "test"}
    values = {**gate, "currencies": ["USD"], "zone": "UTC", "cut_off": "00:00"}
    values |= {"capabilities": "{}", "settings": json.dumps({"url": url})}
    with engine.database.transaction() as connection:
        directory.add_sender(connection, "local")
        directory.add_merchant(connection, "demo", "Demo merchant", "local")
        directory.add_gate(connection, values)


@contextmanager
def opened_town(plan: Plan) -> Iterator[Town]:
    """Make a town for a run; it ends with all of its processes, and its folder is deleted."""
    folder = Path(tempfile.mkdtemp(prefix="paybatch-chaos-"))
    folder.chmod(0o711)  # the server's own user must be able to pass
    town = Town(folder, plan)
    try:
        yield town
    finally:
        town.end()
        if not os.environ.get("CHAOS_KEEP"):
            shutil.rmtree(folder, ignore_errors=True)
