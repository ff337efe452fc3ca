"""Writes docs/lifecycle.md from the tables in paybatch.domain.lifecycle."""

from pathlib import Path

from paybatch.domain.lifecycle import (
    BATCH_ARROWS,
    BATCH_FINAL,
    OPERATION_ARROWS,
    OPERATION_FINAL,
    diagram,
)

TARGET = Path(__file__).with_name("lifecycle.md")
Arrows = dict[tuple[str | None, str], str]

_HEAD = """\
# Lifecycles

This page is made from the tables in `src/paybatch/domain/lifecycle.py` by `make docs`; do not
change it by hand. The database holds the same states by its CHECKs, and a batch moves along these
arrows only; a test compares all three.
"""
_OPERATION = """\
## Operation

An operation is one row of a batch. A final one never changes: a later contradiction is a new
operation.
"""
_BATCH = """\
## Batch

A word in `-ing` is what was asked for and is not yet true.
"""


def page() -> str:
    """Give the text of the page."""
    parts = [_HEAD, _OPERATION, _section(OPERATION_ARROWS, OPERATION_FINAL)]
    return "\n".join([*parts, _BATCH, _section(BATCH_ARROWS, BATCH_FINAL)])


def _section(arrows: Arrows, final: frozenset[str]) -> str:
    """Draw the arrows, name the final states and list every arrow with its sentence."""
    rows = [f"| {source or ''} | {target} | {when} |" for (source, target), when in arrows.items()]
    return "\n".join(
        [
            "```mermaid",
            diagram(arrows),
            "```",
            "",
            f"Final: {', '.join(sorted(final))}.",
            "",
            "| from | to | when |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
