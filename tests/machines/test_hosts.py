"""Two hosts work a batch at a processor outside, and something happens to one of them."""

import signal

import pytest

from hosts_support import DOUBTS, PATIENCE_SECONDS, House, one_effect_per_row, until
from link_support import Link
from server_support import Server
from tests_support import laws_hold

ROWS = 600


def in_the_middle(house: House) -> bool:
    """Tell whether some rows have had their effect, and some not."""
    return 20 < len(house.effects()) < ROWS


def test_a_host_that_dies_is_followed_by_the_other(house: House) -> None:
    first = house.host("first_host")
    batch = house.hand_in(ROWS)
    house.stop_in_the_middle(first)
    first.send(signal.SIGKILL)
    first.process.wait()
    house.host("other_host")
    house.completed(batch)
    assert one_effect_per_row(house, ROWS)
    assert laws_hold(house.engine)


def test_a_host_that_stood_still_settles_nothing_that_is_not_its_own(house: House) -> None:
    first, other = house.host("first_host"), house.host("other_host")
    batch = house.hand_in(ROWS)
    house.stop_in_the_middle(first)
    house.completed(batch)
    first.send(signal.SIGCONT)
    until(first.is_ready, "it goes on")
    assert one_effect_per_row(house, ROWS)
    assert laws_hold(house.engine)
    other.end()
    house.completed(house.hand_in(20))
    assert first.process.poll() is None


def test_a_host_that_is_cut_off_from_the_database_does_no_harm(house: House) -> None:
    link = Link(house.server.hosts[0], house.server.port)
    first, other = house.host("first_host", host="127.0.0.1", port=link.port), house.host("other")
    batch = house.hand_in(ROWS)
    until(lambda: house.held_by(first) and in_the_middle(house), "it has calls under way")
    link.cut()
    assert house.held_by(first), "it was cut off too late"
    house.completed(batch)
    link.mend()
    until(first.is_ready, "it is connected again")
    assert one_effect_per_row(house, ROWS)
    assert laws_hold(house.engine)
    other.end()
    house.completed(house.hand_in(20))
    link.close()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_database_that_starts_again_is_waited_for(
    house: House, tcp_server: Server, mode: str
) -> None:
    hosts = [house.host("first_host"), house.host("other_host")]
    batch = house.hand_in(ROWS)
    until(lambda: in_the_middle(house), "it is under way")
    tcp_server.stop(mode)
    try:
        until(lambda: all(each.asked("/ready") == 503 for each in hosts), "they see it")
        assert [each.asked("/health") for each in hosts] == [200, 200]
    finally:
        tcp_server.start()
    house.completed(batch)
    house.engine.database.forget()
    assert one_effect_per_row(house, ROWS)
    assert laws_hold(house.engine)
    for each in hosts:
        until(each.is_ready, "it is ready again")


def test_a_host_that_is_told_to_end_leaves_nothing_in_doubt(house: House) -> None:
    first = house.host("first_host")
    batch = house.hand_in(ROWS)
    until(lambda: house.held_by(first) and in_the_middle(house), "it has calls under way")
    first.send(signal.SIGTERM)
    assert first.process.wait(PATIENCE_SECONDS) == 0
    done = len(house.effects())
    assert 20 < done < ROWS
    assert house.asked("SELECT count(*) FROM outcome WHERE state = 'approved'") == done
    assert house.asked(DOUBTS) == 0
    assert house.asked("SELECT count(*) FROM chunk WHERE state = 'sending'") == 0
    house.host("other_host")
    house.completed(batch)
    assert one_effect_per_row(house, ROWS)
    assert laws_hold(house.engine)
