"""The vault's tables: numbers, and the secrets that wait for their row to be sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import FEW_ROWS, Row, copy_in, copy_out
from paybatch.store.statements import statements

_SQL = statements("number")

NUMBER_COLUMNS = ("merchant_id", "id", "sealed", "brand", "masked", "bank_code")
KNOWN = {
    "number_id": pl.String(),
    "brand": pl.String(),
    "masked": pl.String(),
    "bank_code": pl.String(),
}


def keep_numbers(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store the numbers that the vault does not have; ``sealed`` is Binary."""
    if frame.height <= FEW_ROWS:
        rows = frame.select_seq(NUMBER_COLUMNS).sort("merchant_id", "id").to_dicts()
        connection.cursor().executemany(_SQL["keep_number"], rows)
        return
    connection.execute(_SQL["make_numbers"])
    sealed = pl.lit("\\x") + pl.col("sealed").bin.encode("hex")
    copy_in(
        connection,
        _SQL["copy_numbers"],
        frame.with_columns_seq(sealed=sealed).select_seq(NUMBER_COLUMNS),
    )
    connection.execute(_SQL["keep_numbers"])


def known_numbers(
    connection: Connection[Row], merchant_id: int, ids: Sequence[str]
) -> pl.DataFrame:
    """Give those of these ids that the merchant's vault has, shaped as ``KNOWN``."""
    parameters = {"merchant_id": merchant_id, "ids": list(ids)}
    return copy_out(connection, _SQL["known_numbers"], parameters, KNOWN)


def sealed_numbers(
    connection: Connection[Row], merchant_id: int, ids: Sequence[str]
) -> pl.DataFrame:
    """Give the sealed numbers (Binary) of these ids: ``number_id, sealed``."""
    parameters = {"merchant_id": merchant_id, "ids": list(ids)}
    schema = {"number_id": pl.String(), "sealed": pl.String()}
    frame = copy_out(connection, _SQL["sealed_numbers"], parameters, schema)
    return frame.with_columns_seq(sealed=pl.col("sealed").str.decode("hex"))


def list_numbers(
    connection: Connection[Row], merchant_ids: Sequence[int], limit: int
) -> list[dict[str, Any]]:
    """List numbers of these merchants, masked, newest first."""
    parameters = {"merchant_ids": list(merchant_ids), "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["list_numbers"], parameters).fetchall()


def put_secrets(
    connection: Connection[Row],
    batch_id: int,
    chunk_number: int,
    *,
    lines: tuple[int, int],
    sealed: bytes,
    at: datetime,
) -> None:
    """Store the sealed secrets of a chunk's rows; ``at`` = since when we have them."""
    parameters = {
        "batch_id": batch_id,
        "chunk_number": chunk_number,
        "first_line": lines[0],
        "last_line": lines[1],
        "sealed": sealed,
        "created_at": at,
    }
    connection.execute(_SQL["put_secrets"], parameters)


def secrets_of_lines(
    connection: Connection[Row], batch_id: int, lines: tuple[int, int]
) -> list[tuple[int, bytes, datetime]]:
    """Lock and give (chunk, sealed, time) of the secrets that were loaded with these lines."""
    parameters = {"batch_id": batch_id, "first_line": lines[0], "last_line": lines[1]}
    rows = connection.execute(_SQL["secrets_of_lines"], parameters).fetchall()
    return [(int(row[0]), bytes(row[1]), row[2]) for row in rows]


def replace_secrets(
    connection: Connection[Row], batch_id: int, chunk_number: int, sealed: bytes | None
) -> None:
    """Store what is left of a chunk's secrets; None = nothing is left."""
    parameters = {"batch_id": batch_id, "chunk_number": chunk_number, "sealed": sealed}
    name = "drop_secrets" if sealed is None else "replace_secrets"
    connection.execute(_SQL[name], parameters)


def drop_batch_secrets(connection: Connection[Row], batch_id: int) -> None:
    """Delete every secret of a batch."""
    connection.execute(_SQL["drop_batch_secrets"], {"batch_id": batch_id})


def drop_old_secrets(connection: Connection[Row], before: datetime) -> list[int]:
    """Delete the secrets that we have since before a time; give their batches."""
    rows = connection.execute(_SQL["drop_old_secrets"], {"before": before}).fetchall()
    return sorted({int(row[0]) for row in rows})
