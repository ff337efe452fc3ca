"""A processor that was asked too much: how far a bucket is slowed down, and how it comes back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from paybatch.domain.pacing import (
    CALLS_MIN,
    HELD_SECONDS_MAX,
    SLOWEST_PER_SECOND,
    SMALL_SECONDS,
    Bucket,
    Refusal,
    taken,
)

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def bucket(per_second: float | None) -> Bucket:
    return Bucket(name="gate:1", per_second=per_second, tokens=0.0, filled_at=NOW)


def refusal(
    taken: int, refused: int, *, began: float = 0.0, per_second: float = 80.0, hold: float = 0.0
) -> Refusal:
    return Refusal(
        began_at=after(began),
        taken=taken,
        refused=refused,
        taken_per_second=per_second,
        hold_seconds=hold,
    )


def test_it_is_slowed_down_by_the_share_that_was_refused_to_a_half_at_most() -> None:
    assert bucket(100).slowed(NOW, refusal(75, 25)).rate(NOW) == 75
    assert bucket(100).slowed(NOW, refusal(98, 2)).rate(NOW) == 98
    assert bucket(100).slowed(NOW, refusal(0, 100)).rate(NOW) == 50


def test_one_burst_slows_it_down_once() -> None:
    slow = bucket(100).slowed(NOW, refusal(0, 100, began=-5))
    for seconds in range(1, 40):  # calls that wait for their time-out come back late
        slow = slow.slowed(after(seconds), refusal(0, 100, began=-0.1))
    assert slow.slowed_at == NOW
    assert slow.slowed(after(40), refusal(0, 100, began=0.1)).slowed_at == after(40)


def test_it_is_back_soon_and_then_grows_slowly() -> None:
    slow = bucket(1_000).slowed(NOW, refusal(50, 50))
    rates = [slow.rate(after(seconds)) for seconds in (0, 5, 10, 20)]
    assert rates == pytest.approx([500, 750, 1_000, 1_000])
    free = replace(slow, per_second=None)
    rates = [free.rate(after(seconds)) for seconds in (0, 5, 10, 20, 109)]
    assert rates == pytest.approx([500, 750, 1_000, 1_100, 1_990])
    assert free.rate(after(110)) is None


def test_without_a_limit_it_is_slowed_down_to_half_of_what_was_taken() -> None:
    slow = bucket(None).slowed(NOW, refusal(60, 40, per_second=80))
    assert slow.rate(NOW) == 40
    assert slow.rate(after(10)) == pytest.approx(80)
    none = bucket(None).slowed(NOW, refusal(0, 40, per_second=0))
    assert none.rate(NOW) == SLOWEST_PER_SECOND


@pytest.mark.parametrize("told", [refusal(980, 20), refusal(0, CALLS_MIN - 1)])
def test_what_was_refused_now_and_then_is_no_reason_to_invent_a_limit(told: Refusal) -> None:
    assert bucket(None).slowed(NOW, told).rate(NOW) is None


def test_a_small_share_that_is_always_refused_does_not_stop_it() -> None:
    """Two calls in a hundred, whatever the rate is, for five minutes: it stays fast."""
    slow = bucket(1_000).slowed(NOW, refusal(50, 50))
    for each in range(600):
        at = each / 2
        slow = slow.slowed(after(at), refusal(98, 2, began=at - 0.4))
    rate = slow.rate(after(300))
    assert rate is not None
    assert rate > 900


def test_it_finds_the_rate_that_a_processor_allows() -> None:
    """One that takes 200 a second and refuses the rest: soon few are refused, and few are lost."""
    slow, refused, went = bucket(None), 0, 0
    slow = slow.slowed(NOW, refusal(500, 500, per_second=5_000))
    for each in range(1, 240):
        rate = slow.rate(after(each))
        assert rate is not None
        over = max(0, int(rate) - 200)
        if over:
            told = refusal(int(rate) - over, over, began=each - 0.9)
            slow = slow.slowed(after(each), told)
        if each > 30:
            refused, went = refused + over, went + int(rate)
    assert refused < went * 0.05
    assert went > 0.85 * 200 * 209


def test_it_waits_as_long_as_the_processor_says_and_no_shorter() -> None:
    held = bucket(None).slowed(NOW, refusal(999, 1, hold=3))
    assert held.rate(NOW) is None
    assert taken([held], 10, after(1), is_single=True)[:2] == (0, 2.0)
    assert taken([held], 10, after(3), is_single=True)[0] == 10
    # Also what was under way, and a shorter time that is said later.
    slow = bucket(100).slowed(NOW, refusal(0, 100, hold=10))
    slow = slow.slowed(after(1), refusal(0, 100, began=-1, hold=2))
    assert slow.held_until == after(10)
    slow = slow.slowed(after(1), refusal(0, 100, began=-1, hold=20))
    assert slow.held_until == after(21)
    long_ = bucket(100).slowed(NOW, refusal(0, 100, hold=86_400))
    assert long_.held_until == after(HELD_SECONDS_MAX)


def test_a_small_share_slows_it_down_now_and_then_only() -> None:
    slow = bucket(100).slowed(NOW, refusal(97, 3))
    again = slow.slowed(after(SMALL_SECONDS - 1), refusal(97, 3, began=1))
    assert again.slowed_at == NOW
    assert slow.slowed(after(SMALL_SECONDS), refusal(97, 3, began=1)).slowed_at == after(5)


def test_it_is_never_above_its_limit_nor_stopped() -> None:
    slow = bucket(0.5)
    for each in range(10):
        slow = slow.slowed(after(each), refusal(0, 20, began=each))
        assert slow.rate(after(each)) == 0.5
    slow = bucket(100)
    for each in range(20):
        slow = slow.slowed(after(each / 100), refusal(0, 20, began=each / 100))
    assert slow.rate(after(0.2)) == pytest.approx(SLOWEST_PER_SECOND, rel=0.1)
