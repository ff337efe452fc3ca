"""Reads delimited files (CSV and its kin) into columns of text, one record per physical line.

Records come before fields: a line end always ends its record, so a broken line is one broken
record and never shifts or swallows its neighbours. Quoting is RFC 4180 within one line. Clean
lines are read as columns; only lines that break a rule are looked at one by one.

    table = open_delimited(pieces)
    for block in table.blocks:
        records = read_records(block, len(table.names), table.shape)
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from paybatch.domain.delimited_blocks import (
    LINES_PER_BLOCK,
    MAX_TEXT_CHARACTERS,
    Block,
    Fault,
    blocks,
)
from paybatch.domain.delimited_shape import HEAD_BYTES, SEPARATORS, FileRefused, Shape, detect
from paybatch.domain.delimited_sieve import CELL_BREAK, sift

__all__ = [
    "Block",
    "Delimited",
    "Fault",
    "FileRefused",
    "Records",
    "Shape",
    "blocks",
    "detect",
    "open_delimited",
    "read_header",
    "read_records",
    "split_line",
]

MAX_COLUMNS = 1_000

_SLICE_BYTES = 1024 * 1024  # the masks over one slice stay in the processor's cache
_QUOTED_REST = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
_BROKEN = {"line": pl.Int64, "code": pl.String, "fields": pl.Int64, "text": pl.String}


@dataclass(frozen=True)
class Delimited:
    """An opened file.

    Attributes:
        shape: its encoding, separator and line end.
        names: its column names in order, as written: unknown or repeated ones too.
        blocks: its records, without the header line; to be walked once.

    """

    shape: Shape
    names: list[str]
    blocks: Iterator[Block]


@dataclass(frozen=True)
class Records:
    """The records of one block.

    Attributes:
        table: `line` Int64 and `c0`, `c1` ... String, by line. An empty cell is null, quotes are
            gone, all else is as written.
        broken: `line` Int64, `code`, `fields` Int64 (how many were found, null when that has no
            sense), `text` (the raw line, 1000 characters at most; may hold card numbers), by line.
            Codes: `too_few_fields`, `too_many_fields`, `unbalanced_quote`, `not_text`,
            `line_too_long`.
        blank_lines: how many lines held nothing and were passed over.

    """

    table: pl.DataFrame
    broken: pl.DataFrame
    blank_lines: int


def open_delimited(
    source: Iterable[bytes],
    *,
    separators: str = SEPARATORS,
    max_columns: int = MAX_COLUMNS,
    lines_per_block: int = LINES_PER_BLOCK,
) -> Delimited:
    """Detect the shape, read the header and stand before the first record.

    Raises:
        FileRefused: as `detect` and `read_header`, or `header_only`.

    """
    pieces = iter(source)
    head = b"".join(_taken(pieces, HEAD_BYTES))
    shape = detect(head[:HEAD_BYTES], separators=separators)
    cut = blocks(itertools.chain([head], pieces), shape, lines_per_block=lines_per_block)
    first = next(cut)
    names = read_header(first, shape, max_columns=max_columns)
    for block in itertools.chain([first.without_first_line()], cut):
        if not block.is_blank:
            return Delimited(shape, names, itertools.chain([block], cut))
    raise FileRefused(
        "header_only", "The file ends after its column names; at least one row is needed."
    )


def _taken(pieces: Iterator[bytes], at_least: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        yield piece
        size += len(piece)
        if size >= at_least:
            return


def read_header(block: Block, shape: Shape, *, max_columns: int = MAX_COLUMNS) -> list[str]:
    """Give the column names of a file's first block in order, without quotes and outer blanks.

    Unknown, missing and repeated names are not judged here.

    Raises:
        FileRefused: `header_blank`, `not_delimited`, `too_many_columns`, `unbalanced_quote`,
            `not_text` or `line_too_long`.

    """
    for fault in block.faults:
        if fault.line == block.first_line:
            what = "is too long" if fault.code == "line_too_long" else "is not text"
            raise FileRefused(fault.code, f"Line 1 {what}; it must hold the column names.")
    line = block.data[: max(block.data.find(b"\n"), 0)].decode()
    if line.lstrip().startswith(("{", "[", "<")):
        raise FileRefused(
            "not_delimited",
            "Line 1 begins as JSON or XML does; a file of column names and rows is needed.",
        )
    if not line.strip():
        raise FileRefused("header_blank", "Line 1 is blank; it must hold the column names.")
    names = split_line(line, shape.separator)
    if names is None:
        raise FileRefused(
            "unbalanced_quote", "Line 1: a quote is never closed; quotes must come in pairs."
        )
    if len(names) > max_columns:
        raise FileRefused(
            "too_many_columns",
            f"Line 1: the file has {len(names)} columns; at most {max_columns} are allowed.",
        )
    return [name.strip() for name in names]


def read_records(block: Block, width: int, shape: Shape) -> Records:
    """Read the records of a block that has no header line; `width` is the number of columns."""
    reading = _Reading(block, width, shape.separator)
    for start, end in _slices(block.data):
        reading.read(block.data[start:end])
    return reading.records()


def split_line(line: str, separator: str) -> list[str] | None:
    """Split one line into cells; None when a quoted cell is not closed or goes on after its end.

    A quote inside an unquoted cell is an ordinary character.
    """
    if '"' not in line:
        return line.split(separator)
    cells, at = [], 0
    while True:
        if line.startswith('"', at):
            found = _QUOTED_REST.match(line, at + 1)
            if found is None or line[found.end() : found.end() + 1] not in ("", separator):
                return None
            cells.append(found[0][:-1].replace('""', '"'))
            at = found.end()
        else:
            end = line.find(separator, at)
            end = len(line) if end < 0 else end
            cells.append(line[at:end])
            at = end
        if at == len(line):
            return cells
        at += 1


def _slices(data: bytes) -> Iterator[tuple[int, int]]:
    """Cut a block after whole lines into slices of about `_SLICE_BYTES`."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + _SLICE_BYTES) + 1 or len(data)
        yield start, end
        start = end


class _Reading:
    """What has been read of one block so far."""

    def __init__(self, block: Block, width: int, separator: str) -> None:
        self._width = width
        self._separator = separator
        self._blanks = " \t".replace(separator, "")
        self._line = block.first_line
        self._clean: list[bytes] = []
        self._clean_lines: list[npt.NDArray[np.intp]] = []
        self._careful: list[list[int | str | None]] = []
        self._broken: list[tuple[int, str, int | None, str]] = [
            (fault.line, fault.code, None, fault.text) for fault in block.faults
        ]
        self._blank_lines = -len(block.faults)  # their lines stand empty in the data

    def read(self, data: bytes) -> None:
        """Take clean lines as columns, and look at the others one by one."""
        lines = sift(data, self._separator)
        is_clean = lines.is_sound & (lines.separators == self._width - 1) & ~lines.is_empty
        if self._width == 1:
            is_clean[:] = False  # a line of blanks has the right number of cells here
        self._clean.append(lines.cells(is_clean))
        self._clean_lines.append(np.flatnonzero(is_clean) + self._line)
        self._blank_lines += int(lines.is_empty.sum())
        for index in np.flatnonzero(~is_clean & ~lines.is_empty).tolist():
            self._look(self._line + index, lines.line(index), is_sound=bool(lines.is_sound[index]))
        self._line += len(is_clean)

    def _look(self, line: int, text: str, *, is_sound: bool) -> None:
        """Read one line that is not clean: stray quotes are taken as they are if all else fits."""
        if not text.strip(self._blanks):
            self._blank_lines += 1
            return
        cells = split_line(text, self._separator)
        if cells is not None and len(cells) == self._width:
            self._careful.append([line, *(cell or None for cell in cells)])
            return
        found = None
        code = "unbalanced_quote"
        if cells is not None and is_sound:
            found = len(cells)
            code = "too_few_fields" if found < self._width else "too_many_fields"
        self._broken.append((line, code, found, text[:MAX_TEXT_CHARACTERS]))

    def records(self) -> Records:
        """Put together what was read, by line."""
        names = [f"c{index}" for index in range(self._width)]
        header = CELL_BREAK.join(names).encode() + b"\n"
        # The header keeps polars from taking a mark or blanks at the start of the data away.
        table = pl.read_csv(
            b"".join((header, *self._clean)),
            separator=CELL_BREAK,
            quote_char=None,
            infer_schema=False,
        )
        clean_lines = np.concatenate((np.empty(0, np.int64), *self._clean_lines))
        table.insert_column(0, pl.Series("line", clean_lines, pl.Int64))
        if self._careful:
            schema = {"line": pl.Int64, **dict.fromkeys(names, pl.String)}
            careful = pl.DataFrame(self._careful, schema, orient="row")
            table = pl.concat([table, careful]).sort("line")
        broken = pl.DataFrame(self._broken, _BROKEN, orient="row").sort("line")
        return Records(table, broken, self._blank_lines)
