"""The ``paybatch`` command, run as a user runs it: a process of its own, timed and watched."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.house import House
from bench.memory import Peaks, watched
from paybatch.store import embedded


@dataclass(frozen=True)
class Ran:
    """How a command went: its seconds on the wall, what it printed and its peaks of memory."""

    seconds: float
    words: str
    peaks: Peaks

    @property
    def answer(self) -> dict[str, Any]:
        """What ``--json`` printed."""
        found: dict[str, Any] = json.loads(self.words)
        return found

    @property
    def steps(self) -> dict[str, float]:
        """Seconds of each step of `paybatch run`; ``start`` is all that comes before the first."""
        steps: dict[str, float] = self.answer["steps"]
        return {"start": self.seconds - sum(steps.values()), **steps}


class CommandError(Exception):
    """A command that is measured failed; a figure of it would mean nothing."""


def paybatch(house: House, *words: str, settings: Mapping[str, str] | None = None) -> Ran:
    """Run the command in a house; ``settings`` are further variables of its environment."""
    command = [str(Path(sys.executable).with_name("paybatch")), *words]
    return timed(house, command, settings or {})


def timed(house: House, command: list[str], settings: Mapping[str, str]) -> Ran:
    """Run a program in a house, in a process of its own.

    Raises:
        CommandError: It did not end with 0.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**house.environment, **settings},
        cwd=house.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with watched(process.pid, embedded.status(house.home).pid) as peaks:
        words, troubles = process.communicate()
    seconds = time.monotonic() - started
    if process.returncode:
        raise CommandError(f"{' '.join(command)} ended with {process.returncode}: {troubles}")
    return Ran(seconds, words, peaks)


def run_file(house: House, path: Path, **settings: str) -> Ran:
    """Carry out a file with `paybatch run --json`; its result is beside it."""
    return paybatch(house, "run", str(path), "--json", "--again", settings=settings)


def result_of(path: Path) -> Path:
    """Name the result file of an input."""
    return path.with_name(f"{path.stem}.results.csv")
