"""Control: pause, cancel or refuse a batch. Nothing new begins; what is under way finishes."""

import time

import polars as pl

from paybatch.domain.lifecycle import BatchState
from paybatch.flow.engine import Engine, load_batch, move
from paybatch.flow.foresee import REFUSED
from paybatch.flow.intake import receive
from paybatch.flow.sending.broken import is_broken, keep_paused, probe_now
from paybatch.flow.sending.left import abandon, unclaimed_rows
from paybatch.flow.tallies import left, tally
from paybatch.flow.working.expanding import cut_short
from paybatch.flow.working.rounds import claimed
from paybatch.flow.working.settle import ended
from paybatch.store import batches, chunks, directory, operations
from paybatch.store.batches import Batch
from paybatch.store.chunks import TOTALS

CALLS_SECONDS = 0.1


class NotNowError(Exception):
    """The batch's state does not allow what was asked for."""


def pause(engine: Engine, batch: Batch, actor: str) -> Batch:
    """Make no new claims; chunks under way finish. It can be resumed.

    Raises:
        NotNowError: The batch is not running.
    """
    if is_broken(batch):
        keep_paused(engine, batch, actor)
    else:
        _ask(engine, batch, BatchState.PAUSING, actor, "paused")
    return calm(engine, batch.id)


def cancel(engine: Engine, batch: Batch, actor: str) -> Batch:
    """Send nothing more; what is under way finishes, the other rows become cancelled.

    Raises:
        NotNowError: The batch has ended.
    """
    _ask(engine, batch, BatchState.CANCELLING, actor, "cancelled")
    return calm(engine, batch.id)


def resume(engine: Engine, batch: Batch, actor: str) -> None:
    """Let a paused batch run again; one that was only killed needs no permission."""
    if batch.state in {BatchState.PAUSING, BatchState.PAUSED}:
        if batch.pause_reason is not None:
            probe_now(engine, batch)
        _ask(engine, batch, BatchState.RUNNING, actor, "resumed")


def _ask(engine: Engine, batch: Batch, target: BatchState, actor: str, act: str) -> None:
    with engine.database.transaction() as connection:
        now = engine.clock()
        if batches.move_batch(connection, batch.id, target, now):
            directory.record(connection, now, actor, f"batch.{act}", f"batch:{batch.id}")
            return
        state = batches.state_of(connection, batch.id)
        if state != target:  # otherwise somebody asked for it before, and it goes on
            raise NotNowError(f"The batch is {state}; it cannot be {act} now.")


def calm(engine: Engine, batch_id: int) -> Batch:
    """Take a pausing or cancelling batch on as far as it goes; others finish their chunks."""
    state = load_batch(engine, batch_id).state
    if state == BatchState.PAUSING:
        with engine.database.transaction() as connection:
            chunks.wait_for_chunks(connection, batch_id)
        _await_calls(engine, batch_id)
        with engine.database.transaction() as connection:
            batches.move_batch(connection, batch_id, BatchState.PAUSED, engine.clock())
    if state == BatchState.CANCELLING:
        _cancel_rest(engine, batch_id)
    return load_batch(engine, batch_id)


def _await_calls(engine: Engine, batch_id: int) -> None:
    """Wait until no call of a batch is under way; what a dead worker left is unknown from here."""
    while True:
        with engine.database.transaction() as connection:
            now = engine.clock()
            if not chunks.is_sending(connection, batch_id, now):
                for chunk in chunks.lost_chunks(connection, batch_id, now):
                    abandon(engine, connection, batch_id, chunk)
                    chunks.cancel_chunk(connection, batch_id, chunk.number, "loaded")
                return
        time.sleep(CALLS_SECONDS)


def _cancel_rest(engine: Engine, batch_id: int) -> None:
    """Cancel what was not claimed. Who reads the file sees the batch's state and stops first."""
    with engine.database.session() as session, batches.reading(session, batch_id):
        batch = load_batch(engine, batch_id)
        if batch.state != BatchState.CANCELLING:
            return  # another process was faster
        while _is_open(engine, batch_id):  # a claim that had begun may leave something behind
            _await_calls(engine, batch_id)
            cancel_rows(engine, batch)
        with engine.database.transaction() as connection:
            if chunks.progress(connection, batch_id).waiting:
                return  # something is unknown: it is cancelled when that is known
            sent = batches.has_sent(connection, batch_id)
            now = engine.clock()
            batches.move_batch(connection, batch_id, BatchState.CANCELLED, now, holds_content=sent)
    engine.blobs.delete(receive.blob_name(batch_id))


def _is_open(engine: Engine, batch_id: int) -> bool:
    """Tell whether a batch has chunks to cancel, when those who claim one are done with it."""
    with engine.database.transaction() as connection:
        chunks.wait_for_chunks(connection, batch_id)
        progress = chunks.progress(connection, batch_id)
        return bool(progress.open or chunks.idle_chunks(connection, batch_id))


def refuse(
    engine: Engine, batch: Batch, refusal: str, foreseen_rows: pl.DataFrame | None = None
) -> Batch:
    """Refuse a batch as a whole: none of its rows was or will be sent. Nobody else may read it.

    ``foreseen_rows`` (``line, reason, message``) are those that their payments would refuse. The
    refusal is noted first: whoever is killed while rows are cancelled, it stays refused.
    """
    with engine.database.transaction() as connection:
        batches.note_refusal(connection, batch.id, refusal)
    cancel_rows(engine, batch, foreseen_rows)
    move(engine, batch.id, BatchState.REFUSED, holds_content=False)
    return load_batch(engine, batch.id)


def cancel_rows(engine: Engine, batch: Batch, refused: pl.DataFrame | None = None) -> None:
    """Give every accepted row that was not claimed the outcome cancelled, chunk by chunk.

    Those of ``refused`` (``line, reason, message``) become rejected: they are why it is cancelled.
    """
    beyond = -1
    while True:
        with engine.database.transaction() as connection:
            chunk = chunks.loaded_chunk(connection, batch.id, beyond)
            if chunk is None:
                return
            beyond = chunk.number
            rows = unclaimed_rows(connection, batch.id, chunk, claimed(connection, batch, chunk))
            if not rows.is_empty():
                gone = _ended_unsent(batch, rows, refused)
                if chunk.kind == TOTALS:
                    gone = cut_short(connection, gone, chunk)
                operations.copy_outcomes(connection, ended(gone, engine.clock()))
                operations.insert_tallies(connection, batch.id, left(rows))
                operations.insert_tallies(connection, batch.id, tally(gone))
            is_open = chunks.in_doubt(connection, batch.id, chunk.number)
            state = "waiting" if is_open else "cancelled"
            chunks.cancel_chunk(connection, batch.id, chunk.number, state)


def _ended_unsent(batch: Batch, rows: pl.DataFrame, refused: pl.DataFrame | None) -> pl.DataFrame:
    """Give rows their state, and their reason and message where it is rejected.

    A payment that a row of the same batch was to make is not named: it will never be.
    """
    unmade = pl.col("payment_id").is_between(
        operations.operation_id(batch.id, 0), operations.operation_id(batch.id + 1, 0) - 1
    )
    wrong = pl.DataFrame(schema=REFUSED) if refused is None else refused
    joined = rows.drop("reason").join(wrong, on="line", how="left", maintain_order="left")
    rejected = pl.when(pl.col("reason").is_not_null()).then(pl.lit("rejected"))
    return joined.with_columns_seq(
        amount_minor=pl.col("requested_minor"),
        state=rejected.otherwise(pl.lit("cancelled")),
        payment_id=pl.when(~unmade).then("payment_id"),
    )
