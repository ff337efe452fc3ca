"""Pacing: buckets of tokens, one for each call that may go out.

A bucket fills at its rate and holds what a second brings. Calls of batches leave a share of it to
single calls, which so go first. A processor that was asked too much slows its bucket down: to half
of what it took, and from there the rate doubles every ``DOUBLES_SECONDS`` until it is what it was.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SHARE_OF_SINGLES = 0.2
SLICE_SECONDS = 0.5  # a worker takes the tokens of so long at once
DOUBLES_SECONDS = 35.0
FORGOTTEN_FACTOR = 8.0  # without a limit of its own, a bucket is slow until it grew by this
SLOWEST_PER_SECOND = 1.0
HELD_SECONDS_MAX = 300
SETTLES_SECONDS = 1.0  # what was asked at the same time slows a bucket down once


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The tokens of a gate, or of a processor.

    Attributes:
        name: Whose it is.
        per_second: How many calls it allows; None = any number.
        tokens: How many calls may go now, at ``filled_at``.
        slowed_per_second: What it was slowed down to at ``slowed_at``; None = it was not.
        held_until: Nothing goes before then.
    """

    name: str
    per_second: float | None
    tokens: float
    filled_at: datetime
    slowed_per_second: float | None = None
    slowed_at: datetime | None = None
    held_until: datetime | None = None

    def rate(self, now: datetime) -> float | None:
        """Give how many calls a second it allows now; None = any number."""
        if self.slowed_per_second is None or self.slowed_at is None:
            return self.per_second
        seconds = max((now - self.slowed_at).total_seconds(), 0.0)
        grown = self.slowed_per_second * 2 ** min(seconds / DOUBLES_SECONDS, 64)
        if self.per_second is not None:
            return min(grown, self.per_second)
        return None if grown >= FORGOTTEN_FACTOR * self.slowed_per_second else grown

    def filled(self, now: datetime) -> "Bucket":
        """Give the bucket as it is now."""
        rate = self.rate(now)
        if rate is None:
            return self
        seconds = max((now - self.filled_at).total_seconds(), 0.0)
        tokens = min(self.tokens + seconds * rate, room(rate))
        return replace(self, tokens=tokens, filled_at=max(now, self.filled_at))

    def slowed(self, now: datetime, taken_per_second: float, hold_seconds: float) -> "Bucket":
        """Give the bucket after its processor was asked too much."""
        held = now + timedelta(seconds=min(hold_seconds, HELD_SECONDS_MAX))
        held_until = max(held, self.held_until or held)
        if self.slowed_at is not None and now - self.slowed_at < timedelta(seconds=SETTLES_SECONDS):
            return replace(self, held_until=held_until)
        rate = self.rate(now)
        took = taken_per_second if rate is None else min(rate, max(taken_per_second, rate / 2))
        slow = max(took / 2, SLOWEST_PER_SECOND)
        if self.per_second is not None:
            slow = min(slow, self.per_second)
        return replace(
            self,
            tokens=0.0,
            filled_at=now,
            slowed_per_second=slow,
            slowed_at=now,
            held_until=held_until,
        )


def room(rate: float) -> float:
    """Give how many tokens a bucket holds."""
    return max(rate, 1.0)


def taken(
    buckets: Sequence[Bucket], wanted: int, now: datetime, *, is_single: bool
) -> tuple[int, float, list[Bucket]]:
    """Take tokens for calls out of all buckets at once.

    Gives how many calls may go, in how many seconds to ask again if there are none, and the
    buckets after it.
    """
    filled = [each.filled(now) for each in buckets]
    count, wait_seconds = wanted, 0.0
    for each in filled:
        if each.held_until is not None and each.held_until > now:
            count = 0
            wait_seconds = max(wait_seconds, (each.held_until - now).total_seconds())
        rate = each.rate(now)
        if rate is None:
            continue
        kept = 0.0 if is_single else min(SHARE_OF_SINGLES * room(rate), room(rate) - 1)
        free = math.floor(each.tokens - kept + 1e-9)
        if free < 1:
            count = 0
            wait_seconds = max(wait_seconds, (1 + kept - each.tokens) / rate)
        slice_ = max(1, math.ceil(rate * SLICE_SECONDS))
        count = min(count, max(free, 0), slice_)
    spent = [
        each if each.rate(now) is None else replace(each, tokens=each.tokens - count)
        for each in filled
    ]
    return count, wait_seconds, spent
