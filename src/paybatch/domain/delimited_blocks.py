"""A delimited file cut into blocks of whole physical lines in UTF-8, whatever it came in.

Each step is a generator that holds one bounded piece, so memory does not grow with the file.
Where the blocks are cut does not depend on how the bytes arrived.
"""

import codecs
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from paybatch.domain.delimited_shape import Shape

LINES_PER_BLOCK = 50_000
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_BLOCK_BYTES = 32 * 1024 * 1024
MAX_TEXT_CHARACTERS = 1_000

_PIECE_BYTES = 1024 * 1024
_MARK = "\ufeff"


@dataclass(frozen=True)
class Fault:
    """A line whose bytes cannot be read as a record: `not_text` or `line_too_long`.

    Attributes:
        line: physical line number.
        code: why it cannot be read.
        text: its first 1000 characters, what is not text shown as U+FFFD. May hold card numbers.

    """

    line: int
    code: str
    text: str = field(repr=False)


@dataclass(frozen=True)
class Block:
    """Whole lines of a file, made by `blocks`.

    Attributes:
        first_line: physical line number of its first line; the header is line 1.
        data: UTF-8 without carriage returns and NUL, every line ended by a line feed.
        faults: lines that cannot be read, by line; in `data` they stand empty.

    """

    first_line: int
    data: bytes = field(repr=False)
    faults: tuple[Fault, ...] = ()

    @property
    def lines(self) -> int:
        """How many physical lines it holds."""
        return self.data.count(b"\n")

    @property
    def is_blank(self) -> bool:
        """Whether no line of it holds anything but blanks."""
        return not self.faults and not self.data.strip(b" \t\n")

    def without_first_line(self) -> "Block":
        """Give the rest of the block, after the header."""
        faults = tuple(fault for fault in self.faults if fault.line != self.first_line)
        return Block(self.first_line + 1, self.data[self.data.find(b"\n") + 1 :], faults)


def blocks(
    source: Iterable[bytes],
    shape: Shape,
    *,
    lines_per_block: int = LINES_PER_BLOCK,
    max_line_bytes: int = MAX_LINE_BYTES,
    max_block_bytes: int = MAX_BLOCK_BYTES,
) -> Iterator[Block]:
    """Cut a raw file, given in pieces of any size, into blocks.

    A block ends after `lines_per_block` lines, or earlier when it is full; it goes over
    `max_block_bytes` by little more than a line. A line longer than `max_line_bytes`, with a NUL
    or with bytes that are not of the encoding becomes a fault; an empty file gives no block.
    """
    pieces = _even_ends(_as_utf8(_even_pieces(source), shape))
    first_line = 1
    for data in _full_blocks(
        _whole_lines(pieces, max_line_bytes), lines_per_block, max_block_bytes
    ):
        block = _sound(Block(first_line, data), max_line_bytes)
        yield block
        first_line += block.lines


def _even_pieces(source: Iterable[bytes]) -> Iterator[bytes]:
    """Give the same bytes in pieces of one size."""
    waiting = bytearray()
    for piece in source:
        for start in range(0, len(piece), _PIECE_BYTES):
            waiting += piece[start : start + _PIECE_BYTES]
            if len(waiting) >= _PIECE_BYTES:
                yield bytes(waiting[:_PIECE_BYTES])
                del waiting[:_PIECE_BYTES]
    if waiting:
        yield bytes(waiting)


def _as_utf8(pieces: Iterator[bytes], shape: Shape) -> Iterator[bytes]:
    """Recode to UTF-8 without the mark; what is not of the encoding comes out as broken UTF-8."""
    if shape.has_bom:
        pieces = _without_mark(pieces, len(_MARK.encode(shape.encoding)))
    match shape.encoding:
        case "utf-8":
            yield from pieces
        case "cp1252":
            for piece in pieces:
                text = piece.decode("cp1252", "surrogateescape")
                yield text.encode("utf-8", "surrogatepass")
        case _:
            decoder = codecs.getincrementaldecoder(shape.encoding)("surrogatepass")
            for piece in pieces:
                yield decoder.decode(piece).encode("utf-8", "surrogatepass")
            if decoder.getstate()[0]:
                yield b"\xff"  # half a character at the end of the file


def _without_mark(pieces: Iterator[bytes], mark_bytes: int) -> Iterator[bytes]:
    yield next(pieces, b"")[mark_bytes:]
    yield from pieces


def _even_ends(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Make every end of a line a line feed; a pair may be cut in two by the pieces."""
    held = b""
    for arrived in pieces:
        piece = held + arrived if held else arrived
        held = b""
        if b"\r" in piece:
            if piece.endswith(b"\r"):
                held, piece = b"\r", piece[:-1]
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        yield piece
    if held:
        yield b"\n"


def _whole_lines(pieces: Iterable[bytes], max_line_bytes: int) -> Iterator[bytes]:
    """Give pieces that end with a line; of a line without an end little over the limit is kept."""
    tail, tail_bytes = [b""], 0
    for piece in pieces:
        room = max_line_bytes + 1 - tail_bytes
        first, last = piece.find(b"\n"), piece.rfind(b"\n") + 1
        if last:
            yield b"".join((*tail, piece[: min(first, room)], piece[first:last]))
            tail, tail_bytes, room = [], 0, max_line_bytes + 1
        tail.append(piece[last : last + room])
        tail_bytes += len(tail[-1])
    if tail_bytes:
        yield b"".join((*tail, b"\n"))


def _full_blocks(
    pieces: Iterable[bytes], lines_per_block: int, max_block_bytes: int
) -> Iterator[bytes]:
    """Gather whole lines until a block is full by lines or by bytes."""
    waiting: list[bytes] = []
    lines = size = 0
    for piece in pieces:
        waiting.append(piece)
        lines += piece.count(b"\n")
        size += len(piece)
        if lines >= lines_per_block:
            *full, rest = _cut(b"".join(waiting), lines_per_block)
            yield from full
            waiting, lines, size = [rest], rest.count(b"\n"), len(rest)
        if size >= max_block_bytes:
            yield b"".join(waiting)
            waiting, lines, size = [], 0, 0
    if size:
        yield b"".join(waiting)


def _cut(data: bytes, lines_per_block: int) -> list[bytes]:
    """Cut after every so many lines; the last part has fewer lines, maybe none."""
    ends = line_ends(data)[lines_per_block - 1 :: lines_per_block] + 1
    bounds = [0, *ends.tolist(), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


def line_ends(data: bytes) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """Give the positions of the line feeds."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))


def _sound(block: Block, max_line_bytes: int) -> Block:
    """Take the lines that are not text or too long out of a block, and name them as faults."""
    longest = int(np.diff(line_ends(block.data), prepend=-1).max()) - 1
    if longest <= max_line_bytes and _is_text(block.data):
        return block
    lines = block.data.split(b"\n")
    faults = []
    for index, line in enumerate(lines):
        code = _fault_code(line, max_line_bytes)
        if code:
            faults.append(Fault(block.first_line + index, code, _shown(line)))
            lines[index] = b""
    return Block(block.first_line, b"\n".join(lines), tuple(faults))


def _fault_code(line: bytes, max_line_bytes: int) -> str | None:
    if len(line) > max_line_bytes:
        return "line_too_long"
    return None if _is_text(line) else "not_text"


def _is_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    try:
        return data.isascii() or bool(data.decode("utf-8"))
    except UnicodeDecodeError:
        return False


def _shown(line: bytes) -> str:
    """Give the start of a line as text that any store can keep."""
    text = line[: 4 * MAX_TEXT_CHARACTERS].decode("utf-8", "replace")
    return text[:MAX_TEXT_CHARACTERS].replace("\0", "\ufffd")
