"""The steps of a command: how long each took."""

import time
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Took:
    """What a command has done: how many rows, and the seconds of each of its steps."""

    rows: int
    steps: Mapping[str, float]

    def __str__(self) -> str:
        seconds = sum(self.steps.values())
        noun = "row" if self.rows == 1 else "rows"
        rate = self.rows / max(seconds, 0.001)
        return f"{self.rows:,} {noun} in {seconds:.1f} s, {rate:,.0f} rows/s"


class Steps:
    """Takes the time of steps that follow each other; the first, ``open``, begins at once."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._name = "open"
        self._began = time.monotonic()

    def begin(self, name: str) -> None:
        """End the step before and begin this one; a step that comes again goes on."""
        now = time.monotonic()
        self._seconds[self._name] = self._seconds.get(self._name, 0) + now - self._began
        self._name, self._began = name, now

    def seconds(self) -> dict[str, float]:
        """Give the seconds of each step so far, in the order in which they began."""
        self.begin(self._name)
        return dict(self._seconds)
