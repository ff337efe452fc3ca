"""Closing: the day of a gate with many captured payments."""

from collections.abc import Iterator

from bench import files
from bench.command import paybatch, result_of, run_file
from bench.figures import Figure
from bench.house import House

GATE = "closing"
SECONDS_TARGET = 30.0


def close_day(house: House) -> Iterator[Figure]:
    """Measure the close of a gate's day; the gate is new, so that nothing else is due there."""
    rows = house.sizes.rows
    paybatch(house, "gate", "add", "demo", GATE)
    made, path = house.folder / "sales.csv", house.folder / "close.csv"
    files.sales(made, rows, house.sizes.cards, GATE)
    run_file(house, made)
    path.write_text(f"kind,gate,expected_sale_count\nclose_day,{GATE},{rows}\n", "utf-8")
    house.settle()
    ran = run_file(house, path)
    for each in (made, path):
        each.unlink()
        result_of(each).unlink()
    group = f"close of a day with {rows:,} captured payments"
    yield Figure(group, "seconds of the command", ran.seconds, "s", SECONDS_TARGET, "at most")
    yield Figure(group, "seconds of work", ran.steps["work"], "s")
