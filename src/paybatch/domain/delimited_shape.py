"""Tells a delimited file's encoding, line ends and separator from its first bytes."""

import codecs
import re
from dataclasses import dataclass

HEAD_BYTES = 1024 * 1024
"""How much of a file `detect` wants to see."""

SEPARATORS = ",;\t|"
"""The separators a file may use, the likelier first."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LINE_END = re.compile("\r\n|\n|\r")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_MOST_CONTROL_PERCENT = 1
_FEW_CONTROL = 3  # so many in a file of few lines are left to their lines
_NOT_TEXT = "is not text; a text file in UTF-8, UTF-16 or Windows-1252 is allowed."


class FileRefused(Exception):  # noqa: N818 - a refusal is an answer to the sender, not an error
    """A whole file that we do not read: nothing of it is carried out.

    Attributes:
        code: the reason in snake_case, such as `file_empty`; stable, for programs.
        sentence: where, what, and what is allowed; for people.

    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Shape:
    """How the bytes of a delimited file are to be read.

    Attributes:
        encoding: `utf-8`, `utf-16-le`, `utf-16-be` or `cp1252`.
        has_bom: whether the file starts with the byte order mark of its encoding.
        separator: the one character between two cells.
        line_end: the commonest line end; a file may mix them, all three are always understood.

    """

    encoding: str
    has_bom: bool
    separator: str
    line_end: str


def detect(head: bytes, *, separators: str = SEPARATORS) -> Shape:
    """Tell the shape of a file from its first `HEAD_BYTES`, or from all of a shorter file.

    A stray control character is left to its line. A file with one in its first line, or with
    many of them, is not text.

    Raises:
        FileRefused: `file_empty` (nothing but blanks) or `not_text`.

    """
    encoding, mark = _encoding(head)
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head[len(mark) :])
    if not text.strip():
        raise FileRefused(
            "file_empty", "The file is empty; a line of column names and rows are needed."
        )
    header = _LINE_END.split(text.lstrip("\r\n"), maxsplit=1)[0]
    _refuse_binary(header, text)
    return Shape(encoding, bool(mark), _separator(header, separators), _line_end(text))


def _encoding(head: bytes) -> tuple[str, bytes]:
    """Give the encoding and the byte order mark that was found (or nothing)."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, mark
    # Column names start with two ASCII letters or quotes: in UTF-16 every other byte is zero.
    match [byte != 0 for byte in head[:4]]:
        case [True, False, True, False]:
            return "utf-16-le", b""
        case [False, True, False, True]:
            return "utf-16-be", b""
    return ("utf-8" if _is_mostly_utf8(head) else "cp1252"), b""


def _is_mostly_utf8(head: bytes) -> bool:
    """Say whether damage is rarer than true UTF-8 characters: then the damage is its line's."""
    is_whole = len(head) < HEAD_BYTES  # else the last character may be cut
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head, is_whole)
    damaged = text.count("\ufffd")
    if not damaged:
        return True
    plain = len(text.encode("ascii", "ignore"))
    return len(text) - plain - damaged > damaged


def _refuse_binary(header: str, text: str) -> None:
    first = _CONTROL.search(header)
    if first:
        where = f"Line 1, character {first.start() + 1}: a control character; the file"
        raise FileRefused("not_text", f"{where} {_NOT_TEXT}")
    found = len(_CONTROL.findall(text))
    if found > _FEW_CONTROL and 100 * found > _MOST_CONTROL_PERCENT * len(text):
        raise FileRefused("not_text", f"The file is full of control characters and {_NOT_TEXT}")


def _separator(header: str, separators: str) -> str:
    """Give the commonest candidate outside quotes; the first of them when there is none."""
    outside = "".join(header.split('"')[::2])
    return max(separators, key=outside.count)


def _line_end(text: str) -> str:
    both = text.count("\r\n")
    counts = {"\n": text.count("\n") - both, "\r\n": both, "\r": text.count("\r") - both}
    return max(counts, key=lambda end: counts[end])
