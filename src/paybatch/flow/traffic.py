"""Traffic: what this process has seen of calls outside; safe to use from many threads."""

import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

RECENT_SECONDS = 5.0  # so far back is seen how many calls were refused, and how fast they went
BRIEF_SECONDS = 0.5  # of less than this no rate is told
CLEAR_SECONDS = 1.0  # so long nobody asks again whether something is in the way
BOUNDS_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True)
class Came:
    """Replies that came together: when their calls left, how many were taken and refused."""

    at: datetime
    began_at: datetime
    taken: int
    refused: int


@dataclass
class Seen:
    """The calls of a gate: how they ended, how long they took, and failures in a row."""

    ended: Counter[str] = field(default_factory=Counter)
    within: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    seconds: float = 0.0
    in_a_row: int = 0
    clear_until: float = 0.0
    recent: deque[Came] = field(default_factory=deque)


class Traffic:
    """What became of calls, by gate."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gates: dict[int, Seen] = {}

    def _of(self, gate_id: int) -> Seen:
        return self._gates.setdefault(gate_id, Seen())

    def count(self, gate_id: int, ended: Mapping[str, int], seconds: float) -> None:
        """Count calls that ended so, together, after so long."""
        calls = sum(ended.values())
        with self._lock:
            seen = self._of(gate_id)
            seen.ended.update(ended)
            seen.within[bisect_left(BOUNDS_SECONDS, seconds)] += calls
            seen.seconds += seconds * calls

    def come(self, gate_id: int, came: Came) -> None:
        """Note replies, and forget those of long ago."""
        long_ago = came.at - timedelta(seconds=RECENT_SECONDS)
        with self._lock:
            recent = self._of(gate_id).recent
            recent.append(came)
            while recent[0].at < long_ago:
                recent.popleft()

    def of_late(
        self, gate_id: int, now: datetime, since: datetime | None
    ) -> tuple[int, int, float]:
        """Give how many calls that left ``since`` then were taken and refused, and how fast."""
        long_ago = now - timedelta(seconds=RECENT_SECONDS)
        with self._lock:
            known = list(self._of(gate_id).recent)
        found = [each for each in known if since is None or each.began_at >= since]
        began = max(min((each.began_at for each in found), default=now), long_ago)
        seconds = max((now - began).total_seconds(), BRIEF_SECONDS)
        taken = sum(each.taken for each in found)
        return taken, sum(each.refused for each in found), taken / seconds

    def failed(self, gate_id: int, count: int, *, after_success: bool) -> int:
        """Add failures to those in a row, or begin a new row; give how many there are."""
        with self._lock:
            seen = self._of(gate_id)
            seen.in_a_row = count + (0 if after_success else seen.in_a_row)
            return seen.in_a_row

    def is_clear(self, gate_id: int) -> bool:
        """Tell whether nothing was in the way of a gate's calls a moment ago."""
        with self._lock:
            return self._of(gate_id).clear_until > time.monotonic()

    def clear(self, gate_id: int, *, is_clear: bool) -> None:
        """Note whether something is in the way of a gate's calls."""
        with self._lock:
            until = time.monotonic() + CLEAR_SECONDS if is_clear else 0.0
            self._of(gate_id).clear_until = until

    def seen(self) -> dict[int, Seen]:
        """Give what was seen so far, by gate."""
        with self._lock:
            return {
                gate_id: Seen(Counter(each.ended), list(each.within), each.seconds)
                for gate_id, each in self._gates.items()
            }
