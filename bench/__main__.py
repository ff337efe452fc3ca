"""``make bench``: every measure in one run, on a home and a server of its own.

``python -m bench --quick`` takes small files, for development; ``--only NAME`` takes one measure
(and writes no results).
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator

from bench import batches, closing, machine, outside, results, starts, yardsticks
from bench.calls import calls
from bench.command import paybatch
from bench.figures import Figure
from bench.house import QUICK, House, Sizes, opened_house
from bench.ratios import ratios

Measure = Callable[[House], Iterator[Figure]]

# In this order: small ones while the database is small, yardsticks next to what they measure.
MEASURES: dict[str, Measure] = {
    "starts": starts.starts,
    "calls": calls,
    "plain": batches.plain,
    "outside": outside.outside,
    "copy": yardsticks.raw_copy,
    "pgbench": yardsticks.pgbench,
    "few-cards": batches.few_cards,
    "own-cards": batches.own_cards,
    "refunds": batches.refunds,
    "captures": batches.captures,
    "close-day": closing.close_day,
    "many-rows": batches.many_rows,
}


def _measured(house: House, only: str | None) -> list[Figure]:
    figures: list[Figure] = []
    if only not in {None, "starts"}:
        paybatch(house, "demo")
    for name in [only] if only else MEASURES:
        started = time.monotonic()
        sys.stderr.write(f"{name} ... ")
        sys.stderr.flush()
        figures += MEASURES[name](house)
        sys.stderr.write(f"{time.monotonic() - started:.0f} s\n")
    return figures + list(ratios(figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files")
    parser.add_argument("--only", choices=list(MEASURES), help="one measure")
    return parser.parse_args()


def main() -> None:
    """Measure, show and write."""
    options = _options()
    load_before = machine.load()
    with opened_house(QUICK if options.quick else Sizes()) as house:
        figures = _measured(house, options.only)
        described = machine.described(house, load_before)
    results.show(figures)
    if options.only is None:
        results.write(described, figures, is_quick=options.quick)


main()
