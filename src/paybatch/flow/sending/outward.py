"""Outward: calls go out at the pace of their gates, as long as their processors answer.

What a processor does not take goes out again with the same key, some time later. When too many
calls in a row are not answered the breaker of the gate opens: what did not go out by then is given
back, and nobody asks until its time has come.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from paybatch.domain.connector import LOOK_UP
from paybatch.domain.few import distinct, is_among, where, without
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.sending.asking import asked
from paybatch.flow.sending.passing import (
    Pass,
    answered,
    is_taken,
    is_too_busy,
    passing,
    shut,
    slow_down,
    watched,
)
from paybatch.flow.traffic import Came
from paybatch.flow.working.sender import Sender
from paybatch.store.breakers import Breaker

TRIES_SECONDS = (0.1, 0.3, 1.0, 3.0, 5.0)
STEP_SECONDS = 1.0  # of a longer wait: then it is seen whether to go on
BRIEF_SECONDS = 0.05
PART_ROWS_MIN = 100


def _always() -> bool:
    return True


@dataclass
class _Told:
    """What calls that went together were told."""

    taken: set[int] = field(default_factory=set)
    refused: pl.DataFrame = field(default_factory=pl.DataFrame)
    has_good: bool = False
    is_busy: bool = False
    opened: Breaker | None = None


@dataclass
class Outward:
    """Calls on their way out; ``goes_on`` is asked while they wait for their turn.

    ``since`` is when it was known last that they are ours to send; ``breaker`` is the one that
    ended it early. ``is_single`` calls go before those of batches and wait so long at most.
    """

    engine: Engine
    place: Place
    since: datetime
    goes_on: Callable[[], bool] = _always
    is_single: bool = False
    patience_seconds: float | None = None
    breaker: Breaker | None = field(default=None, init=False)

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Send calls that are prepared; give the replies as they come.

        Calls that were not taken have none. Never inside a transaction.
        """
        is_query = is_among(calls["verb"], [LOOK_UP])
        if is_query.any():
            yield asked(self.engine, where(calls, is_query))
            calls = where(calls, ~is_query)
        for gate_id in distinct(calls["gate_id"]):
            yield from self._at_gate(gate_id, where(calls, is_among(calls["gate_id"], [gate_id])))

    def _at_gate(self, gate_id: int, rest: pl.DataFrame) -> Iterator[pl.DataFrame]:
        part_rows = max(2 * self.place.connector(gate_id).calls_in_flight, PART_ROWS_MIN)
        has_sent = False
        tries, until = 0, time.monotonic() + (self.patience_seconds or 0)
        while not rest.is_empty():
            if self.engine.stopping.is_set() and not self.is_single:
                break
            turn = self._turn(gate_id, min(rest.height, part_rows))
            if turn.shut is not None:
                self.breaker = turn.shut
                break
            if not turn.count:
                late = time.monotonic() + turn.wait_seconds > until
                if self.patience_seconds is not None and late:
                    break
                if not self._waited(turn.wait_seconds):
                    break
                continue
            if not self._may_leave(gate_id, has_sent=has_sent):
                break
            told, has_sent = _Told(), True
            yield from self._sent(gate_id, rest.head(turn.count), told)
            rest = where(rest, ~is_among(rest["id"], told.taken))
            if self._is_shut(gate_id, turn, told):
                break
            tries = 0 if told.taken else tries + 1
            if tries and not self._tried(gate_id, tries, told, until):
                break

    def _may_leave(self, gate_id: int, *, has_sent: bool) -> bool:
        """Tell whether the next calls may go: who asks what became of them must find them resting.

        Those that are claimed for a moment are ours; later it is seen whether they still are.
        """
        is_late = self._is_late(gate_id)
        if is_late and self.is_single:
            return False
        return self._renewed() if has_sent or is_late else True

    def _is_late(self, gate_id: int) -> bool:
        """Tell whether others may have taken the calls over since it was known that they are ours.

        So it is with a process that was stopped for a while.
        """
        timeout = timedelta(seconds=self.place.connector(gate_id).timeout_seconds)
        return self.engine.clock() >= self.since + timeout

    def _renewed(self) -> bool:
        """See that the calls are still ours to send: those who take them over count from here."""
        now = self.engine.clock()
        goes_on = self.goes_on()
        self.since = now if goes_on and not self.is_single else self.since
        return goes_on

    def _turn(self, gate_id: int, wanted: int) -> Pass:
        return passing(self.engine, self.place, gate_id, wanted, is_single=self.is_single)

    def _sent(self, gate_id: int, part: pl.DataFrame, told: "_Told") -> Iterator[pl.DataFrame]:
        """Send calls at once; give the replies of those that were taken."""
        began, began_at, per_second = time.monotonic(), self.engine.clock(), 0.0
        refused = []
        for replies in Sender(self.engine, self.place).outward(part, self.since):
            seconds = time.monotonic() - began
            opened, has_good = watched(self.engine, self.place, gate_id, replies, seconds)
            told.opened, told.has_good = opened or told.opened, has_good or told.has_good
            taken = where(replies, is_taken(replies))
            told.taken |= set(taken["operation"])
            # Slow ones among them say nothing of how many it takes in a second.
            per_second = max(per_second, len(told.taken) / max(seconds, BRIEF_SECONDS))
            busy = int(is_too_busy(replies).sum())
            came = Came(self.engine.clock(), began_at, taken.height, busy)
            self.engine.traffic.come(gate_id, came)
            if taken.height < replies.height:
                refused.append(where(replies, ~is_taken(replies)))
            if not taken.is_empty():
                yield without(taken, "retry_after_seconds")
        if refused:
            told.refused = pl.concat(refused, how="diagonal")
            told.is_busy = bool(is_too_busy(told.refused).any())
            if told.is_busy:
                slow_down(self.engine, gate_id, told.refused, began_at, per_second)

    def _is_shut(self, gate_id: int, turn: Pass, told: "_Told") -> bool:
        """See what the calls that went say of the breaker; tell whether it is open."""
        if turn.is_probe and told.opened is None:
            if told.has_good:
                answered(self.engine, self.place, gate_id)
            else:
                told.opened = shut(self.engine, self.place, gate_id, told.refused, turn.count)
        self.breaker = told.opened or self.breaker
        return told.opened is not None

    def _tried(self, gate_id: int, tries: int, told: "_Told", until: float) -> bool:
        """Wait before calls that were not taken go again; False = they were tried long enough."""
        seconds = TRIES_SECONDS[min(tries, len(TRIES_SECONDS)) - 1]
        if told.is_busy:  # it is there: that is no reason to stop
            is_over = self.patience_seconds is not None and time.monotonic() + seconds > until
            return not is_over and self._waited(seconds)
        if tries > len(TRIES_SECONDS):
            if not self.is_single:
                self.breaker = shut(self.engine, self.place, gate_id, told.refused, tries)
            return False
        return self._waited(seconds)

    def _waited(self, seconds: float) -> bool:
        """Wait; tell whether to go on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.engine.stopping.is_set() and not self.is_single:
                return False
            time.sleep(min(left, STEP_SECONDS))
            if left > BRIEF_SECONDS and not self._renewed():
                return False
        return True
