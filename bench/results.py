"""The results of a run: a table on the screen, ``RESULTS.md`` and ``results.json`` here."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.figures import Figure

FOLDER = Path(__file__).parent
WIDTHS = {"figure": 62, "target": 16}
HEADINGS = ("figure", "value", "target", "of target", "reached")
NOTE = """\
How to read it: every line is one measure of the same run, made in processes as a user starts them.
*of target* is the value divided by its target: 1.00 or more is good where the target says "at
least", 1.00 or less where it says "at most". Seconds depend on the machine and on what else it
does; the ratios to pgbench and to raw `COPY`, taken on the same server minutes apart, are what
can be compared from machine to machine. Operations/s count the whole command, from its start to its
end; `start` is the interpreter and what it loads, `open` the connection. Memory is proportional
(Pss); a process of PostgreSQL is stated without the memory that all of them share.
"""
QUICK_NOTE = "**A quick run** with small files: good for looking at changes, not for quoting.\n"
BUSY_NOTE = """\
**The machine was busy with other work**: seconds are too long, and ratios swing between runs.
"""
QUIET_LOAD_MAX = 1.5
WHOLE_FROM = 1_000  # from here on every digit is shown


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= WHOLE_FROM else f"{value:.3g}"


def _cells(figure: Figure) -> tuple[str, ...]:
    value = f"{_number(figure.value)} {figure.unit}"
    if figure.target is None or figure.of_target is None:
        return (figure.name, value, "", "", "")
    target = f"{figure.bound} {_number(figure.target)}"
    return (
        *(figure.name, value, target, _number(figure.of_target)),
        "yes" if figure.is_reached else "no",
    )


def _groups(figures: list[Figure]) -> Iterator[tuple[str, list[Figure]]]:
    """Give figures by group, each group once, in the order in which the groups came."""
    order = list(dict.fromkeys(figure.group for figure in figures))
    ranked = sorted(figures, key=lambda figure: order.index(figure.group))
    for group, members in groupby(ranked, key=lambda figure: figure.group):
        yield group, list(members)


def show(figures: list[Figure]) -> None:
    """Print the figures as tables."""
    console = Console(width=124, soft_wrap=False)
    for group, members in _groups(figures):
        table = Table(title=group, title_justify="left", box=None, pad_edge=False)
        for heading in HEADINGS:
            is_text = heading in {"figure", "reached"}
            width = WIDTHS.get(heading, 14)
            table.add_column(heading, justify="left" if is_text else "right", width=width)
        for figure in members:
            table.add_row(*_cells(figure))
        console.print(table, "")


def _markdown(machine: dict[str, Any], figures: list[Figure], *, is_quick: bool) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    settings = ", ".join(f"{name} {value}" for name, value in machine["settings"].items())
    of_machine = (
        f"{machine['date']}, {machine['cores']} cores, {machine['memory_gb']} GB of memory, load "
        f"{machine['load_before']} before the run."
    )
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`; do not edit.",
        "",
        of_machine,
        f"{versions}.",
        f"Server: {settings}.",
        "",
        *([QUICK_NOTE] if is_quick else []),
        *([BUSY_NOTE] if machine["load_before"] > QUIET_LOAD_MAX else []),
        NOTE,
    ]
    for group, members in _groups(figures):
        lines += [f"## {group[0].upper()}{group[1:]}", "", f"| {' | '.join(HEADINGS)} |"]
        lines += ["| --- | ---: | ---: | ---: | --- |"]
        lines += [f"| {' | '.join(_cells(figure))} |" for figure in members] + [""]
    return "\n".join(lines).rstrip() + "\n"


def write(machine: dict[str, Any], figures: list[Figure], *, is_quick: bool) -> None:
    """Write ``RESULTS.md`` and ``results.json``."""
    (FOLDER / "RESULTS.md").write_text(_markdown(machine, figures, is_quick=is_quick))
    whole = {
        **machine,
        "is_quick": is_quick,
        "figures": [figure.as_object() for figure in figures],
    }
    (FOLDER / "results.json").write_text(json.dumps(whole, indent=2) + "\n")
