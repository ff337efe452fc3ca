"""Tells, for many lines at once, which follow the quoting rules and where their cells end.

Over the bytes of whole lines, numpy masks find quotes, the parity of quotes (inside or outside a
quoted cell) and the separators outside quotes. The lines that are sound come out with their
quotes resolved and a NUL between cells, so that the columns can be cut without any quoting rule.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paybatch.domain.delimited_blocks import line_ends

CELL_BREAK = "\0"
"""Stands between cells; no block holds a NUL."""

Mask = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.uint8]
_Integers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Sieve:
    """Some whole lines, looked through.

    Attributes:
        separators: of each line, how many separators stand outside quotes.
        is_sound: of each line, whether its quoting is plain RFC 4180.
        is_empty: of each line, whether it holds nothing at all.

    """

    separators: _Integers
    is_sound: Mask
    is_empty: Mask
    _data: bytes
    _starts: _Integers
    _ends: _Integers
    _text: _Bytes
    _is_kept: Mask | None

    def cells(self, is_wanted: Mask) -> bytes:
        """Give the wanted lines, which must be sound: quotes resolved, `CELL_BREAK` for cells."""
        is_kept = self._is_kept
        if not is_wanted.all():
            of_bytes = np.repeat(is_wanted, self._ends - self._starts + 1)
            is_kept = of_bytes if is_kept is None else is_kept & of_bytes
        return (self._text if is_kept is None else self._text[is_kept]).tobytes()

    def line(self, index: int) -> str:
        """Give one line as it was written, without its end."""
        return self._data[self._starts[index] : self._ends[index]].decode()


def sift(data: bytes, separator: str) -> Sieve:
    """Look through lines of UTF-8, each ended by a line feed, at least one of them."""
    text = np.frombuffer(data, np.uint8)
    ends = line_ends(data)
    starts = np.concatenate(([0], ends[:-1] + 1))
    is_separator = text == ord(separator)
    is_sound, is_kept = np.ones(len(ends), np.bool_), None
    if b'"' in data:
        is_quote = text == ord('"')
        is_sound = np.add.reduceat(is_quote.view(np.uint8), starts, dtype=np.uint8) % 2 == 0
        if not is_sound.all():  # an odd quote would turn inside out all lines after it
            is_quote &= np.repeat(is_sound, ends - starts + 1)
        is_edge = is_separator | (text == ord("\n"))
        is_inside, is_kept, is_wrong = _quoting(is_quote, is_edge)
        is_separator &= ~is_inside
        if is_wrong.any():
            is_sound &= ~np.logical_or.reduceat(is_wrong, starts)
    counts = np.add.reduceat(is_separator.view(np.uint8), starts, dtype=np.intp)
    cut = text * ~is_separator
    return Sieve(counts, is_sound, starts == ends, data, starts, ends, cut, is_kept)


def _quoting(is_quote: Mask, is_edge: Mask) -> tuple[Mask, Mask, Mask]:
    """Give the bytes inside quotes, the bytes that stay when quotes are resolved, wrong quotes.

    The lines hold even numbers of quotes. An opening quote follows the edge of a cell, or a
    closing quote: then the two are one doubled quote, of which the second stays. A closing quote
    is followed by an edge or by such an opening quote.
    """
    is_inside = np.bitwise_xor.accumulate(is_quote.view(np.uint8)).view(np.bool_)
    opens = is_quote & is_inside
    follows_quote = np.concatenate(([False], is_quote[:-1]))
    follows_edge = np.concatenate(([True], is_edge[:-1]))
    before_either = np.concatenate(((is_edge | is_quote)[1:], [True]))
    is_wrong = opens & ~(follows_edge | follows_quote)
    is_wrong |= is_quote & ~is_inside & ~before_either
    return is_inside, ~is_quote | (opens & follows_quote), is_wrong
