"""Left: what of a chunk is still to be done when it is taken again."""

import polars as pl

from paybatch import registry
from paybatch.domain.connector import Result
from paybatch.flow.engine import Engine
from paybatch.flow.sending.landing import doubt
from paybatch.flow.tallies import came, left
from paybatch.flow.working.changes import KEY
from paybatch.store import attempts, chunks, operations
from paybatch.store.chunks import Chunk
from paybatch.store.database import Connection, Row
from paybatch.store.operations import id_range


def ids_of(batch_id: int, chunk: Chunk) -> dict[str, int]:
    """Give the range of ids in which the operations of a chunk are."""
    if chunk.kind == "ordered":
        return id_range(batch_id, 0, operations.LINES_MAX - 1)
    return id_range(batch_id, chunk.first_line, chunk.last_line)


def abandon(engine: Engine, connection: Connection[Row], batch_id: int, chunk: Chunk) -> None:
    """Take what a worker that is gone had under way in a chunk as unknown."""
    ids = ids_of(batch_id, chunk)
    lost = attempts.abandon_chunk(connection, chunk.number, chunk.merchant_ids, ids, engine.clock())
    if lost.is_empty():
        return
    counted = lost.rename({"amount_minor": "requested_minor"})
    operations.insert_tallies(connection, batch_id, left(counted, "sending"))
    asks = pl.col("act").is_in([kind.name for kind in registry.kinds().values() if kind.asks])
    queries, lost = counted.filter(asks), lost.filter(~asks)
    if not queries.is_empty():  # they have no effect: they are made again
        attempts.drop_attempts(connection, queries)
        operations.insert_tallies(connection, batch_id, came(queries, "queued"))
    if lost.is_empty():
        return
    unknown = came(counted.filter(~asks), Result.UNKNOWN.value)
    operations.insert_tallies(connection, batch_id, unknown)
    doubt(connection, lost.with_columns_seq(payment_reference=pl.lit(None, pl.String)))


def open_rows(
    connection: Connection[Row], batch_id: int, chunk: Chunk, rows: pl.DataFrame
) -> tuple[pl.DataFrame, bool]:
    """Give the rows of a chunk that may be claimed now, and tell whether others must wait.

    Not those that have ended or are unknown, and not those behind an unknown one on their payment:
    these wait.
    """
    rows, doubts = _unclaimed(connection, batch_id, chunk, rows)
    if doubts.is_empty():
        return rows, False
    made = doubts.select_seq("merchant_id", payment_id="operation_id")
    held = pl.concat([doubts.select_seq(KEY), made]).drop_nulls()
    free = rows.join(held, on=KEY, how="anti", maintain_order="left")
    return free, free.height < rows.height


def unclaimed_rows(
    connection: Connection[Row], batch_id: int, chunk: Chunk, rows: pl.DataFrame
) -> pl.DataFrame:
    """Give the rows of a chunk that never went out, also those behind an unknown one."""
    return _unclaimed(connection, batch_id, chunk, rows)[0]


def _unclaimed(
    connection: Connection[Row], batch_id: int, chunk: Chunk, rows: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the rows that have neither an outcome nor an attempt, and what of the batch is unknown.

    A chunk that was never taken has neither.
    """
    doubts = attempts.in_doubt(connection, batch_id)
    if chunk.attempt:
        if chunk.kind == "ordered":
            ended = attempts.settled_ordered(connection, batch_id, chunk.number)
        else:
            ended = attempts.settled(connection, chunk.merchant_ids, ids_of(batch_id, chunk))
        rows = rows.filter(~pl.col("id").is_in(ended.implode()))
    if not doubts.is_empty():
        rows = rows.filter(~pl.col("id").is_in(doubts["operation_id"].implode()))
    return rows, doubts


def children_wait(connection: Connection[Row], batch_id: int) -> bool:
    """Tell whether operations that rows of a batch made are unknown, or wait for a gate."""
    if chunks.children_wait(connection, batch_id):
        return True
    line = attempts.in_doubt(connection, batch_id)["operation_id"] % operations.LINES_MAX
    return bool((line >= operations.FILE_LINES_MAX).any())
