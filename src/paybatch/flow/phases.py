"""Phases: rows that change a list or a gate wait for the lines above them, and later ones for them.

An accepted file is cut where such rows (``Kind.waits_for_all``) begin and end. A file without them
has one phase and pays for a look at its tallies.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise

import polars as pl

from paybatch import registry
from paybatch.domain.kind import Subject
from paybatch.store import operations, phases
from paybatch.store.batches import Batch
from paybatch.store.chunks import Chunk, cut_chunk, insert_chunk
from paybatch.store.database import Connection, Row
from paybatch.store.phases import Rules


@cache
def barriers() -> tuple[str, ...]:
    """Name the kinds whose rows wait for all."""
    return tuple(name for name, kind in registry.kinds().items() if kind.waits_for_all)


@cache
def alone() -> tuple[str, ...]:
    """Name those of them of which each row is a phase: what it finds depends on the one before."""
    return tuple(name for name in barriers() if registry.kinds()[name].subject is Subject.GATE)


@cache
def in_line() -> tuple[str, ...]:
    """Name those of them whose rows take effect in line order within a phase too."""
    return tuple(name for name in barriers() if registry.kinds()[name].keeps_lines)


def cut(
    connection: Connection[Row],
    batch: Batch,
    chunks: list[Chunk],
    merchants: list[int],
    *,
    rows_max: int | None,
) -> list[int]:
    """Cut the range chunks of an accepted batch into phases, and into parts of so many lines.

    Gives the lines with which phases begin, but for the first; none where it is done already.
    """
    ranges = [chunk for chunk in chunks if chunk.kind == "range"]
    if not ranges or any(chunk.phase for chunk in chunks):
        return []
    ids = operations.id_range(batch.id, ranges[0].first_line, ranges[-1].last_line)
    firsts = {chunk.first_line for chunk in ranges}
    cuts = {line for chunk in ranges for line in _cuts(chunk, rows_max)}
    starts: list[int] = []
    if phases.has_kinds(connection, batch.id, barriers()):
        chunk_starts = sorted(firsts | cuts)
        rules = Rules(barriers(), alone=alone(), in_line=in_line(), chunk_starts=chunk_starts)
        starts = phases.starts(connection, merchants, ids, rules)
    if not starts and not cuts:
        return []
    lines = sorted({*starts, *cuts, *firsts})
    counts = phases.rows_of_parts(connection, merchants, ids, lines)
    number = max(chunk.number for chunk in chunks)
    for place, part in _parts(ranges, lines, starts):
        sized = replace(part, row_count=counts.get(place, 0))
        if part.first_line in firsts:
            cut_chunk(connection, batch.id, sized)
            continue
        number += 1
        insert_chunk(connection, batch.id, replace(sized, number=number, rejected_count=0))
    return starts


def _cuts(chunk: Chunk, rows_max: int | None) -> range:
    """Give the lines at which a chunk is cut so that no part has more lines than this."""
    first = chunk.first_line
    if rows_max is None or chunk.last_line - first < rows_max:
        return range(0)
    return range(first, chunk.last_line + 1, rows_max)


def phase_of(starts: Sequence[int], line: int) -> int:
    """Give the phase of a line."""
    return bisect_right(starts, line)


def runs(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut rows in line order into their phases: mostly there is one."""
    kinds = rows["kind"].to_list()
    if not any(kind in barriers() for kind in kinds):
        return [rows]
    told = [kind if kind in barriers() else "" for kind in kinds]
    firsts = [
        place
        for place, (before, own) in enumerate(pairwise(told), start=1)
        if before != own or own in alone()
    ]
    return [rows.slice(first, last - first) for first, last in pairwise([0, *firsts, rows.height])]


def _parts(ranges: list[Chunk], lines: list[int], starts: Sequence[int]) -> list[tuple[int, Chunk]]:
    """Cut ranges at the lines with which parts begin; with each part its place, from 1."""
    firsts = [chunk.first_line for chunk in ranges]
    parts = []
    for place, first in enumerate(lines, start=1):
        chunk = ranges[bisect_right(firsts, first) - 1]
        last = min(chunk.last_line, lines[place] - 1) if place < len(lines) else chunk.last_line
        phase = phase_of(starts, first)
        parts.append((place, replace(chunk, first_line=first, last_line=last, phase=phase)))
    return parts
