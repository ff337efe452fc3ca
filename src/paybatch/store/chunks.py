"""Chunks: the parts of a batch that are claimed and settled at once."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, OperationalError
from psycopg.rows import dict_row

from paybatch.domain.lifecycle import BatchState
from paybatch.store.batches import state_of
from paybatch.store.database import Row
from paybatch.store.statements import statements

CHILDREN = "children"
TOTALS = "totals"

_SQL = statements("chunk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A part of a batch that is claimed and settled at once.

    ``kind`` is range, ordered, children (operations that a row made) or totals (that row again).
    """

    number: int
    kind: str
    first_line: int
    last_line: int
    merchant_ids: list[int]
    phase: int = 0
    attempt: int = 0
    state: str = "loaded"
    row_count: int = 0
    rejected_count: int = 0

    @property
    def holds_lines(self) -> bool:
        """Whether its operations are lines of the file, and are counted as such."""
        return self.kind != CHILDREN


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the chunks of a batch are: to be worked, waiting for the unknown, all; and faults."""

    open: int
    waiting: int
    chunks: int
    faults: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A chunk whose calls a worker has under way; ``attempt`` fences off those who lost it."""

    batch_id: int
    number: int
    attempt: int


def insert_chunk(connection: Connection[Row], batch_id: int, chunk: Chunk) -> None:
    """Note that a block of lines is stored.

    Raises:
        ConstraintError: ``chunk_pkey``: the block is stored already.
    """
    parameters = {
        "batch_id": batch_id,
        "number": chunk.number,
        "kind": chunk.kind,
        "first_line": chunk.first_line,
        "last_line": chunk.last_line,
        "merchant_ids": chunk.merchant_ids,
        "phase": chunk.phase,
        "row_count": chunk.row_count,
        "rejected_count": chunk.rejected_count,
    }
    connection.execute(_SQL["insert_chunk"], parameters)


def cut_chunk(connection: Connection[Row], batch_id: int, chunk: Chunk) -> None:
    """Leave a chunk the lines up to ``last_line``, in its phase; it is not worked yet."""
    parameters = {
        "batch_id": batch_id,
        "number": chunk.number,
        "last_line": chunk.last_line,
        "phase": chunk.phase,
        "row_count": chunk.row_count,
    }
    connection.execute(_SQL["cut_chunk"], parameters)


def _chunks(connection: Connection[Row], name: str, parameters: Mapping[str, Any]) -> list[Chunk]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return [Chunk(**row) for row in cursor.execute(_SQL[name], parameters).fetchall()]


def list_chunks(connection: Connection[Row], batch_id: int) -> list[Chunk]:
    """List the chunks of a batch: the ranges by their lines, then the ordered ones."""
    return _chunks(connection, "list_chunks", {"batch_id": batch_id})


def take_chunk(connection: Connection[Row], batch_id: int, now: datetime) -> Chunk | None:
    """Take a ready chunk of a running batch; others skip it until this transaction ends.

    One whose worker is gone is ready too: its state is ``sending``.

    The statement may have begun before a pause was told, so the state is looked at again when the
    chunk is held: from then on whoever pauses waits for it.
    """
    found = _chunks(connection, "take_chunk", {"batch_id": batch_id, "now": now})
    is_running = found and state_of(connection, batch_id) == BatchState.RUNNING
    return found[0] if is_running else None


def has_later_phase(connection: Connection[Row], batch_id: int) -> bool:
    """Tell whether a running batch has chunks that wait for those that others work now."""
    row = connection.execute(_SQL["has_later_phase"], {"batch_id": batch_id}).fetchone()
    return bool(row and row[0])


def wait_for_chunks(connection: Connection[Row], batch_id: int) -> None:
    """Wait until no worker holds a chunk of the batch."""
    connection.execute(_SQL["wait_for_chunks"], {"batch_id": batch_id})


def loaded_chunk(connection: Connection[Row], batch_id: int, beyond: int = -1) -> Chunk | None:
    """Take a chunk that has rows to cancel, whatever the batch's state; waits for its worker."""
    found = _chunks(connection, "loaded_chunk", {"batch_id": batch_id, "beyond": beyond})
    return found[0] if found else None


def finish_chunk(
    connection: Connection[Row],
    batch_id: int,
    number: int,
    fault_count: int,
    state: str = "done",
) -> bool:
    """Mark a chunk settled, or ``waiting``; False when it was not open any more."""
    parameters = {
        "batch_id": batch_id,
        "number": number,
        "fault_count": fault_count,
        "state": state,
    }
    return connection.execute(_SQL["finish_chunk"], parameters).fetchone() is not None


def cancel_chunk(
    connection: Connection[Row], batch_id: int, number: int, state: str = "cancelled"
) -> None:
    """Mark a chunk cancelled; or ``waiting``, where something of it is unknown."""
    parameters = {"batch_id": batch_id, "number": number, "state": state}
    connection.execute(_SQL["cancel_chunk"], parameters)


def lease_chunk(
    connection: Connection[Row], batch_id: int, number: int, holder: int, deadline_at: datetime
) -> Lease:
    """Have the calls of a chunk under way until a time; the chunk is taken."""
    parameters = {
        "batch_id": batch_id,
        "number": number,
        "holder": holder,
        "deadline_at": deadline_at,
    }
    row = connection.execute(_SQL["lease_chunk"], parameters).fetchone()
    assert row is not None
    return Lease(batch_id, number, int(row[0]))


def hold_chunk(
    connection: Connection[Row],
    lease: Lease,
    now: datetime,
    *,
    deadline_at: datetime,
    fault_count: int,
) -> bool:
    """See that a chunk is still ours, and keep it; False = another worker may have it."""
    parameters = {
        "batch_id": lease.batch_id,
        "number": lease.number,
        "attempt": lease.attempt,
        "now": now,
        "deadline_at": deadline_at,
        "fault_count": fault_count,
    }
    return connection.execute(_SQL["hold_chunk"], parameters).fetchone() is not None


def leave_chunk(connection: Connection[Row], lease: Lease, state: str) -> bool:
    """Let go of a chunk; False = another worker has it."""
    parameters = {
        "batch_id": lease.batch_id,
        "number": lease.number,
        "attempt": lease.attempt,
        "state": state,
    }
    return connection.execute(_SQL["leave_chunk"], parameters).fetchone() is not None


def wake_chunks(connection: Connection[Row], batch_id: int) -> None:
    """Let the chunks of a batch that wait for something unknown be taken again."""
    connection.execute(_SQL["wake_chunks"], {"batch_id": batch_id})


def idle_chunks(connection: Connection[Row], batch_id: int) -> int:
    """Count the chunks of a batch that wait though nothing of them is unknown."""
    row = connection.execute(_SQL["idle_chunks"], {"batch_id": batch_id}).fetchone()
    return int(row[0]) if row else 0


def idle_batches(connection: Connection[Row]) -> list[int]:
    """Give the batches with chunks that wait though nothing is unknown any more."""
    return [int(row[0]) for row in connection.execute(_SQL["idle_batches"]).fetchall()]


def waiting_batches(connection: Connection[Row], merchant_id: int) -> list[int]:
    """Give the batches with chunks of a merchant that wait, such as for its gates."""
    rows = connection.execute(_SQL["waiting_batches"], {"merchant_id": merchant_id}).fetchall()
    return sorted(int(row[0]) for row in rows)


def children_wait(connection: Connection[Row], batch_id: int) -> bool:
    """Tell whether operations that rows of a batch made still wait."""
    row = connection.execute(_SQL["children_wait"], {"batch_id": batch_id}).fetchone()
    return bool(row and row[0])


def hold_as_worker(connection: Connection[Row], holder: int) -> None:
    """Hold a worker's own lock on a connection of a `Database.session`: it goes with that."""
    connection.execute(_SQL["hold_of_worker"], {"holder": holder})


def is_there(connection: Connection[Row]) -> bool:
    """Tell whether a worker's connection is there, and so its lock; safe in several threads."""
    try:
        connection.execute(_SQL["is_there"])
    except OperationalError:
        return False
    return True


def leave_as_worker(connection: Connection[Row], holder: int) -> None:
    """Let go of a worker's own lock; it is gone already where its connection is."""
    with suppress(OperationalError):
        connection.execute(_SQL["leave_of_worker"], {"holder": holder})


def in_doubt(connection: Connection[Row], batch_id: int, number: int) -> bool:
    """Tell whether something of a chunk is unknown."""
    parameters = {"batch_id": batch_id, "number": number}
    row = connection.execute(_SQL["chunk_in_doubt"], parameters).fetchone()
    return bool(row and row[0])


def is_sending(connection: Connection[Row], batch_id: int, now: datetime) -> bool:
    """Tell whether a worker that lives has calls of a batch under way."""
    parameters = {"batch_id": batch_id, "now": now}
    row = connection.execute(_SQL["is_sending"], parameters).fetchone()
    return bool(row and row[0])


def lost_chunks(connection: Connection[Row], batch_id: int, now: datetime) -> list[Chunk]:
    """Take the chunks of a batch whose worker is gone in the middle of sending."""
    return _chunks(connection, "lost_chunks", {"batch_id": batch_id, "now": now})


def progress(connection: Connection[Row], batch_id: int) -> Progress:
    """Count a batch's chunks."""
    row = connection.execute(_SQL["progress"], {"batch_id": batch_id}).fetchone()
    assert row is not None
    return Progress(*map(int, row))
