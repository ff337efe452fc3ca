"""Work: chunks of a released batch go through claim, send and settle.

With an inline connector the three share one transaction, which also takes the chunk: whatever is
killed when, a chunk is settled wholly or not at all.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import polars as pl

from paybatch.domain.lifecycle import BatchState
from paybatch.flow.engine import Engine, move
from paybatch.flow.intake import receive
from paybatch.flow.intake.accept import Advance
from paybatch.flow.place import Place, refreshed
from paybatch.flow.tallies import left_queue, tally
from paybatch.flow.working.rounds import Work, claimed, settle_rounds
from paybatch.flow.working.settle import Settled, store
from paybatch.store import batches, operations
from paybatch.store.batches import Batch
from paybatch.store.database import Connection, Row

PHASE_SECONDS = 0.02
FAULTS = ["rejected", "declined", "failed"]


def work(engine: Engine, batch: Batch, place: Place, advance: Advance) -> None:
    """Work a running batch until no chunk of it is ready; ``advance`` is told the rows done."""
    key = None
    if batch.wrapped_key is not None:
        key = engine.keys.unwrap(batch.wrapped_key, receive.blob_name(batch.id))
    shared = Work(engine=engine, batch=batch, place=place, key=key)
    threads = engine.settings.threads
    stopped = Event()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for each in [
                pool.submit(_work_chunks, shared, advance, stopped) for _ in range(threads)
            ]:
                each.result()
        finally:
            stopped.set()  # one failed, or a person interrupts: the others end after their chunk


def _work_chunks(work: Work, advance: Advance, stopped: Event) -> None:
    while not stopped.is_set():
        if _must_stop(work):
            move(work.engine, work.batch.id, BatchState.CANCELLING)
            return
        rows = work_chunk(work)
        if rows is not None:
            advance(rows)
        elif _waits(work):
            time.sleep(PHASE_SECONDS)  # another worker has the last chunk of a phase
        else:
            return


def _waits(work: Work) -> bool:
    """Tell whether there are chunks that wait for those of a lower phase."""
    with work.engine.database.transaction() as connection:
        return batches.has_later_phase(connection, work.batch.id)


def _must_stop(work: Work) -> bool:
    """Tell whether the policy allows no more claims; it has no say when none is left."""
    policy, _, limit = work.batch.policy.partition("=")
    if policy != "stop-after":
        return False
    with work.engine.database.transaction() as connection:
        left, _, faults = batches.progress(connection, work.batch.id)
    return left > 0 and faults >= int(limit)


def work_chunk(work: Work) -> int | None:
    """Take and settle one ready chunk in one transaction; give its rows, None = none is ready."""
    with work.engine.database.transaction() as connection:
        chunk = batches.take_chunk(connection, work.batch.id)
        if chunk is None:
            return None
        if chunk.phase:  # a row of the batch may have closed the day of a gate
            work = replace(work, place=refreshed(connection, work.place))
        rows = claimed(connection, work.batch, chunk)
        settled = settle_rounds(work, connection, chunk, rows)
        faults = 0
        if settled:
            store(work.engine, connection, settled)
        is_told = bool(settled) and chunk.holds_lines
        if is_told:
            counted = _counted(settled)
            _store_errors(connection, work.batch.id, settled)
            operations.insert_tallies(connection, work.batch.id, left_queue(rows))
            operations.insert_tallies(connection, work.batch.id, tally(counted))
            faults = counted.filter(pl.col("state").is_in(FAULTS)).height
        batches.finish_chunk(connection, work.batch.id, chunk.number, faults)
    return rows.height if is_told else 0  # an operation that a row made is no line of the file


def _store_errors(connection: Connection[Row], batch_id: int, settled: list[Settled]) -> None:
    """Store what was wrong with the rows that their payment's state refused."""
    refused = [each.outcomes for each in settled if "column_name" in each.outcomes.columns]
    for rows in refused:
        operations.copy_row_errors(
            connection,
            rows.select_seq(
                pl.lit(batch_id).alias("batch_id"),
                *("line", pl.lit(0).alias("number"), "reason", "column_name", "value", "message"),
            ),
        )


def _counted(settled: list[Settled]) -> pl.DataFrame:
    columns = ("kind", "state", "reason", "currency", "amount_minor", "approved_minor")
    return pl.concat([each.counted.select_seq(columns) for each in settled])


def finish(engine: Engine, batch_id: int) -> None:
    """Complete a batch that has no chunk left."""
    with engine.database.transaction() as connection:
        if batches.progress(connection, batch_id)[0] == 0:
            batches.move_batch(connection, batch_id, BatchState.COMPLETED, engine.clock())
