"""Gauges: how much is to be done and in doubt, for those who watch an installation."""

from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row
from paybatch.store.statements import statements

_SQL = statements("gauge")


def _rows(connection: Connection[Row], name: str) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name]).fetchall()


def open_rows(connection: Connection[Row]) -> list[dict[str, Any]]:
    """Count the chunks that are not done, and their rows, by ``state``."""
    return _rows(connection, "open_rows")


def open_batches(connection: Connection[Row]) -> list[dict[str, Any]]:
    """Count unfinished batches by ``state``."""
    return _rows(connection, "open_batches")


def unknown_calls(connection: Connection[Row]) -> list[dict[str, Any]]:
    """Count what is unknown by ``merchant, gate, state``, with the oldest's time (``since``)."""
    return _rows(connection, "unknown_calls")


def gate_names(connection: Connection[Row]) -> dict[int, tuple[str, str]]:
    """Give merchant and name of each gate."""
    rows = _rows(connection, "gate_names")
    return {row["id"]: (row["merchant"], row["gate"]) for row in rows}
