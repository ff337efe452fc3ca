"""Waiting: one thread works for those that wait, and none of them waits for ever."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from paybatch.flow.calls.waiting import GROUP_MAX, Groups, Waiting

SECONDS = 10


def answered(group: list[Waiting]) -> None:
    for each in group:
        each.answer = {"of": len(group)}


def wait_until(is_so: Callable[[], bool]) -> None:
    ends = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.001)


def test_a_call_alone_is_worked_by_its_own_thread() -> None:
    mine = Waiting({})
    Groups(answered).enter(mine)
    assert mine.answer == {"of": 1}


def test_every_call_is_worked_once_and_a_leader_leaves_with_its_group() -> None:
    worked: list[Waiting] = []

    def work(group: list[Waiting]) -> None:
        worked.extend(group)
        time.sleep(0.001)
        answered(group)

    groups = Groups(work)
    calls = [Waiting({}) for _ in range(400)]
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(groups.enter, calls, timeout=SECONDS))
    assert len(worked) == 400
    assert set(worked) == set(calls)
    assert groups._leader is None


def test_a_group_has_its_limit_and_each_key_once() -> None:
    groups = Groups(answered)
    groups._queue = [Waiting({}, key=str(n % 3)) for n in range(9)]
    group: list[Waiting] = []
    groups._take(group)
    assert [each.key for each in group] == ["0", "1", "2"]
    groups._queue += [Waiting({}) for _ in range(GROUP_MAX)]
    group = []
    groups._take(group)
    assert [each.key for each in group[:4]] == ["0", "1", "2", None]
    assert (len(group), len(groups._queue)) == (GROUP_MAX, 6)


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), SystemExit(), None])
def test_whatever_is_raised_nobody_waits_for_ever(error: BaseException | None) -> None:
    began, ends = Event(), Event()

    def work(group: list[Waiting]) -> None:
        began.set()
        ends.wait(SECONDS)
        if error is not None:
            raise error

    groups = Groups(work)
    first, *others = [Waiting({}) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        made = [pool.submit(groups.enter, first)]
        began.wait(SECONDS)
        made += [pool.submit(groups.enter, each) for each in others]
        wait_until(lambda: len(groups._queue) == 2)
        ends.set()
        raised = [each.exception(SECONDS) for each in made]
    expected = type(error or RuntimeError())
    assert [type(each.error) for each in (first, *others)] == [expected] * 3
    # An interrupt is the leader's; the calls of the others have it for an error.
    is_interrupt = error is not None and not isinstance(error, Exception)
    assert {each for each in raised if each} == ({error} if is_interrupt else set())
    assert groups._leader is None


class Interruption(Event):
    """A turn whose thread is interrupted while it waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.goes_on = Event(), Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.set()
        self.goes_on.wait(timeout or SECONDS)
        raise KeyboardInterrupt


def test_an_interrupt_is_not_swallowed_where_the_call_is_done() -> None:
    def work(group: list[Waiting]) -> None:
        answered(group)
        raise KeyboardInterrupt

    mine = Waiting({})
    with pytest.raises(KeyboardInterrupt):
        Groups(work).enter(mine)
    assert mine.answer == {"of": 1}


def test_an_interrupted_call_is_taken_back() -> None:
    groups, leader, turn = Groups(answered), Waiting({}), Interruption()
    groups._leader = leader
    turn.goes_on.set()
    mine = Waiting({}, turn=turn)
    with pytest.raises(KeyboardInterrupt):
        groups.enter(mine)
    assert groups._queue == []
    groups._leave(leader)
    assert groups._leader is None


def test_an_interrupted_leader_hands_the_lead_on() -> None:
    groups, turn, other = Groups(answered), Interruption(), Waiting({})
    mine = Waiting({}, turn=turn)
    with ThreadPoolExecutor(2) as pool:
        made = pool.submit(groups.enter, mine)  # the first: it is to lead
        turn.waits.wait(SECONDS)
        waiting = pool.submit(groups.enter, other)
        wait_until(lambda: len(groups._queue) == 2)
        turn.goes_on.set()
        waiting.result(SECONDS)
        assert isinstance(made.exception(SECONDS), KeyboardInterrupt)
    assert (mine.is_done, other.answer) == (False, {"of": 1})
