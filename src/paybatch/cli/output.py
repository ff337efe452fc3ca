"""How commands speak: tables for people, JSON for programs, sentences for errors."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

WRONG_USAGE = 2
REFUSED = 3
NOT_ALL_APPROVED = 4
ONLY_UNKNOWN = 5

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def fail(sentence: str, code: int = 1) -> NoReturn:
    """Print a sentence to standard error and end with an exit code."""
    err.print(f"[red]paybatch:[/red] {_plain(sentence)}", soft_wrap=True)
    sys.exit(code)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


def sentence_of(error: Exception) -> str | None:
    """Give the sentence of an expected error; None for one that is a bug."""
    from paybatch.domain.delimited import FileRefused  # noqa: PLC0415 - only when it is needed
    from paybatch.flow.engine import (  # noqa: PLC0415
        BatchUnknownError,
        OtherInstallationError,
        SchemaBehindError,
    )
    from paybatch.flow.place import PlaceUnknownError  # noqa: PLC0415
    from paybatch.store.blobs import BlobsError  # noqa: PLC0415
    from paybatch.store.database import DatabaseGoneError  # noqa: PLC0415
    from paybatch.store.embedded import EmbeddedError  # noqa: PLC0415
    from paybatch.store.keys import KeysError  # noqa: PLC0415

    expected = (
        *(FileRefused, BatchUnknownError, OtherInstallationError, SchemaBehindError),
        *(PlaceUnknownError, BlobsError, DatabaseGoneError, EmbeddedError, KeysError),
    )
    return str(error) if isinstance(error, expected) else None


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    sys.stdout.write(json.dumps(value, default=_json_value, indent=2) + "\n")


def show_table(title: str, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """Print rows as a table; ``columns`` gives the heading of each key, numbers to the right."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for key, heading in columns.items():
        number = bool(rows) and all(isinstance(row.get(key), int) for row in rows)
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(key)) for key in columns))
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return _plain(str(value))


def show(
    rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], title: str, *, as_json: bool
) -> None:
    """Print a listing as a table or as a JSON array."""
    if as_json:
        show_json([dict(row) for row in rows])
    else:
        show_table(title, rows, columns)
