"""Subjects: which payment each row acts on, and which rows share one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row, copy_out
from paybatch.store.operations import join_ranges
from paybatch.store.statements import statements

_SQL = statements("subject")

STORED = {
    "merchant_id": pl.Int32(),
    "payment_reference": pl.String(),
    "live_count": pl.Int64(),
    "live_id": pl.Int64(),
    "test_count": pl.Int64(),
    "test_id": pl.Int64(),
}


@dataclass(frozen=True)
class Modes:
    """Which gates are in test mode, and which merchants' default gate is; all others are live."""

    test_gates: list[int]
    test_merchants: list[int]


def has_subjects(
    connection: Connection[Row], merchant_ids: Sequence[int], ids: dict[str, int]
) -> bool:
    """Tell whether any row of a range of ids acts on a payment."""
    parameters = {"merchant_ids": list(merchant_ids), **ids}
    row = connection.execute(_SQL["has_subjects"], parameters).fetchone()
    return bool(row and row[0])


def resolve_subjects(
    connection: Connection[Row],
    batch_id: int,
    merchant_ids: Sequence[int],
    ids: dict[str, int],
    *,
    creating_kinds: Sequence[str],
    modes: Modes,
) -> None:
    """Find the payment of every row that names one by reference."""
    parameters = {
        "batch_id": batch_id,
        "merchant_ids": list(merchant_ids),
        **ids,
        "creating": list(creating_kinds),
        "test_gates": modes.test_gates,
        "test_merchants": modes.test_merchants,
    }
    connection.execute(_SQL["resolve_subjects"], parameters)


def order_subjects(
    connection: Connection[Row],
    batch_id: int,
    merchant_ids: Sequence[int],
    ids: dict[str, int],
    *,
    first_chunk: int,
    chunk_rows: int,
    start_ids: Sequence[int] = (),
    in_line: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Give rows on busy payments to ordered chunks; return chunk_number, row_count, merchants.

    ``start_ids`` are the ids with which phases begin: no chunk has rows of two. ``first_id`` is the
    first one of a chunk. Rows of the kinds ``in_line`` are given to none.
    """
    parameters = {
        "batch_id": batch_id,
        "merchant_ids": list(merchant_ids),
        **ids,
        "first_chunk": first_chunk,
        "chunk_rows": chunk_rows,
        "in_line": list(in_line),
    }
    join_ranges(connection)
    connection.execute(_SQL["order_subjects"], parameters)
    if start_ids:
        cut = {"batch_id": batch_id, "first_chunk": first_chunk, "start_ids": list(start_ids)}
        connection.execute(_SQL["part_ordered"], cut)
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["ordered_chunks"], {"batch_id": batch_id}).fetchall()


def payments_of_references(
    connection: Connection[Row], keys: pl.DataFrame, test_gates: Sequence[int]
) -> pl.DataFrame:
    """Count the payments of ``merchant_id, payment_reference``; shaped as ``STORED``.

    Declined ones count only where there is no other.

    The ids are those of the newest ones. A reference that no payment has is not in the result.
    """
    parameters = {
        "merchant_ids": keys["merchant_id"].to_list(),
        "references": keys["payment_reference"].to_list(),
        "test_gates": list(test_gates),
    }
    return copy_out(connection, _SQL["payments_of_references"], parameters, STORED)
