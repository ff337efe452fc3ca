"""Batches: whole files through ``paybatch run``, by step, with their peaks of memory."""

from collections.abc import Iterator
from pathlib import Path

from bench import files
from bench.command import Ran, result_of, run_file
from bench.figures import Figure
from bench.house import House
from bench.make_file import make_file

MEMORY_TARGET = 600.0
SPEED_TARGET = 20_000.0
SPEED = "operations/s"
MEMORY = "peak Pss of paybatch"
PLAIN_GROUP = "without tricks"
PLAIN = "a file, each row a chunk: operations/s"
FOLLOW_UP_TARGET = 20_000.0
# Kind -> minor units that each row asks for; None = it moves no money.
FOLLOW_UPS = {"refund": 10, "chargeback": 10, "fraud": None, "comment": None, "blacklist": None}


def _many(rows: int) -> str:
    return f"{rows // 1_000_000} million" if rows >= 1_000_000 else f"{rows // 1_000} thousand"  # noqa: PLR2004 - a million


def _of_file(group: str, rows: int, ran: Ran) -> Iterator[Figure]:
    yield Figure(group, SPEED, rows / ran.seconds, "1/s", SPEED_TARGET)
    for step, seconds in ran.steps.items():
        yield Figure(group, f"seconds of {step}", seconds, "s")


def _of_memory(group: str, ran: Ran) -> Iterator[Figure]:
    peaks = ran.peaks
    most = MEMORY_TARGET
    yield Figure(group, MEMORY, peaks.command, "MB", most, "at most")
    yield Figure(
        group, "peak Pss of the largest backend", peaks.largest_backend, "MB", most, "at most"
    )
    yield Figure(group, "peak Pss of all of PostgreSQL", peaks.all_backends, "MB")
    yield Figure(group, "shared memory of PostgreSQL, apart", peaks.server_shared, "MB")


def _run(house: House, name: str, rows: int, cards: int) -> Ran:
    path = house.folder / f"{name}.csv"
    make_file(path, rows, cards)
    house.settle()
    ran = run_file(house, path)
    path.unlink()
    result_of(path).unlink()
    return ran


def few_cards(house: House) -> Iterator[Figure]:
    """Measure a file whose cards come again."""
    rows, cards = house.sizes.rows, house.sizes.cards
    group = f"{_many(rows)} rows, {cards:,} cards"
    ran = _run(house, "few-cards", rows, cards)
    yield from _of_file(group, rows, ran)
    yield from _of_memory(group, ran)


def own_cards(house: House) -> Iterator[Figure]:
    """Measure a file in which every row has a card of its own."""
    rows = house.sizes.rows
    group = f"{_many(rows)} rows, each its own card"
    ran = _run(house, "own-cards", rows, rows)
    yield from _of_file(group, rows, ran)
    yield from _of_memory(group, ran)


def many_rows(house: House) -> Iterator[Figure]:
    """Measure that memory does not grow with the file."""
    rows, cards = house.sizes.many_rows, house.sizes.cards
    group = f"{_many(rows)} rows, {cards:,} cards"
    ran = _run(house, "many-rows", rows, cards)
    yield from _of_file(group, rows, ran)
    yield from _of_memory(group, ran)


def plain(house: House) -> Iterator[Figure]:
    """Measure what a file takes when every row is a chunk of its own."""
    rows = house.sizes.plain_rows
    path = house.folder / "plain.csv"
    make_file(path, rows, rows)
    ran = run_file(house, path, PAYBATCH_CHUNK_ROWS="1")
    seconds = sum(ran.steps[step] for step in ("accept", "work", "report"))
    yield Figure(PLAIN_GROUP, PLAIN, rows / seconds, "1/s")


def captures(house: House) -> Iterator[Figure]:
    """Measure captures of payments that an earlier file authorized."""
    rows = house.sizes.captures
    group = f"captures of {rows:,} payments"
    made, path = house.folder / "authorizations.csv", house.folder / "captures.csv"
    files.authorizations(made, rows, house.sizes.cards)
    house.settle()
    ran = run_file(house, made)
    yield Figure(group, "authorizations before, native: operations/s", rows / ran.seconds, "1/s")
    files.captures(path, result_of(made))
    house.settle()
    ran = run_file(house, path)
    _forget(path)
    yield from _of_file(group, rows, ran)
    yield from _follow_ups(house, result_of(made))
    _forget(made)


def _follow_ups(house: House, made: Path) -> Iterator[Figure]:
    """Measure what else is done to payments that were captured: money given back, and marks."""
    for kind, amount in FOLLOW_UPS.items():
        path = house.folder / f"{kind}.csv"
        rows = files.follow_ups(path, made, kind, amount)
        house.settle()
        ran = run_file(house, path)
        _forget(path)
        seconds = sum(ran.steps[step] for step in ("accept", "work", "report"))
        group = f"follow-ups and marks over {rows:,} payments"
        yield Figure(group, f"{kind}: operations/s", rows / seconds, "1/s", FOLLOW_UP_TARGET)


def _forget(path: Path) -> None:
    path.unlink()
    result_of(path).unlink()


def refunds(house: House) -> Iterator[Figure]:
    """Measure that many rows on one payment stay linear."""
    most = house.sizes.refunds
    seconds = {}
    for rows in (most // 10, most):
        path = house.folder / f"refunds-{rows}.csv"
        files.refunds_of_one(path, rows)
        house.settle()
        ran = run_file(house, path)
        seconds[rows] = sum(ran.steps[step] for step in ("accept", "work", "report"))
        _forget(path)
        yield Figure("refunds of one payment", f"{rows:,} refunds", seconds[rows], "s")
    ratio = seconds[most] / seconds[most // 10]
    yield Figure("refunds of one payment", "ten times as many take", ratio, "x", 10, "at most")
