"""Buckets of tokens: never more than the rate, single calls first, slow after too much."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from paybatch.domain.pacing import SHARE_OF_SINGLES, Bucket, room, taken

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def bucket(per_second: float | None = 100.0, tokens: float | None = None) -> Bucket:
    full = room(per_second or 1) if tokens is None else tokens
    return Bucket(name="gate:1", per_second=per_second, tokens=full, filled_at=NOW)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(
    rate=st.floats(0.2, 5_000),
    asks=st.lists(
        st.tuples(st.floats(0, 3), st.integers(1, 5_000), st.booleans()), min_size=1, max_size=60
    ),
)
def test_no_more_go_than_the_rate_allows(rate: float, asks: list[tuple[float, int, bool]]) -> None:
    buckets, at, gone = [bucket(rate)], 0.0, 0
    for wait, wanted, is_single in asks:
        at += wait
        count, wait_seconds, buckets = taken(buckets, wanted, after(at), is_single=is_single)
        gone += count
        assert 0 <= count <= wanted
        assert count > 0 or wait_seconds > 0
        assert gone <= room(rate) + rate * at + 1e-3


@given(rate=st.floats(0.2, 5_000), is_single=st.booleans())
def test_who_waits_as_told_goes_then(rate: float, is_single: bool) -> None:
    empty = [bucket(rate, tokens=0.0)]
    count, wait_seconds, empty = taken(empty, 1, NOW, is_single=is_single)
    assert count == 0
    count, _, _ = taken(empty, 1, after(wait_seconds + 1e-5), is_single=is_single)
    assert count == 1


def test_batches_leave_a_share_to_single_calls() -> None:
    buckets, gone = [bucket(100)], 0
    while True:
        count, _, buckets = taken(buckets, 1_000, NOW, is_single=False)
        if not count:
            break
        gone += count
    assert gone == 100 * (1 - SHARE_OF_SINGLES)
    singles = 0
    while taken(buckets, 1, NOW, is_single=True)[0]:
        _, _, buckets = taken(buckets, 1, NOW, is_single=True)
        singles += 1
    assert singles == 100 * SHARE_OF_SINGLES


def test_the_scarcer_bucket_counts() -> None:
    gate, processor = bucket(1_000), bucket(10)
    count, _, after_it = taken([gate, processor], 500, NOW, is_single=False)
    assert count == 5
    assert [each.tokens for each in after_it] == [995, 5]
