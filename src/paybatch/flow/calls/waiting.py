"""Waiting: calls that arrive together are worked together, by one of the threads that wait.

Whoever finds nobody at work leads: it takes the calls that wait, works them, and hands the lead
on. So no thread works for others longer than its own call takes, and we need no thread of ours.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

GROUP_MAX = 256
Answer = dict[str, Any]
PaymentKey = tuple[int, int]  # merchant, payment


@dataclass(eq=False)
class Waiting:
    """A call that waits for its answer.

    Attributes:
        values: What was asked.
        key: Calls with the same one are never in one group; None = no such rule.
        answer: What it was told.
        held: The payment that somebody else holds; then the call was not carried out.
        outgoing: What is to be sent; its answer is not there yet.
        come: A reply that is to be settled.
        error: Why it has no answer.
        turn: Set when the call is done, or when it is its thread's turn to lead.
    """

    values: Mapping[str, str]
    key: str | None = None
    answer: Answer | None = None
    held: PaymentKey | None = None
    outgoing: Any = None
    come: Any = None
    error: BaseException | None = None
    turn: threading.Event = field(default_factory=threading.Event)

    @property
    def is_done(self) -> bool:
        """Tell whether somebody worked it."""
        told = (self.answer, self.held, self.outgoing, self.error)
        return any(each is not None for each in told)


class Groups:
    """Has calls worked in groups, one group at a time; safe to use from many threads."""

    def __init__(self, work: Callable[[list[Waiting]], None]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._queue: list[Waiting] = []
        self._leader: Waiting | None = None

    def enter(self, mine: Waiting) -> None:
        """Have a call worked; it is done when this returns.

        What ``work`` raises is the error of all calls of the group that are not done. A thread
        that is interrupted while its call waits takes it back.
        """
        try:
            with self._lock:
                self._queue.append(mine)
                if self._leader is None:
                    self._leader = mine
                    mine.turn.set()
            mine.turn.wait()
            if not mine.is_done:
                self._lead(mine)
        finally:
            self._leave(mine)

    def _lead(self, mine: Waiting) -> None:
        """Work the calls that wait, ``mine`` is the first of them; nobody is left waiting."""
        group: list[Waiting] = []
        error: BaseException = RuntimeError("The call was not given an answer.")
        try:
            self._take(group)
            self._work(group)
        except BaseException as raised:
            error = raised  # each caller raises it in its own thread
            if not isinstance(raised, Exception):
                raise  # an interrupt is this thread's own, also where its call is done
        finally:
            for each in (mine, *group):
                if not each.is_done:
                    each.error = error
                each.turn.set()

    def _take(self, group: list[Waiting]) -> None:
        """Move calls from the queue to a group; of those with the same key only the first."""
        with self._lock:
            keys: set[str] = set()
            for each in self._queue:
                if len(group) < GROUP_MAX and each.key not in keys:
                    group.append(each)
                    keys |= {each.key} if each.key else set()
            taken = set(group)
            self._queue = [each for each in self._queue if each not in taken]

    def _leave(self, mine: Waiting) -> None:
        """Take back a call that is not done, and hand the lead on."""
        with self._lock:
            if not mine.is_done and mine in self._queue:
                self._queue.remove(mine)
            if self._leader is mine:
                self._leader = self._queue[0] if self._queue else None
                if self._leader is not None:
                    self._leader.turn.set()
