"""Row errors: what was wrong with rows of a file that were refused when they were worked."""

import polars as pl

from paybatch.store import operations
from paybatch.store.database import Connection, Row


def store_errors(connection: Connection[Row], batch_id: int, rows: pl.DataFrame) -> None:
    """Store what was wrong with rows, by their outcomes with ``column_name`` and ``value``."""
    operations.copy_row_errors(
        connection,
        rows.select_seq(
            pl.lit(batch_id).alias("batch_id"),
            *("line", pl.lit(0).alias("number"), "reason", "column_name", "value", "message"),
        ),
    )
