"""Helps tests to run the outside sandbox: a process, its control path and its books."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
USUAL = {
    "rates": {},
    "latency_ms": 0,
    "jitter_ms": 0,
    "late_seconds": 1.0,
    "hold_seconds": 120,
    "refuse_seconds": 0.5,
    "retry_after_seconds": 1,
    "settle_seconds": 0.2,
    "idempotency": True,
    "look_up": True,
    "callback_url": "",
}
_numbers = count(1)


class Outside:
    """A running sandbox."""

    def __init__(self, home: Path, *options: str, port: int = 0) -> None:
        command = [sys.executable, "-m", "paybatch", "sandbox", "--home", str(home)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), *options], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        found = ADDRESS.search(self.process.stdout.readline())
        assert found, "it did not start"
        self.url = found.group()
        self.port = int(self.url.rsplit(":", 1)[1])

    def asked(self, path: str, told: Mapping[str, Any] | None = None) -> bytes:
        """Ask for a page, or post to it."""
        body = None if told is None else json.dumps(told).encode()
        with urllib.request.urlopen(f"{self.url}/{path}", body, timeout=20) as answer:
            found: bytes = answer.read()
            return found

    def control(self, **told: Any) -> dict[str, Any]:
        """Make it behave otherwise; give how it behaves now."""
        found: dict[str, Any] = json.loads(self.asked("control", told))
        return found

    def lines(self, path: str) -> list[dict[str, Any]]:
        """Give a page of JSON lines."""
        return [json.loads(line) for line in self.asked(path).splitlines()]

    def entries(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Give what the books hold of these keys."""
        wanted = set(keys)
        return [each for each in self.lines("books") if each["key"] in wanted]

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as it wants to be ended; give its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def outside(home: Path, *options: str, port: int = 0) -> Iterator[Outside]:
    """Run a sandbox for a while."""
    running = Outside(home, *options, port=port)
    try:
        yield running
    finally:
        running.kill()


def calls(url: str, rows: int = 1, **told: Any) -> pl.DataFrame:
    """Make calls with keys that were never used: sales of 100 minor units, but for what is told."""
    start = next(_numbers)
    values = {
        "verb": "sale",
        "mode": "test",
        "amount_minor": 100,
        "currency": "USD",
        "masked": "411111******1111",
        "payment_key": None,
        "send_before_epoch": time.time() + 60,
        **dict.fromkeys(("cvv", "bank_code", "test_value", "payment_test_value")),
        **dict.fromkeys(("billing_postal_code", "voice_approval_code")),
        "setting_url": url,
        **told,
    }
    kinds = {"send_before_epoch": pl.Float64, "amount_minor": pl.Int64}
    columns = [
        pl.lit(value, kinds.get(name, pl.String)).alias(name) for name, value in values.items()
    ]
    table = pl.DataFrame({"operation": range(start * 1_000_000, start * 1_000_000 + rows)})
    key = pl.lit(f"{os.getpid()}-") + pl.col("operation").cast(pl.String)
    return table.with_columns(key.alias("key"), *columns)
