"""Operations, their outcomes, texts and tallies: one function for each statement."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row, copy_in, copy_out, run_each
from paybatch.store.statements import statements

LINE_BITS = 30
LINES_MAX = 1 << LINE_BITS
FILE_LINES_MAX = LINES_MAX >> 1  # the lines behind are those of operations that rows make

CLAIMED = {
    "merchant_id": pl.Int32(),
    "id": pl.Int64(),
    "line": pl.Int64(),
    "kind": pl.String(),
    "gate_id": pl.Int32(),
    "requested_minor": pl.Int64(),
    "currency": pl.String(),
    "payment_id": pl.Int64(),
    "payment_reference": pl.String(),
    "reason": pl.String(),
    "final": pl.Boolean(),
    "number_id": pl.String(),
    "brand": pl.String(),
    "masked": pl.String(),
    "expiry": pl.Int16(),
    "bank_code": pl.String(),
    "account_type": pl.String(),
    "sec_code": pl.String(),
    "has_secret": pl.Boolean(),
}

REPORTED = {
    "line": pl.Int64(),
    "merchant_id": pl.Int32(),
    "id": pl.Int64(),
    "kind": pl.String(),
    "gate_id": pl.Int32(),
    "amount_minor": pl.Int64(),
    "currency": pl.String(),
    "reference": pl.String(),
    "number_id": pl.String(),
    "brand": pl.String(),
    "masked": pl.String(),
    "expiry": pl.Int16(),
    "account_type": pl.String(),
    "sec_code": pl.String(),
    "tax_minor": pl.Int64(),
    "surcharge_minor": pl.Int64(),
    "tip_minor": pl.Int64(),
    "shipping_minor": pl.Int64(),
    "accepted": pl.Boolean(),
    "accepted_epoch": pl.Int64(),
    "state": pl.String(),
    "reason": pl.String(),
    "message": pl.String(),
    "payment_id": pl.Int64(),
    "status": pl.String(),
    "approved_minor": pl.Int64(),
    "response": pl.String(),
    "processor_code": pl.String(),
    "processor_text": pl.String(),
    "approval_code": pl.String(),
    "avs_result": pl.String(),
    "cvv_result": pl.String(),
    "scheme_transaction_id": pl.String(),
    "settled_epoch": pl.Int64(),
    "cells": pl.String(),
}

OPERATION_COLUMNS = (
    *("merchant_id", "id", "batch_id", "line", "sender_id", "kind", "gate_id", "accepted"),
    *("payment_id", "payment_reference", "amount_minor", "currency", "reference"),
    *("idempotency_key", "number_id", "brand", "masked", "expiry", "bank_code"),
    *("account_type", "sec_code", "tax_minor", "surcharge_minor", "tip_minor"),
    *("shipping_minor", "final", "has_secret"),
    "created_at",
)
OUTCOME_COLUMNS = (
    *("merchant_id", "id", "state", "reason", "message", "payment_id", "status"),
    *("approved_minor", "response", "processor_code", "processor_text", "approval_code"),
    *("avs_result", "cvv_result", "scheme_transaction_id", "settled_at"),
)

_SQL = statements("operation")


def operation_id(batch_id: int, line: int) -> int:
    """Give the id of the operation of a batch's line: 33 bits of batch, 30 bits of line."""
    return batch_id << LINE_BITS | line


def line_of(operation: int) -> int:
    """Give the line that the id of an operation was made from."""
    return operation % LINES_MAX


def batch_of(operation: int) -> int:
    """Give the batch that the id of an operation was made from."""
    return operation >> LINE_BITS


def id_range(batch_id: int, first_line: int, last_line: int) -> dict[str, int]:
    """Give the ids that stand for a range of lines, as parameters of a statement."""
    return {
        "first_id": operation_id(batch_id, first_line),
        "last_id": operation_id(batch_id, last_line),
    }


def copy_operations(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store operations; the frame has ``OPERATION_COLUMNS``."""
    copy_in(connection, _SQL["copy_operations"], frame[OPERATION_COLUMNS])


def copy_outcomes(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store outcomes; the frame has ``OUTCOME_COLUMNS``."""
    copy_in(connection, _SQL["copy_outcomes"], frame[OUTCOME_COLUMNS])


def copy_row_texts(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store the rows' own text: ``batch_id, line, created_on, cells``."""
    copy_in(connection, _SQL["copy_row_texts"], frame)


def copy_row_errors(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store what is wrong: ``batch_id, line, number, reason, column_name, value, message``."""
    copy_in(connection, _SQL["copy_row_errors"], frame)


def claim_range(
    connection: Connection[Row],
    merchant_ids: Sequence[int],
    ids: dict[str, int],
    *,
    has_subjects: bool,
) -> pl.DataFrame:
    """Read the accepted operations of a range of ids, shaped as ``CLAIMED``."""
    name = "claim_range" if has_subjects else "claim_range_plain"
    parameters = {"merchant_ids": list(merchant_ids), **ids}
    return copy_out(connection, _SQL[name], parameters, CLAIMED)


def claim_ordered(connection: Connection[Row], batch_id: int, chunk_number: int) -> pl.DataFrame:
    """Read the operations of an ordered chunk in line order, shaped as ``CLAIMED``."""
    parameters = {"batch_id": batch_id, "chunk_number": chunk_number}
    return copy_out(connection, _SQL["claim_ordered"], parameters, CLAIMED)


def row_cells(
    connection: Connection[Row], batch_id: int, place: int, lines: tuple[int, int]
) -> pl.DataFrame:
    """Read one cell (its place in the file counts from 1) of each row of a range of lines."""
    parameters = {
        "batch_id": batch_id,
        "place": place,
        "first_line": lines[0],
        "last_line": lines[1],
    }
    schema = {"line": pl.Int64(), "value": pl.String()}
    return copy_out(connection, _SQL["row_cells"], parameters, schema)


def join_ranges(connection: Connection[Row]) -> None:
    """Make the planner join ranges of ids by sorting or hashing, until the transaction ends."""
    connection.execute(_SQL["join_ranges"])


def report_range(
    connection: Connection[Row],
    batch_id: int,
    merchant_ids: Sequence[int],
    lines: tuple[int, int],
) -> pl.DataFrame:
    """Read what a result needs of a range of lines, shaped as ``REPORTED``."""
    parameters = {
        "batch_id": batch_id,
        "merchant_ids": list(merchant_ids),
        "first_line": lines[0],
        "last_line": lines[1],
        **id_range(batch_id, *lines),
    }
    join_ranges(connection)
    return copy_out(connection, _SQL["report_range"], parameters, REPORTED)


def _rows(
    connection: Connection[Row], name: str, parameters: dict[str, Any]
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], parameters).fetchall()


def first_errors(connection: Connection[Row], batch_id: int, limit: int) -> list[dict[str, Any]]:
    """List the first things that are wrong in a batch, by line."""
    return _rows(connection, "first_errors", {"batch_id": batch_id, "limit": limit})


def first_refusals(
    connection: Connection[Row],
    merchant_ids: Sequence[int],
    ids: dict[str, int],
    limit: int,
) -> list[dict[str, Any]]:
    """List the first refused rows of a range of ids: line, reason, message."""
    parameters = {"merchant_ids": list(merchant_ids), **ids, "limit": limit}
    return _rows(connection, "first_refusals", parameters)


def insert_tallies(connection: Connection[Row], batch_id: int, tallies: pl.DataFrame) -> None:
    """Append counts: ``kind, state, reason, currency, row_count, requested, approved_minor``."""
    rows = [{"batch_id": batch_id, **row} for row in tallies.iter_rows(named=True)]
    run_each(connection, _SQL["insert_tally"], rows)


def tallies(connection: Connection[Row], batch_id: int) -> list[dict[str, Any]]:
    """Give counts and sums of a batch by kind, state, reason and currency.

    Sums are numeric in SQL, as they may pass the largest bigint, and whole.
    """
    rows = _rows(connection, "tallies", {"batch_id": batch_id})
    sums = ("requested_minor", "approved_minor")
    return [{**row, **{name: int(row[name]) for name in sums}} for row in rows]


def seen_references(
    connection: Connection[Row], merchant_ids: Sequence[int], ids: dict[str, int]
) -> int:
    """Count the rows of a range of ids whose reference an earlier batch carried too."""
    parameters = {"merchant_ids": list(merchant_ids), **ids}
    row = connection.execute(_SQL["seen_references"], parameters).fetchone()
    return int(row[0]) if row else 0


def known_references(
    connection: Connection[Row], merchant_id: int, references: Sequence[str]
) -> dict[str, int]:
    """Give those of the references that operations carry already, with their newest batch."""
    parameters = {"merchant_id": merchant_id, "references": list(references)}
    rows = connection.execute(_SQL["known_references"], parameters).fetchall()
    return {str(row[0]): int(row[1]) for row in rows}


def make_text_month(connection: Connection[Row], day: date) -> None:
    """Make the partition of row texts for a day's month, if it is not there."""
    connection.execute(_SQL["make_text_month"], {"day": day})


def drop_text_months(connection: Connection[Row], before: date) -> list[str]:
    """Drop the row texts of the months before a day's month; give the partitions' names."""
    rows = connection.execute(_SQL["drop_text_months"], {"day": before}).fetchall()
    return [str(row[0]) for row in rows]
