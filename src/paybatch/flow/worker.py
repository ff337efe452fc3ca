"""Worker: takes the jobs of every batch of this database, until it is told to stop.

A worker does nothing that `paybatch run` does not do; there may be any number of them, on any
number of machines. Every minute it looks for batches that have work and no job: those whose process
was killed. A job that runs twice, late or never changes nothing.
"""

from collections.abc import Callable
from datetime import timedelta

import procrastinate
import structlog

from paybatch.domain.delimited import FileRefused
from paybatch.domain.lifecycle import BatchState
from paybatch.flow import batch as batches
from paybatch.flow import control
from paybatch.flow.engine import Engine, move
from paybatch.flow.jobs import QUEUE, WORK
from paybatch.store import batches as stored
from paybatch.store import numbers, operations

EVERY_MINUTE = "* * * * *"
STALLED_SECONDS = 120
_log = structlog.get_logger(__name__)


def worker_app(engine: Engine) -> procrastinate.App:
    """Give the app of a worker, with its tasks and its periodic work."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=engine.database.url))

    @app.task(name=WORK, queue=QUEUE)
    def work(batch_id: int) -> None:
        take_on(engine, batch_id)

    @app.periodic(cron=EVERY_MINUTE)
    @app.task(name="paybatch.sweep", queue=QUEUE, queueing_lock="sweep", pass_context=True)
    async def sweep(context: procrastinate.JobContext, timestamp: int) -> None:  # noqa: ARG001
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            await app.job_manager.retry_job(job)

    @app.periodic(cron=EVERY_MINUTE)
    @app.task(name="paybatch.left", queue=QUEUE, queueing_lock="left")
    def left(timestamp: int) -> None:  # noqa: ARG001 - procrastinate passes it
        take_on_left(engine)

    return app


def take_on(engine: Engine, batch_id: int) -> None:
    """Take a batch on as far as it goes now; a file that cannot be read is refused."""
    try:
        done = batches.go_on(engine, batch_id)
        _log.info("batch", batch=batch_id, state=done.state)
    except FileRefused as error:
        move(engine, batch_id, BatchState.REFUSED, refusal=error.sentence, holds_content=False)
        control.forget(engine, batch_id)
        _log.warning("batch refused", batch=batch_id, reason=error.code)


def take_on_left(engine: Engine) -> None:
    """Take on every batch that has work, and forget secrets whose time is over."""
    with engine.database.transaction() as connection:
        waiting = stored.unfinished(connection)
    for batch_id in waiting:
        take_on(engine, batch_id)
    forget_old_secrets(engine)
    with engine.database.transaction() as connection:
        oldest = engine.clock().date() - timedelta(days=engine.settings.row_text_days)
        operations.drop_text_months(connection, oldest)


def forget_old_secrets(engine: Engine) -> None:
    """Delete the CVVs that waited too long, and the keys of batches that have none left."""
    oldest = engine.clock() - timedelta(hours=engine.settings.secret_hours)
    with engine.database.transaction() as connection:
        for batch_id in numbers.drop_old_secrets(connection, oldest):
            _log.info("secrets dropped", batch=batch_id)


def run_worker(engine: Engine, *, wait: bool = True, told: Callable[[str], None] = print) -> None:
    """Work until SIGTERM or Ctrl-C; what is under way is finished first.

    ``wait`` false ends when no job is left.
    """
    take_on_left(engine)
    app = worker_app(engine)
    told("Working. Ctrl-C or SIGTERM ends it when the work under way is done.")
    app.run_worker(queues=[QUEUE], wait=wait, concurrency=1, listen_notify=True)
