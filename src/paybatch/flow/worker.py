"""Worker: takes the jobs of every batch of this database, until it is told to stop.

A worker does nothing that `paybatch run` does not do; there may be any number of them, on any
number of machines. Every minute it looks for batches that have work and no job: those whose process
was killed. A job that runs twice, late or never changes nothing.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import polars as pl
import procrastinate
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from paybatch.domain.lifecycle import BatchState
from paybatch.domain.masking import mask_text
from paybatch.flow import batch as batches
from paybatch.flow import clock, recurring, sweep
from paybatch.flow.engine import Engine, check_schema, load_batch
from paybatch.flow.jobs import QUEUE, WORK, defer_work
from paybatch.flow.schema import SchemaBehindError
from paybatch.flow.sending.close_day import carry_on_all
from paybatch.flow.sending.recover import recover
from paybatch.store import batches as stored
from paybatch.store import ledger, operations
from paybatch.store.database import GONE, DatabaseGoneError
from paybatch.store.public_ids import Shape

EVERY_MINUTE = "* * * * *"
EVERY_HOUR = "7 * * * *"
STALLED_SECONDS = 120
LOOK_SECONDS, GONE_SECONDS = 0.2, 1.0
LATER_SECONDS = 5
_log = structlog.get_logger(__name__)


@dataclass
class Ends:
    """What a job met that no other job would do better with: the worker lets go of its queue."""

    error: Exception | None = None

    def watched(self, job: Callable[[], None]) -> None:
        """Do a job, and keep such an error of it."""
        try:
            job()
        except (DatabaseGoneError, SchemaBehindError) as error:
            self.error = error
            raise


def worker_app(engine: Engine, ends: "Ends") -> procrastinate.App:
    """Give the app of a worker, with its tasks and its periodic work."""
    database = engine.database
    connector = procrastinate.PsycopgConnector(conninfo=database.url, kwargs=database.parts)
    app = procrastinate.App(connector=connector)

    @app.task(name=WORK, queue=QUEUE)
    def work(batch_id: int) -> None:
        ends.watched(lambda: take_on(engine, batch_id))

    @app.periodic(cron=EVERY_MINUTE)
    @app.task(name="paybatch.sweep", queue=QUEUE, queueing_lock="sweep", pass_context=True)
    async def stalled(context: procrastinate.JobContext, timestamp: int) -> None:  # noqa: ARG001
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            await app.job_manager.retry_job(job)

    @app.periodic(cron=EVERY_MINUTE)
    @app.task(name="paybatch.left", queue=QUEUE, queueing_lock="left")
    def left(timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
        ends.watched(lambda: take_on_left(engine))

    @app.periodic(cron=EVERY_HOUR)
    @app.task(name="paybatch.lapsed", queue=QUEUE, queueing_lock="lapsed")
    def lapsed(timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
        _on_time(engine, clock.lapsed_work)
        _on_time(engine, clock.returned_work)

    return app


def take_on(engine: Engine, batch_id: int) -> None:
    """Take a batch on as far as it goes now; jobs of batches that others finished are no news.

    Rows that another worker has are left to it: there may be other batches to work. It is looked
    after them a little later, as that worker may be gone by then.
    """
    check_schema(engine)
    before = load_batch(engine, batch_id).state
    batches.go_on(engine, batch_id, waits=False)
    done = load_batch(engine, batch_id)
    if engine.stopping.is_set() and done.finished_at is None:
        with engine.database.transaction() as connection:
            defer_work(connection, batch_id)  # another worker goes on at once
    elif done.state == BatchState.RUNNING:
        with suppress(AlreadyEnqueued), engine.database.transaction() as connection:
            later = engine.clock() + timedelta(seconds=LATER_SECONDS)
            defer_work(connection, batch_id, later, once=f"later {batch_id}")
    if done.state != before:
        _log.info("batch", batch=_name(engine, batch_id), state=done.state)


def _name(engine: Engine, batch_id: int) -> str:
    """Give a batch's public id: the outside does not see our numbers."""
    return engine.public_ids.encode_one(batch_id, "bat", Shape.NATIVE)


def take_on_left(engine: Engine) -> None:
    """Sweep, and take on every batch that has work. What one step meets stops no other one.

    Raises:
        DatabaseGoneError: The database does not answer: no step would do better.
        SchemaBehindError: Another version of paybatch has made the schema too new for this one.
    """
    check_schema(engine)
    _try("secrets", lambda: _forget_old_secrets(engine))
    with engine.database.transaction() as connection:
        waiting = stored.unfinished(connection)
        waiting += stored.paused_until(connection, engine.clock())
    for batch_id in waiting:
        if engine.stopping.is_set():
            return
        _try(f"batch {_name(engine, batch_id)}", partial(take_on, engine, batch_id))
    _try("unknown", lambda: recover(engine))
    _try("closes", lambda: carry_on_all(engine))
    _on_time(engine, clock.due_work)
    _on_time(engine, recurring.due_work, recurring.hand_in)
    _try("uploads", lambda: sweep.drop_uploads(engine))
    _try("ledger", lambda: _fold(engine))
    _try("texts", lambda: _drop_old_texts(engine))


Due = Callable[[Engine], list[pl.DataFrame]]
HandIn = Callable[[Engine, pl.DataFrame], int]


def _on_time(engine: Engine, work: Due, hand_in: HandIn = clock.hand_in) -> None:
    """Do what the clock finds due, each system batch for itself."""
    found: list[pl.DataFrame] = []
    _try("clock", lambda: found.extend(work(engine)))
    for each in found:
        _try(f"due {each['kind'][0]}", partial(_hand_in, engine, each, hand_in))


def _hand_in(engine: Engine, work: pl.DataFrame, hand_in: HandIn) -> None:
    batch_id = hand_in(engine, work)
    _log.info("due", kind=work["kind"][0], rows=work.height, batch=_name(engine, batch_id))


def _try(what: str, step: Callable[[], object]) -> None:
    """Take a step; an error of it is told, and the next minute it is tried again."""
    try:
        step()
    except DatabaseGoneError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the other batches go on
        said = mask_text(str(error).partition("\n")[0])
        _log.error("left for the next sweep", step=what, error=type(error).__name__, said=said)


def _forget_old_secrets(engine: Engine) -> None:
    for batch_id in sweep.forget_old_secrets(engine):
        _log.info("secrets dropped", batch=_name(engine, batch_id))


def _fold(engine: Engine) -> None:
    """Add up what chunks and calls moved on each account."""
    with engine.database.transaction() as connection:
        ledger.fold(connection)


def _drop_old_texts(engine: Engine) -> None:
    """Drop the rows' own text of the months that are kept no longer."""
    oldest = engine.clock().date() - timedelta(days=engine.settings.row_text_days)
    with engine.database.transaction() as connection:
        operations.drop_text_months(connection, oldest)


def run_worker(engine: Engine, *, wait: bool = True, told: Callable[[str], None] = print) -> None:
    """Work until SIGTERM or Ctrl-C; what is under way is finished first.

    A database that goes away is waited for. ``wait`` false ends when no job is left.

    Raises:
        DatabaseGoneError: The database does not answer, and ``wait`` is false.
        SchemaBehindError: The schema has become too new for this program.
    """
    with _stopped_by_signals(engine):
        told("Working. Ctrl-C or SIGTERM ends it when the work under way is done.")
        while not _worked(engine, wait=wait):
            engine.database.forget()
            engine.stopping.wait(GONE_SECONDS)
    if engine.stopping.is_set():
        _log.info("stopped")


def _worked(engine: Engine, *, wait: bool) -> bool:
    """Work as long as the database is there; tell whether the worker is done."""
    try:
        take_on_left(engine)
        if not engine.stopping.is_set():
            _on_time(engine, clock.lapsed_work)
            _on_time(engine, clock.returned_work)
            asyncio.run(_take_jobs(engine, Ends(), wait=wait))
    except (DatabaseGoneError, ConnectorException, *GONE) as error:
        if not wait:
            raise
        said = mask_text(str(error).partition("\n")[0])
        _log.warning("database away", said=said)
        return engine.stopping.is_set()
    return engine.stopping.is_set() or not wait


@contextmanager
def _stopped_by_signals(engine: Engine) -> Iterator[None]:
    """Let the engine stop at SIGTERM and Ctrl-C; a second one ends the process at once."""

    def ask(number: int, _: object) -> None:
        engine.stopping.set()
        signal.signal(number, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, ask) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _take_jobs(engine: Engine, ends: Ends, *, wait: bool) -> None:
    """Take jobs until none is left, or the engine stops: then the job under way is waited for.

    Raises:
        DatabaseGoneError, ConnectorException or one of ``GONE``: The database went away.
        SchemaBehindError: Its schema has become too new.
    """
    app = worker_app(engine, ends)
    async with app.open_async():
        running = asyncio.create_task(
            app.run_worker_async(
                queues=[QUEUE],
                wait=wait,
                concurrency=1,
                listen_notify=True,
                install_signal_handlers=False,
            )
        )
        while not running.done():
            await asyncio.wait({running}, timeout=LOOK_SECONDS)
            is_over = engine.stopping.is_set() or ends.error is not None
            if is_over and not running.done():
                running.cancel()  # it takes no more jobs, and waits for those under way
                with suppress(asyncio.CancelledError):
                    await running
        if ends.error is not None:
            raise ends.error
        if not running.cancelled():
            running.result()
