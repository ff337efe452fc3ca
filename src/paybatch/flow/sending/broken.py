"""Broken: batches that a breaker pauses, and that go on by themselves when its time has come."""

import structlog

from paybatch.domain.lifecycle import BatchState
from paybatch.flow.engine import Engine
from paybatch.flow.jobs import defer_work
from paybatch.store import batches, breakers, directory
from paybatch.store.batches import Batch
from paybatch.store.breakers import Breaker
from paybatch.store.database import Connection, Row

_log = structlog.get_logger(__name__)
ACTOR = "system:breaker"


def broken(engine: Engine, connection: Connection[Row], batch_id: int, breaker: Breaker) -> None:
    """Pause a running batch until the breaker may be probed; a worker goes on with it then."""
    now = engine.clock()
    if not batches.move_batch(connection, batch_id, BatchState.PAUSING, now):
        return  # somebody stopped it, or another flight did this
    batches.note_pause(connection, batch_id, breaker.reason, breaker.retry_at)
    subject = f"batch:{batch_id}"
    reason, until = breaker.reason, breaker.retry_at.isoformat()
    directory.record(connection, now, ACTOR, "batch.paused", subject, reason=reason, until=until)
    defer_work(connection, batch_id, breaker.retry_at)
    _log.warning("paused", reason=reason, until=until)


def is_broken(batch: Batch) -> bool:
    """Tell whether a breaker paused a batch."""
    return batch.resume_at is not None


def mend(engine: Engine, batch: Batch) -> bool:
    """Let a batch run again that a breaker paused, if its time has come."""
    now = engine.clock()
    if batch.resume_at is None or batch.resume_at > now:
        return False
    with engine.database.transaction() as connection:
        if not batches.move_batch(connection, batch.id, BatchState.RUNNING, now, only="paused"):
            return False
        subject = f"batch:{batch.id}"
        directory.record(connection, now, ACTOR, "batch.resumed", subject)
    return True


def keep_paused(engine: Engine, batch: Batch, actor: str) -> None:
    """Leave a batch paused that would go on by itself: a person says so."""
    with engine.database.transaction() as connection:
        batches.note_pause(connection, batch.id, batch.pause_reason, None)
        subject = f"batch:{batch.id}"
        directory.record(connection, engine.clock(), actor, "batch.paused", subject)


def probe_now(engine: Engine, batch: Batch) -> None:
    """Let the breakers that may be in a batch's way be probed at once."""
    with engine.database.transaction() as connection:
        breakers.hasten_breakers(connection, batch.sender_id, engine.clock())
