"""The steps of a command: how long each took."""

import time


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
