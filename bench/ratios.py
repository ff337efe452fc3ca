"""Ratios: figures of one run against each other."""

from collections.abc import Iterator

from bench import batches, calls, yardsticks
from bench.figures import Figure, find

GROUP = "ratios of this run"
PGBENCH_TARGET = 10.0
MEMORY_TARGET = 1.1


def ratios(figures: list[Figure]) -> Iterator[Figure]:
    """Set what is comparable against each other; what was not measured is left out."""
    yield from _to_yardstick(figures, yardsticks.PGBENCH, "pgbench's tps", PGBENCH_TARGET)
    yield from _to_yardstick(figures, yardsticks.COPY, "raw COPY", None)
    yield from _gains(figures)
    yield from _growth(figures)


def _to_yardstick(
    figures: list[Figure], yardstick: str, title: str, target: float | None
) -> Iterator[Figure]:
    measured = find(figures, yardsticks.GROUP, yardstick)
    if measured is not None:
        for each in _named(figures, batches.SPEED):
            yield Figure(GROUP, f"{each.group}: to {title}", each.value / measured, "x", target)


def _gains(figures: list[Figure]) -> Iterator[Figure]:
    """Say what the tricks bring: chunks in files, groups in calls."""
    plain = find(figures, batches.PLAIN_GROUP, batches.PLAIN)
    fast = _named(figures, batches.SPEED)
    if plain is not None and fast:
        yield Figure(GROUP, "gain of chunks, files", fast[0].value / plain, "x")
    alone, together = (find(figures, calls.GROUP, name) for name in (calls.PLAIN, calls.AT_ONCE))
    if alone is not None and together is not None:
        yield Figure(GROUP, "gain of groups, calls", together / alone, "x")


def _growth(figures: list[Figure]) -> Iterator[Figure]:
    """Say how memory grows from the file of the main measure to the largest one."""
    peaks = _named(figures, batches.MEMORY)
    if len(peaks) > 1:
        first, last = peaks[0], peaks[-1]
        name = f"peak Pss, {last.group} to {first.group}"
        yield Figure(GROUP, name, last.value / first.value, "x", MEMORY_TARGET, "at most")


def _named(figures: list[Figure], name: str) -> list[Figure]:
    return [figure for figure in figures if figure.name == name]
