"""Phases: where the rows of a batch must wait for those above them."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import Connection

from paybatch.store.database import Row
from paybatch.store.statements import statements

_SQL = statements("phase")


@dataclass(frozen=True)
class Rules:
    """Where phases begin: rows of the kinds ``barriers`` that follow each other are one.

    Of those of ``alone`` each row is one; those of ``in_line`` are one for each chunk, as the lines
    ``chunk_starts`` (ascending) cut them: chunks of a phase have no order among them.
    """

    barriers: Sequence[str]
    alone: Sequence[str]
    in_line: Sequence[str]
    chunk_starts: Sequence[int]


def has_kinds(connection: Connection[Row], batch_id: int, kinds: Sequence[str]) -> bool:
    """Tell whether a batch has accepted rows of any of these kinds."""
    parameters = {"batch_id": batch_id, "kinds": list(kinds)}
    row = connection.execute(_SQL["has_kinds"], parameters).fetchone()
    return bool(row and row[0])


def starts(
    connection: Connection[Row],
    merchant_ids: Sequence[int],
    ids: dict[str, int],
    rules: Rules,
) -> list[int]:
    """Give the lines with which phases begin, but for the first one."""
    parameters = {
        "merchant_ids": list(merchant_ids),
        **ids,
        "barriers": list(rules.barriers),
        "alone": list(rules.alone),
        "in_line": list(rules.in_line),
        "chunk_starts": list(rules.chunk_starts),
    }
    return [int(row[0]) for row in connection.execute(_SQL["starts"], parameters).fetchall()]


def rows_of_parts(
    connection: Connection[Row],
    merchant_ids: Sequence[int],
    ids: dict[str, int],
    first_lines: Sequence[int],
) -> dict[int, int]:
    """Count the rows of parts that begin with these lines (ascending): place from 1 -> rows."""
    parameters = {"merchant_ids": list(merchant_ids), **ids, "first_lines": list(first_lines)}
    rows = connection.execute(_SQL["rows_of_parts"], parameters).fetchall()
    return {int(row[0]): int(row[1]) for row in rows}
