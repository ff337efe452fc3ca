"""Attempts: tries of operations at processors that are really outside, and what is unknown."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row, copy_in, copy_out
from paybatch.store.operations import CLAIMED
from paybatch.store.statements import statements

_SQL = statements("attempt")

ATTEMPT_COLUMNS = (
    *("merchant_id", "operation_id", "batch_id", "chunk_number", "gate_id", "key", "act"),
    *("amount_minor", "payment_id", "state", "next_look_at", "created_at"),
)
TAKEN = {
    "merchant_id": pl.Int32(),
    "operation_id": pl.Int64(),
    "batch_id": pl.Int64(),
    "chunk_number": pl.Int32(),
    "gate_id": pl.Int32(),
    "key": pl.String(),
    "act": pl.String(),
    "amount_minor": pl.Int64(),
    "payment_id": pl.Int64(),
    "looks": pl.Int16(),
    "was": pl.String(),
    "created_at": pl.Datetime("us", "UTC"),
    "sent_at": pl.Datetime("us", "UTC"),
}
IN_DOUBT = {"merchant_id": pl.Int32(), "operation_id": pl.Int64(), "payment_id": pl.Int64()}


def copy_attempts(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store attempts; the frame has ``ATTEMPT_COLUMNS``."""
    copy_in(connection, _SQL["copy_attempts"], frame.select_seq(ATTEMPT_COLUMNS))


def _listed(keys: pl.DataFrame) -> dict[str, list[int]]:
    """Give operations by ``merchant_id, id`` as parameters of a statement."""
    return {
        "merchant_ids": keys["merchant_id"].to_list(),
        "operation_ids": keys["id"].to_list(),
    }


def mark_unknown(
    connection: Connection[Row], keys: pl.DataFrame, now: datetime, next_look_at: datetime
) -> list[int]:
    """Note that no clear answer came to operations (``merchant_id, id``): not sent after now.

    Gives those that were still under way: the others were looked up, or decided, meanwhile.
    """
    parameters = {**_listed(keys), "next_look_at": next_look_at, "sent_at": now}
    return [int(row[0]) for row in connection.execute(_SQL["mark_unknown"], parameters).fetchall()]


def abandon_chunk(
    connection: Connection[Row],
    chunk_number: int,
    merchant_ids: Sequence[int],
    ids: dict[str, int],
    next_look_at: datetime,
) -> pl.DataFrame:
    """Take what a worker that is gone had under way as unknown.

    Gives ``merchant_id, id, act, kind, currency, amount_minor`` of it.
    """
    parameters = {
        "chunk_number": chunk_number,
        "merchant_ids": list(merchant_ids),
        **ids,
        "next_look_at": next_look_at,
    }
    rows = connection.execute(_SQL["abandon_chunk"], parameters).fetchall()
    schema = {
        "merchant_id": pl.Int32,
        "id": pl.Int64,
        "act": pl.String,
        "kind": pl.String,
        "currency": pl.String,
        "amount_minor": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def in_doubt(connection: Connection[Row], batch_id: int) -> pl.DataFrame:
    """Give what of a batch is unknown, shaped as ``IN_DOUBT``."""
    rows = connection.execute(_SQL["in_doubt"], {"batch_id": batch_id}).fetchall()
    return pl.DataFrame(rows, schema=IN_DOUBT, orient="row")


def take_due(
    connection: Connection[Row],
    now: datetime,
    *,
    until: datetime,
    connectors: Sequence[str],
    limit: int,
) -> pl.DataFrame:
    """Take attempts that are to be asked about now, shaped as ``TAKEN``; ours until a time.

    Only those at gates of these connectors.
    """
    parameters = {"now": now, "until": until, "connectors": list(connectors), "limit": limit}
    rows = connection.execute(_SQL["take_due"], parameters).fetchall()
    return pl.DataFrame(rows, schema=TAKEN, orient="row")


def find_one(
    connection: Connection[Row], merchant_ids: Sequence[int], operation_id: int
) -> pl.DataFrame:
    """Read the attempt of an operation, shaped as ``TAKEN``; empty = it has none."""
    parameters = {"merchant_ids": list(merchant_ids), "operation_id": operation_id}
    rows = connection.execute(_SQL["find_one"], parameters).fetchall()
    return pl.DataFrame(rows, schema=TAKEN, orient="row")


def take_one(connection: Connection[Row], key: tuple[int, int], now: datetime) -> pl.DataFrame:
    """Take an unknown attempt (merchant, operation) for a person's decision, shaped as ``TAKEN``.

    Empty = it is known by now, or somebody asks about it right now.
    """
    parameters = {"merchant_id": key[0], "operation_id": key[1], "now": now}
    rows = connection.execute(_SQL["take_one"], parameters).fetchall()
    return pl.DataFrame(rows, schema=TAKEN, orient="row")


def _of_payments(keys: pl.DataFrame) -> dict[str, list[int]]:
    """Give payments by ``merchant_id, payment_id`` as parameters of a statement."""
    return {
        "merchant_ids": keys["merchant_id"].to_list(),
        "payment_ids": keys["payment_id"].to_list(),
    }


def take_of_payments(
    connection: Connection[Row],
    keys: pl.DataFrame,
    now: datetime,
    *,
    until: datetime,
    acts: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Take what is unknown of payments (``merchant_id, payment_id``), shaped as ``TAKEN``.

    Only what acted as one of these kinds; None = all.
    """
    named = None if acts is None else list(acts)
    parameters = {**_of_payments(keys), "now": now, "until": until, "acts": named}
    rows = connection.execute(_SQL["take_of_payments"], parameters).fetchall()
    return pl.DataFrame(rows, schema=TAKEN, orient="row")


def standing(connection: Connection[Row], keys: pl.DataFrame) -> pl.DataFrame:
    """Give how attempts (``merchant_id, id``) stand: ``merchant_id, operation_id, state``.

    The state is that of the outcome, or ``unknown`` or ``person``.
    """
    rows = connection.execute(_SQL["standing"], _listed(keys)).fetchall()
    schema = {"merchant_id": pl.Int32, "operation_id": pl.Int64, "state": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def unknown_payments(connection: Connection[Row], keys: pl.DataFrame) -> pl.DataFrame:
    """Give those of some payments of which something is unknown: ``merchant_id, payment_id``."""
    rows = connection.execute(_SQL["unknown_payments"], _of_payments(keys)).fetchall()
    schema = {"merchant_id": pl.Int32, "payment_id": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def makers(connection: Connection[Row], keys: pl.DataFrame) -> pl.DataFrame:
    """Give the known attempts that made payments, shaped as ``TAKEN``."""
    rows = connection.execute(_SQL["makers"], _of_payments(keys)).fetchall()
    return pl.DataFrame(rows, schema=TAKEN, orient="row")


def hasten(
    connection: Connection[Row],
    merchant_ids: Sequence[int],
    operation_ids: Sequence[int] | None,
    now: datetime,
) -> int:
    """Let what is unknown be asked about at once; give how much that is.

    ``operation_ids`` None = all that is unknown of these merchants.
    """
    parameters = {
        "merchant_ids": list(merchant_ids),
        "operation_ids": None if operation_ids is None else list(operation_ids),
        "now": now,
    }
    return connection.execute(_SQL["hasten"], parameters).rowcount


def set_next_look(
    connection: Connection[Row],
    taken: dict[str, Any],
    next_look_at: datetime | None,
    *,
    sent_at: datetime | None = None,
) -> None:
    """Say when an attempt (a row of ``TAKEN``) is asked about again; None = a person decides.

    ``sent_at`` is when it was sent again, if it was.
    """
    names = ("merchant_id", "operation_id", "looks")
    parameters = {name: taken[name] for name in names}
    parameters |= {"next_look_at": next_look_at, "sent_at": sent_at}
    connection.execute(_SQL["set_next_look"], parameters)


def close_attempts(connection: Connection[Row], keys: pl.DataFrame) -> set[int]:
    """Close attempts (``merchant_id, id, looks``) that have become known.

    Gives the operations of those that nobody else closed or took meanwhile.
    """
    parameters = {**_listed(keys), "looks": keys["looks"].to_list()}
    rows = connection.execute(_SQL["close_attempts"], parameters).fetchall()
    return {int(row[0]) for row in rows}


def drop_attempts(connection: Connection[Row], keys: pl.DataFrame) -> None:
    """Drop attempts (``merchant_id, id``) that never left the house, or had no effect there."""
    connection.execute(_SQL["drop_attempts"], _listed(keys))


def settled(
    connection: Connection[Row], merchant_ids: Sequence[int], ids: dict[str, int]
) -> pl.Series:
    """Give those of a range of operations that have ended."""
    parameters = {"merchant_ids": list(merchant_ids), **ids}
    rows = connection.execute(_SQL["settled_range"], parameters).fetchall()
    return pl.Series("id", [row[0] for row in rows], dtype=pl.Int64)


def settled_ordered(connection: Connection[Row], batch_id: int, chunk_number: int) -> pl.Series:
    """Give those of an ordered chunk's operations that have ended."""
    parameters = {"batch_id": batch_id, "chunk_number": chunk_number}
    rows = connection.execute(_SQL["settled_ordered"], parameters).fetchall()
    return pl.Series("id", [row[0] for row in rows], dtype=pl.Int64)


def claim_ids(connection: Connection[Row], keys: pl.DataFrame) -> pl.DataFrame:
    """Read operations by ``merchant_id, id`` as a claim does, shaped as ``CLAIMED``."""
    return copy_out(connection, _SQL["claim_ids"], _listed(keys), CLAIMED)


def cells_of_lines(
    connection: Connection[Row], batch_id: int, place: int, lines: Sequence[int]
) -> pl.DataFrame:
    """Read one cell (its place counts from 1) of the texts of some lines: ``line, value``."""
    parameters = {"batch_id": batch_id, "place": place, "lines": list(lines)}
    schema = {"line": pl.Int64(), "value": pl.String()}
    return copy_out(connection, _SQL["cells_of_lines"], parameters, schema)


def secrets_of_lines(
    connection: Connection[Row], batch_id: int, lines: Sequence[int]
) -> list[tuple[int, bytes, datetime]]:
    """Lock and give (chunk, sealed, time) of the secrets that were loaded with these lines."""
    parameters = {"batch_id": batch_id, "lines": list(lines)}
    rows = connection.execute(_SQL["secrets_of_lines"], parameters).fetchall()
    return [(int(row[0]), bytes(row[1]), row[2]) for row in rows]


def list_unknown(
    connection: Connection[Row], merchant_ids: Sequence[int], limit: int
) -> list[dict[str, Any]]:
    """List what is unknown, oldest first."""
    parameters = {"merchant_ids": list(merchant_ids), "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["list_unknown"], parameters).fetchall()
