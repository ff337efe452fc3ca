"""Pacing: buckets of tokens, one for each call that may go out.

A bucket fills at its rate and holds what a second brings. Calls of batches leave a share of it to
single calls, which so go first.

A processor that was asked too much slows its bucket down: once for one burst, by the share of calls
that it refused, to a half at most. From there the rate is back where it was after
``RETURNS_SECONDS``, and then grows slowly to find out whether more is allowed by now (additive
increase, multiplicative decrease). How long it says to wait is kept to in any case.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

SHARE_OF_SINGLES = 0.2
SLICE_SECONDS = 0.5  # a worker takes the tokens of so long at once
RETURNS_SECONDS = 10.0
GROWS_SHARE = 0.01  # of the rate that was too much, for each second
FORGOTTEN_FACTOR = 2.0  # without a limit of its own, a bucket is slow until it grew by this
SLOWEST_PER_SECOND = 1.0
HELD_SECONDS_MAX = 300
SMALL_SHARE = 0.05  # no more refused than this: that is no burst,
SMALL_SECONDS = 5.0  # and it slows down once in so long
CALLS_MIN = 10  # of fewer calls nobody can say that they were too many in a second


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Calls that went together, some of which were refused because they were too many.

    Attributes:
        began_at: When the first of them left.
        taken: How many the processor took of late, these and others before them.
        refused: How many it refused of late.
        taken_per_second: How fast it took them.
        hold_seconds: How long it says that nobody should ask; 0 = it says nothing.
    """

    began_at: datetime
    taken: int
    refused: int
    taken_per_second: float
    hold_seconds: float = 0.0

    @property
    def share(self) -> float:
        """Give the share that was refused."""
        return self.refused / max(self.taken + self.refused, 1)

    @property
    def is_small(self) -> bool:
        """Tell whether it says little of the rate."""
        return self.share <= SMALL_SHARE or self.taken + self.refused < CALLS_MIN


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """The tokens of a gate, or of a processor.

    Attributes:
        name: Whose it is.
        per_second: How many calls it allows; None = any number.
        tokens: How many calls may go now, at ``filled_at``.
        slowed_per_second: What it was slowed down to at ``slowed_at``; None = it was not.
        slowed_from_per_second: What was too much then.
        held_until: Nothing goes before then.
    """

    name: str
    per_second: float | None
    tokens: float
    filled_at: datetime
    slowed_per_second: float | None = None
    slowed_at: datetime | None = None
    slowed_from_per_second: float | None = None
    held_until: datetime | None = None

    def rate(self, now: datetime) -> float | None:
        """Give how many calls a second it allows now; None = any number."""
        if self.slowed_per_second is None or self.slowed_at is None:
            return self.per_second
        seconds = max((now - self.slowed_at).total_seconds(), 0.0)
        slow, before = self.slowed_per_second, self.slowed_from_per_second or self.slowed_per_second
        back = max((before - slow) / RETURNS_SECONDS, GROWS_SHARE * before)
        back_seconds = (before - slow) / back
        grown = slow + back * min(seconds, back_seconds)
        grown += GROWS_SHARE * before * max(seconds - back_seconds, 0.0)
        if self.per_second is not None:
            return min(grown, self.per_second)
        return None if grown >= FORGOTTEN_FACTOR * before else grown

    def filled(self, now: datetime) -> "Bucket":
        """Give the bucket as it is now."""
        rate = self.rate(now)
        if rate is None:
            return self
        seconds = max((now - self.filled_at).total_seconds(), 0.0)
        tokens = min(self.tokens + seconds * rate, room(rate))
        return replace(self, tokens=tokens, filled_at=max(now, self.filled_at))

    def slowed(self, now: datetime, told: Refusal) -> "Bucket":
        """Give the bucket after its processor was asked too much.

        Calls that were under way when it was slowed down before tell nothing new.
        """
        held = self
        if told.hold_seconds > 0:
            until = now + timedelta(seconds=min(told.hold_seconds, HELD_SECONDS_MAX))
            held = replace(self, held_until=max(until, self.held_until or until))
        if self.slowed_at is not None and told.began_at < self.slowed_at:
            return held
        before = self.rate(now)
        if told.is_small and (before is None or self._is_fresh(now)):
            return held
        if before is None:
            before, slow = told.taken_per_second, told.taken_per_second / 2
        else:
            slow = before * max(1 - told.share, 0.5)
        slow = max(slow, min(SLOWEST_PER_SECOND, self.per_second or SLOWEST_PER_SECOND))
        return replace(
            held,
            tokens=0.0,
            filled_at=now,
            slowed_per_second=slow,
            slowed_at=now,
            slowed_from_per_second=max(before, slow),
        )

    def _is_fresh(self, now: datetime) -> bool:
        """Tell whether it was slowed down a moment ago."""
        moment = timedelta(seconds=SMALL_SECONDS)
        return self.slowed_at is not None and now - self.slowed_at < moment


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
