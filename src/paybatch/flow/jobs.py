"""Jobs: procrastinate spreads the work; the engine's own rows decide what is true.

A job says that a batch has work. One that runs twice, late or never changes nothing: whoever finds
a ready chunk works it.
"""

from datetime import datetime
from functools import cache

import procrastinate

from paybatch.store.database import Connection, Row

WORK = "paybatch.work"
QUEUE = "batches"


@cache
def _deferring() -> procrastinate.App:
    """Give an app that only defers, on connections that it is given."""
    return procrastinate.App(connector=procrastinate.SyncPsycopgConnector())


def defer_work(
    connection: Connection[Row],
    batch_id: int,
    at: datetime | None = None,
    *,
    once: str | None = None,
) -> None:
    """Say that a batch has work, now or from a time on, in the caller's transaction.

    Raises:
        procrastinate.exceptions.AlreadyEnqueued: There is a job of the name ``once`` already; the
            transaction is broken then.
    """
    job = _deferring().configure_task(
        WORK,
        queue=QUEUE,
        allow_unknown=True,
        lock=None,
        queueing_lock=once,
        schedule_at=at,
        connection=connection,
    )
    job.defer(batch_id=batch_id)
