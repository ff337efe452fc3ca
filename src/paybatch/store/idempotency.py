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

    Gives those that belong to another operation, with its outcome: ``operation_id, first_id,
    is_same, state, payment_id, status, approved_minor`` and the processor's answer. The state is
    null while that operation has no outcome.
    """
    connection.execute(_SQL["make_keys"])
    copy_in(connection, _SQL["copy_keys"], frame)
    with connection.cursor(row_factory=dict_row) as cursor:
        while True:
            cursor.execute(_SQL["keep_keys"])
            taken = cursor.execute(_SQL["taken_keys"]).fetchall()
            # A transaction that we waited for may have let go of its key: the statement that
            # waited did not see it, the next one does. The keys are locked now, so this ends.
            if not any(row["is_free"] for row in taken):
                return taken
