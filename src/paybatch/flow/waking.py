"""Waking: rows that wait for something unknown, or for a gate that closes, go on."""

from paybatch.domain.lifecycle import BatchState
from paybatch.flow.engine import Engine
from paybatch.flow.jobs import defer_work
from paybatch.store import batches, chunks
from paybatch.store.database import Connection, Row


def wake(engine: Engine, connection: Connection[Row], batch_id: int) -> None:
    """Let the chunks of a batch that wait be taken again, and the batch go on."""
    batches.lock_batch(connection, batch_id)
    chunks.wake_chunks(connection, batch_id)
    if batches.move_batch(connection, batch_id, BatchState.RUNNING, engine.clock(), only="waiting"):
        defer_work(connection, batch_id)


def wake_merchant(engine: Engine, connection: Connection[Row], merchant_id: int) -> None:
    """Let the rows go on that wait for a gate of a merchant: it is open again."""
    for batch_id in chunks.waiting_batches(connection, merchant_id):
        wake(engine, connection, batch_id)


def rouse(engine: Engine) -> None:
    """Wake batches that wait for nothing any more: what they waited for became known meanwhile."""
    with engine.database.transaction() as connection:
        for batch_id in chunks.idle_batches(connection):
            wake(engine, connection, batch_id)
