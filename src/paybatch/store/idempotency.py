"""Idempotency keys: a caller's own names for operations, each done once for ever."""

from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.store.database import Row, copy_in
from paybatch.store.statements import statements

_SQL = statements("idempotency")


def keep_keys(connection: Connection[Row], frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Take idempotency keys: ``merchant_id, face, key, values_hash, operation_id``.

    Gives those that belong to another operation: ``operation_id, first_id, is_same, state,
    payment_id``; state is null while that operation has no outcome.
    """
    connection.execute(_SQL["make_keys"])
    copy_in(connection, _SQL["copy_keys"], frame)
    connection.execute(_SQL["keep_keys"])
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["taken_keys"]).fetchall()
