"""Starts: how long a user waits for ten rows, with the database up, down and not yet made."""

from collections.abc import Iterator

from bench.command import paybatch, run_file
from bench.figures import Figure
from bench.house import House
from bench.make_file import make_file
from paybatch.store import embedded

TARGET_SECONDS = 2.0
TRIES = 3
ROWS = 10


def starts(house: House) -> Iterator[Figure]:
    """Measure an empty home first, then ten rows with the database up, then after it was down."""
    group = "ten rows"
    path = house.folder / "ten.csv"
    make_file(path, ROWS, ROWS)
    first = paybatch(house, "demo").seconds + run_file(house, path).seconds
    yield Figure(group, "first start, in an empty home", first, "s")
    tries = sorted(run_file(house, path).seconds for _ in range(TRIES))
    middle = tries[TRIES // 2]
    yield Figure(group, "paybatch run, database up", middle, "s", TARGET_SECONDS, "at most")
    embedded.stop(house.home)
    again = paybatch(house, "demo").seconds + run_file(house, path).seconds
    yield Figure(group, "second start, database down", again, "s")
