"""The way of a batch from a file to its result: the steps in their order."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import polars as pl

from paybatch.domain.delimited import FileRefused
from paybatch.domain.lifecycle import BatchState
from paybatch.flow import control, sweep
from paybatch.flow import work as working
from paybatch.flow.engine import Engine, load_batch, move
from paybatch.flow.foresee import foreseen
from paybatch.flow.intake import accept as accepting
from paybatch.flow.intake import receive as receiving
from paybatch.flow.intake.accept import Advance
from paybatch.flow.intake.receive import Request
from paybatch.flow.jobs import defer_work
from paybatch.flow.place import Place, find_place
from paybatch.flow.sending.broken import is_broken, mend
from paybatch.flow.sending.close_day import carry_on_all
from paybatch.flow.sending.recover import recover
from paybatch.flow.summary import summarize
from paybatch.store import batches, directory
from paybatch.store.batches import Batch
from paybatch.store.blobs import BlobGoneError, BlobsError
from paybatch.store.database import DatabaseBusyError

ALL_OR_NONE = "all-or-none"
OTHERS_SECONDS = 0.2


def _silent(_: object) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Listener:
    """Who is told when a step begins, the batch's id, the bytes read and the rows of each step."""

    began: Callable[[str], None] = _silent
    received: Callable[[int], None] = _silent
    read: Advance = _silent
    accepted: Advance = _silent
    settled: Advance = _silent


def run(
    engine: Engine,
    place: Place,
    source: Iterable[bytes],
    request: Request,
    listener: Listener | None = None,
) -> Batch:
    """Take a file through receive, accept, approve and work; give the batch as it stands then.

    Raises:
        FileRefused: It cannot be read as a whole. Nothing was done.
        SeenBeforeError: The same bytes were handed in before.
    """
    listener = listener or Listener()
    listener.began("receive")
    batch_id = receiving.receive(engine, place, source, request)
    listener.received(batch_id)
    return go_on(engine, batch_id, listener)


def go_on(
    engine: Engine, batch_id: int, listener: Listener | None = None, *, waits: bool = True
) -> Batch:
    """Take a batch on from wherever it stands, as far as it goes now.

    Safe to call at any time, by several processes at once, and after any crash. It sweeps too:
    where there is no worker nobody else does. ``waits`` false does not wait for rows that other
    processes have.
    """
    listener = listener or Listener()
    sweep.forget_old_secrets(engine)
    batch = load_batch(engine, batch_id)
    place = find_place_of(engine, batch)
    if batch.state in {BatchState.RECEIVED, BatchState.CHECKING}:
        listener.began("accept")
        batch = _accepted(engine, batch_id, place, listener)
    engine.blobs.delete(receiving.blob_name(batch_id))  # all of it that is kept is in the rows now
    listener.began("work")
    if batch.state == BatchState.READY:
        batch = approve(engine, batch)
    patient_until = time.monotonic() + engine.settings.patience_seconds
    while batch.state in {BatchState.RUNNING, BatchState.WAITING} or is_broken(batch):
        if engine.stopping.is_set():
            return batch
        is_late = time.monotonic() > patient_until
        if is_broken(batch):
            # Later a worker goes on when the processor may answer again.
            goes_on = mend(engine, control.calm(engine, batch_id)) or not is_late
        elif batch.state == BatchState.WAITING:
            # Later a worker, or a resume, asks again when the time has come.
            goes_on = not is_late and _asked(engine)
        else:
            has_worked = working.work(engine, batch, place, listener.settled, waits=waits)
            working.finish(engine, batch_id)
            goes_on = has_worked or waits
        if not goes_on:
            break
        batch = load_batch(engine, batch_id)
        if batch.state in {BatchState.RUNNING, BatchState.WAITING} or is_broken(batch):
            time.sleep(OTHERS_SECONDS)  # another worker still has a chunk, or it is too early
    done = control.calm(engine, batch_id)
    with suppress(BlobsError, DatabaseBusyError):  # what others left is no fault of this batch
        sweep.drop_uploads(engine)
    return done


def _asked(engine: Engine) -> bool:
    """Ask about everything whose time has come; True."""
    recover(engine)
    carry_on_all(engine)
    return True


def _accepted(engine: Engine, batch_id: int, place: Place, listener: Listener) -> Batch:
    """Read the file, once at a time: a second process waits, and finds it done."""
    with engine.database.session() as session, batches.reading(session, batch_id):
        move(engine, batch_id, BatchState.CHECKING)
        batch = load_batch(engine, batch_id)
        if batch.state == BatchState.CHECKING:
            try:
                refusal = batch.refusal or _read(engine, batch, place, listener)
            except accepting.StoppedError:
                return load_batch(engine, batch_id)
            batch = load_batch(engine, batch_id)
            bad = foreseen(engine, batch, place) if batch.policy == ALL_OR_NONE else None
            refusal = refusal or refusal_of(engine, batch, bad)
            if refusal is not None:
                return control.refuse(engine, batch, refusal, bad)
            move(engine, batch_id, BatchState.READY)
    return load_batch(engine, batch_id)


def _read(engine: Engine, batch: Batch, place: Place, listener: Listener) -> str | None:
    """Read a batch's file; say why it cannot be read as a whole, None = it was read."""
    if receiving.is_overdue(engine, batch):
        return receiving.overdue(engine)
    try:
        accepting.accept(engine, batch, place, listener.accepted, listener.read)
    except FileRefused as error:
        return error.sentence
    except BlobGoneError:
        return "Its upload is gone. Hand it in again."
    return None


def refusal_of(engine: Engine, batch: Batch, foreseen_rows: pl.DataFrame | None) -> str | None:
    """Say why the policy refuses an accepted batch as a whole; None = it does not.

    ``foreseen_rows`` are those that their payments would refuse; None = the policy does not ask.
    """
    if foreseen_rows is None:
        return None
    found = summarize(engine, batch).get("rejected")
    bad = (found.count if found else 0) + foreseen_rows.height
    if not bad:
        return None
    rows = f"{bad:,} of {batch.row_count:,} rows fail" if bad > 1 else "One row fails"
    return f"{rows} a check, and the policy is all-or-none."


def approve(engine: Engine, batch: Batch) -> Batch:
    """Release an accepted batch as its policy says, and tell the workers.

    Here every policy releases at once; a policy that wants a second person will move the batch to
    ``awaiting_approval`` at this place, and there is no other way to release one.
    """
    with engine.database.transaction() as connection:
        now = engine.clock()
        if batches.move_batch(connection, batch.id, BatchState.RUNNING, now):
            actor = f"policy:{batch.policy}"
            subject = f"batch:{batch.id}"
            hashed = batch.content_hash
            directory.record(connection, now, actor, "batch.released", subject, content=hashed)
            defer_work(connection, batch.id)
    return load_batch(engine, batch.id)


def find_place_of(engine: Engine, batch: Batch) -> Place:
    """Give the place that a batch belongs to, with its own merchant and gate as defaults."""
    place = find_place(engine, batch.sender, batch.merchant)
    return Place(
        place.sender_id,
        place.sender,
        place.merchants,
        place.gates,
        batch.merchant_id,
        batch.gate_id,
    )
