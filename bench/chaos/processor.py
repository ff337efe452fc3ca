"""Processor: the sandbox in its own process, how it fails, and its books."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
_ANSWERS_SECONDS, _REFUSES_SECONDS_MAX = 60, 20


class Processor:
    """A sandbox that can be killed; its books stay, its port too."""

    def __init__(self, home: Path, seed: int, control: Mapping[str, Any]) -> None:
        self.home, self.seed, self.control = home, seed, dict(control)
        self.port = 0
        self.injected: Counter[str] = Counter()
        self._counted: dict[str, int] = {}
        self._lives = 0
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it where it was; each life draws other faults."""
        words = ["sandbox", "--home", str(self.home), "--port", str(self.port)]
        words += ["--seed", str(self.seed * 1_000 + self._lives)]
        self._lives += 1
        self.process = subprocess.Popen(
            [sys.executable, "-m", "paybatch", *words], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        found = _ADDRESS.search(self.process.stdout.readline())
        assert found, "the sandbox did not start"
        self.port = int(found[1])
        self._counted = {}
        self.tell(**self.control)

    def kill(self) -> None:
        """Kill it in the middle of whatever it does."""
        self.count()
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
        self.process.kill()
        self.process.wait()

    def tell(self, **control: Any) -> dict[str, Any]:
        """Make it behave otherwise; give how it behaves."""
        told: dict[str, Any] = json.loads(self.asked("control", control))
        return told

    def count(self) -> None:
        """Count the faults since the last time; a kill would forget them."""
        with suppress(OSError):
            now: dict[str, int] = self.tell()["injected"]
            self.injected.update({k: v - self._counted.get(k, 0) for k, v in now.items()})
            self._counted = now

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.count()
        self.control["rates"] = {}
        self.tell(rates={}, settle_seconds=0.1)

    def asked(self, page: str, told: Mapping[str, Any] | None = None) -> bytes:
        """Ask for a page, or post to it; also while it refuses connections for a while.

        Raises:
            OSError: It is dead, or refuses for too long.
        """
        body = None if told is None else json.dumps(told).encode()
        until = time.monotonic() + _REFUSES_SECONDS_MAX
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/{page}", body, _ANSWERS_SECONDS) as answer:
                    found: bytes = answer.read()
                    return found
            except OSError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def books(self) -> list[dict[str, Any]]:
        """Give every entry of its books."""
        return [json.loads(line) for line in self.asked("books").splitlines()]
