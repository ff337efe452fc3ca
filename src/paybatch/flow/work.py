"""Work: chunks of a released batch go through claim, send and settle.

Where every connector is inline the three share one transaction, which also takes the chunk:
whatever is killed when, a chunk is settled wholly or not at all. Where calls leave the house the
transaction ends with their attempts, and the worker has the chunk until their replies are settled.
"""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event, get_ident

import polars as pl
import structlog

from paybatch.domain.connector import AWAITED, Result
from paybatch.domain.lifecycle import BatchState
from paybatch.flow.engine import Engine, move
from paybatch.flow.intake import receive
from paybatch.flow.intake.accept import Advance
from paybatch.flow.place import Place, refreshed
from paybatch.flow.sending.awaited import awaited_of, keep
from paybatch.flow.sending.flight import FAULTS, Flight, LostError, timeout_seconds
from paybatch.flow.sending.landing import deadline
from paybatch.flow.sending.left import abandon, children_wait, open_rows
from paybatch.flow.tallies import came, left, tally
from paybatch.flow.working import gates
from paybatch.flow.working.begun_close import WaitsError
from paybatch.flow.working.rounds import Work, claimed, drop_cvvs, settle_rounds
from paybatch.flow.working.row_errors import store_errors
from paybatch.flow.working.sender import Sender
from paybatch.flow.working.settle import Settled, store
from paybatch.store import batches, chunks, operations
from paybatch.store.batches import Batch
from paybatch.store.chunks import TOTALS, Chunk
from paybatch.store.database import Connection, Row
from paybatch.store.public_ids import Shape

PHASE_SECONDS = 0.02
HOLDER_BITS = 62
FLIGHTS = 2  # for each thread: while one waits for its last replies the other sends


@dataclass
class _Crew:
    """The threads that work a batch in this process.

    Attributes:
        waits: They wait for chunks that other processes have, too.
        holds: Tells whether the worker's lock is there: without it others may take its chunks.
        stopped: They end after their chunk.
        busy: Those that have a chunk.
        took: One of them had a chunk.
    """

    waits: bool
    holds: Callable[[], bool]
    stopped: Event = field(default_factory=Event)
    busy: set[int] = field(default_factory=set)
    took: bool = False


def work(
    engine: Engine, batch: Batch, place: Place, advance: Advance, *, waits: bool = True
) -> bool:
    """Work a running batch until no chunk of it is ready; ``advance`` is told the rows done.

    ``waits`` false leaves what other processes have to them. Tells whether there was a chunk.
    """
    key = None
    if batch.wrapped_key is not None:
        key = engine.keys.unwrap(batch.wrapped_key, receive.blob_name(batch.id))
    holder = secrets.randbits(HOLDER_BITS)
    shared = Work(engine=engine, batch=batch, place=place, key=key, holder=holder)
    threads = engine.settings.threads * (FLIGHTS if place.has_outside else 1)
    with engine.database.session() as session, ThreadPoolExecutor(threads) as pool:
        chunks.hold_as_worker(session, holder)
        crew = _Crew(waits, partial(chunks.is_there, session) if place.has_outside else _always)
        try:
            for each in [pool.submit(_work_chunks, shared, advance, crew) for _ in range(threads)]:
                each.result()
        finally:
            crew.stopped.set()  # one failed, or a person interrupts: the others end after theirs
            pool.shutdown()
            chunks.leave_as_worker(session, holder)
    return crew.took


def _always() -> bool:
    return True


def _work_chunks(work: Work, advance: Advance, crew: _Crew) -> None:
    name = work.engine.public_ids.encode_one(work.batch.id, "bat", Shape.NATIVE)
    try:
        with structlog.contextvars.bound_contextvars(batch=name):
            _take_chunks(work, advance, crew)
    except BaseException:
        crew.stopped.set()  # the others do not wait for what this one had
        raise
    finally:
        crew.busy.discard(get_ident())


def _take_chunks(work: Work, advance: Advance, crew: _Crew) -> None:
    while not crew.stopped.is_set() and not work.engine.stopping.is_set():
        if not crew.holds():
            crew.stopped.set()  # whoever takes the batch on has a lock of its own
            return
        if _must_stop(work):
            move(work.engine, work.batch.id, BatchState.CANCELLING)
            return
        crew.busy.add(get_ident())
        rows = work_chunk(work)
        if rows is not None:
            crew.took = True
            advance(rows)
            continue
        crew.busy.discard(get_ident())
        if (crew.waits or crew.busy) and _waits(work):
            time.sleep(PHASE_SECONDS)  # another worker has the last chunk of a phase
        else:
            return


def _waits(work: Work) -> bool:
    """Tell whether there are chunks that wait for those of a lower phase, or for their replies."""
    with work.engine.database.transaction() as connection:
        return chunks.has_later_phase(connection, work.batch.id)


def _must_stop(work: Work) -> bool:
    """Tell whether the policy allows no more claims; it has no say when none is left."""
    policy, _, limit = work.batch.policy.partition("=")
    if policy != "stop-after":
        return False
    with work.engine.database.transaction() as connection:
        progress = chunks.progress(connection, work.batch.id)
    return progress.open > 0 and progress.faults >= int(limit)


def work_chunk(work: Work) -> int | None:
    """Take and settle one ready chunk; give the rows that it claimed, None = no chunk is ready."""
    with work.engine.database.transaction() as connection:
        chunk = chunks.take_chunk(connection, work.batch.id, work.engine.clock())
        if chunk is None:
            return None
        if chunk.phase:  # a row of the batch may have closed the day of a gate
            work = replace(work, place=refreshed(connection, work.place))
        rows, flight = _begun(work, connection, chunk)
    if flight is not None:
        try:
            flight.fly()
        except LostError:
            return 0  # another worker goes on with it
    return rows


def _begun(work: Work, connection: Connection[Row], chunk: Chunk) -> tuple[int, Flight | None]:
    """Claim the rows of a chunk, and settle those of them that need no outside answer.

    Gives the rows that were claimed, and the calls that go out when the transaction is committed.
    """
    if chunk.state == "sending":
        abandon(work.engine, connection, work.batch.id, chunk)
    rows = claimed(connection, work.batch, chunk)
    left_over, has_held = open_rows(connection, work.batch.id, chunk, rows)
    if chunk.kind == TOTALS and children_wait(connection, work.batch.id):
        chunks.finish_chunk(connection, work.batch.id, chunk.number, 0, "waiting")
        return 0, None
    try:
        settled = settle_rounds(work, connection, chunk, left_over)
    except WaitsError:
        chunks.finish_chunk(connection, work.batch.id, chunk.number, 0, "waiting")
        return 0, None
    awaited = awaited_of(settled)
    faults = _stored(work, connection, settled, left_over, is_told=chunk.holds_lines)
    done = sum(each.outcomes.height for each in settled)
    is_rest = done + awaited.height < left_over.height and not _made_others(left_over)
    has_followers = has_held or is_rest
    if not awaited.is_empty():
        awaited = _kept(work, connection, chunk, awaited)
    if awaited.is_empty():
        is_waiting = has_followers or chunks.in_doubt(connection, work.batch.id, chunk.number)
        state = "waiting" if is_waiting else "done"
        if work.place.has_outside and state == "done":
            drop_cvvs(work, connection, rows)
        chunks.finish_chunk(connection, work.batch.id, chunk.number, faults, state)
        return done if chunk.holds_lines else 0, None
    now = work.engine.clock()
    until = deadline(now, timeout_seconds(work, awaited))
    lease = chunks.lease_chunk(connection, work.batch.id, chunk.number, work.holder, until)
    if faults:
        chunks.hold_chunk(connection, lease, now, deadline_at=until, fault_count=faults)
    return done + awaited.height, Flight(work, lease, awaited, has_followers, now)


def _made_others(rows: pl.DataFrame) -> bool:
    """Tell whether rows ended for now by making others; behind those they have a chunk again."""
    return not rows.is_empty() and gates.acts_on_gates(rows)


def _stored(
    work: Work,
    connection: Connection[Row],
    settled: list[Settled],
    rows: pl.DataFrame,
    *,
    is_told: bool,
) -> int:
    """Store what rounds settled, and count it; give the faults that stop-after counts.

    ``is_told`` tells whether the rows are lines of the file.
    """
    ended = [each for each in settled if not each.outcomes.is_empty()]
    if not ended:
        return 0
    counted = _counted(ended)
    store(work.engine, connection, ended)
    if is_told:
        _store_errors(connection, work.batch.id, ended)
    ids = pl.concat([each.outcomes.select_seq("id") for each in ended])
    gone = rows if ids.height == rows.height else rows.join(ids, on="id", how="semi")
    operations.insert_tallies(connection, work.batch.id, left(gone))
    operations.insert_tallies(connection, work.batch.id, tally(counted))
    return counted.filter(pl.col("state").is_in(FAULTS)).height if is_told else 0


def _kept(
    work: Work, connection: Connection[Row], chunk: Chunk, awaited: pl.DataFrame
) -> pl.DataFrame:
    """Store calls that have no outcome yet; give those that go out."""
    now = work.engine.clock()
    calls = Sender(work.engine, work.place).prepared(awaited)
    keep(connection, work.place, calls, chunk_number=chunk.number, now=now, until=now)
    operations.insert_tallies(connection, work.batch.id, left(calls))
    for state in sorted(AWAITED):
        own = calls.filter(pl.col("result") == state)
        if not own.is_empty():
            operations.insert_tallies(connection, work.batch.id, came(own, state))
    return calls.filter(pl.col("result") == Result.SENDING.value).drop("result")


def _store_errors(connection: Connection[Row], batch_id: int, settled: list[Settled]) -> None:
    """Store what was wrong with the rows that their payment's state refused."""
    for each in settled:
        if "column_name" in each.outcomes.columns:
            store_errors(connection, batch_id, each.outcomes)


def _counted(settled: list[Settled]) -> pl.DataFrame:
    columns = ("id", "kind", "state", "reason", "currency", "amount_minor", "approved_minor")
    return pl.concat([each.counted.select_seq(columns) for each in settled])


def finish(engine: Engine, batch_id: int) -> None:
    """Complete a batch that has no chunk left; one with only unknown rows left waits."""
    with engine.database.transaction() as connection:
        batches.lock_batch(connection, batch_id)  # what is known by then loads chunks of it
        progress = chunks.progress(connection, batch_id)
        if progress.open == 0:
            target = BatchState.WAITING if progress.waiting else BatchState.COMPLETED
            batches.move_batch(connection, batch_id, target, engine.clock())
