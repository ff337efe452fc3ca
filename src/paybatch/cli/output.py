"""How commands speak: tables for people, JSON for programs, sentences for errors."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, time
from typing import IO, Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paybatch.domain.masking import mask_text
from paybatch.domain.money import decimal_text

WRONG_USAGE = 2
REFUSED = 3
NOT_ALL_APPROVED = 4
ONLY_UNKNOWN = 5

SENTENCES = frozenset({"message", "advice", "title", "allowed", "meaning"})
SENTENCE_WIDTH_MIN = 40
_OWN_IDS = re.compile("((?:bat|pay|op|card|bank)_[0-9a-v]{20,36})")


class OutputError(Exception):
    """Standard output cannot be written to; the sentence says why."""


class Screen(Console):
    """A console for which a reader that goes away is no error: what was done is done."""

    def on_broken_pipe(self) -> None:
        """Print the rest to nobody, in place of ending the program with a code of rich's own."""
        self.quiet = True
        mute(self.file)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does.

        Raises:
            OutputError: It cannot be written.
        """
        try:
            super().print(*objects, **options)
        except OSError as error:
            self.on_broken_pipe()
            raise OutputError(_unwritten(error)) from error


out = Screen(highlight=False)
err = Screen(stderr=True, highlight=False)


def mute(stream: IO[str]) -> None:
    """Send what is written to a stream from now on, and what it still holds, to nobody."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nobody, stream.fileno())
    os.close(nobody)


def write(text: str) -> None:
    """Write to standard output as it stands; a reader that went away is no error.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        mute(sys.stdout)
    except OSError as error:
        mute(sys.stdout)
        raise OutputError(_unwritten(error)) from error


def _unwritten(error: OSError) -> str:
    return f"What was to be printed here cannot be written ({error.strerror})."


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Print a sentence to standard error and end with an exit code."""
    with suppress(OutputError):  # the code says it too
        err.print(Text.assemble(("paybatch:", "red"), " ", shown(sentence)), soft_wrap=True)
    sys.exit(code)


def say(sentence: str) -> None:
    """Print a sentence; what came from a file in it cannot steer the terminal."""
    out.print(shown(sentence), markup=False, soft_wrap=True)


def shown(text: str) -> str:
    """Make a text fit to be shown: it may repeat what a person typed, card numbers too."""
    parts = _OWN_IDS.split(text)  # every second one is an id of ours: chance may give it digits
    parts[::2] = map(mask_text, parts[::2])
    return printable("".join(parts))


def printable(text: str) -> str:
    """Put a mark in place of what is not printable: control characters could steer a terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


def sentence_of(error: Exception) -> str | None:
    """Give the sentence of an expected error; None for one that is a bug."""
    from paybatch.domain.delimited import FileRefused  # noqa: PLC0415 - only when it is needed
    from paybatch.flow.engine import BatchUnknownError, OtherInstallationError  # noqa: PLC0415
    from paybatch.flow.people import WrongError  # noqa: PLC0415
    from paybatch.flow.place import PlaceUnknownError  # noqa: PLC0415
    from paybatch.flow.schema import SchemaBehindError  # noqa: PLC0415
    from paybatch.flow.working.replies import ConnectorError  # noqa: PLC0415
    from paybatch.store.blobs import BlobsError  # noqa: PLC0415
    from paybatch.store.database import DatabaseBusyError, DatabaseGoneError  # noqa: PLC0415
    from paybatch.store.embedded import EmbeddedError  # noqa: PLC0415
    from paybatch.store.keys import KeysError  # noqa: PLC0415

    expected = (
        *(FileRefused, BatchUnknownError, OtherInstallationError, SchemaBehindError),
        *(PlaceUnknownError, BlobsError, DatabaseBusyError, DatabaseGoneError),
        *(ConnectorError, EmbeddedError, KeysError, WrongError, OutputError),
    )
    if isinstance(error, ValidationError) and error.title == "Settings":
        return " ".join(map(_setting_sentence, error.errors(include_input=False)))
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        return "A word of this command holds bytes that are not text."
    return str(error) if isinstance(error, expected) else None


def _setting_sentence(error: ErrorDetails) -> str:
    name = "_".join(str(part) for part in error["loc"]).upper()
    said = error["msg"].removeprefix("Value error, ")  # pydantic's own word before ours
    return f"The setting PAYBATCH_{name} is wrong: {said}."


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    write(json.dumps(value, default=_json_value, indent=2) + "\n")


class Amount(str):
    """An amount of money for people, such as ``12.50``; it stands to the right."""

    __slots__ = ()


def amount(minor: int | None, currency: str | None) -> Amount | None:
    """Write minor units with the digits of their currency; None where there is no amount."""
    if minor is None:
        return None
    if currency is None:
        return Amount(f"{minor:,} minor units") if minor else None
    return Amount(decimal_text(minor, currency))


def show_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows as a table; ``columns`` gives the heading of each key, numbers to the right.

    Only sentences (``SENTENCES``) are folded, so that ids and names can be copied; in a pipe
    nothing is.
    """
    if title:
        out.print(shown(title), style="bold", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold underline")
    width = 0
    for key, heading in columns.items():
        values = [row.get(key) for row in rows]
        table.add_column(
            heading,
            justify="right" if _is_numeric(values) else "left",
            no_wrap=key not in SENTENCES or not out.is_terminal,
            overflow="fold",
        )
        longest = max(len(heading), *(len(_cell(value)) for value in values), 0)
        folds = key in SENTENCES and out.is_terminal
        width += 2 + (min(longest, SENTENCE_WIDTH_MIN) if folds else longest)
    for row in rows:
        table.add_row(*(Text(shown(_cell(row.get(key)))) for key in columns))
    console = out if width <= out.width else Console(highlight=False, width=width)
    with console.capture() as captured:
        console.print(table)
    write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _is_numeric(values: Sequence[Any]) -> bool:
    given = [value for value in values if value is not None]
    return bool(given) and all(
        isinstance(value, int | Amount) and not isinstance(value, bool) for value in given
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)


def show(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], title: str, *, as_json: bool
) -> None:
    """Print a listing as a table or as a JSON array; every object has ``id`` and ``state``."""
    if as_json:
        show_json([{"id": row["id"], "state": "active", **row} for row in rows])
    elif rows:
        show_table(title, rows, columns)
    else:
        say(f"{title}: none.")


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values, one to a line; those without a value are left out."""
    given = {name: _cell(value) for name, value in facts.items() if value is not None}
    width = max((len(name) for name in given), default=0)
    for name, value in given.items():
        say(f"{name:<{width}}  {value}")
