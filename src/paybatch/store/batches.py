"""Batches and their chunks: one function for each statement."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.domain.lifecycle import BATCH_FINAL, BatchState, states_before
from paybatch.store import numbers
from paybatch.store.database import Row
from paybatch.store.statements import statements

CHILDREN = "children"
TOTALS = "totals"

_SQL = statements("batch")
_CHUNK = statements("chunk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A received file with its policy and progress, as table ``batch`` holds it."""

    id: int
    sender_id: int
    sender: str
    merchant_id: int
    merchant: str
    gate_id: int
    dialect: str
    kind: str | None
    file_name: str
    content_hash: str
    byte_count: int
    shape: dict[str, Any]
    columns: list[str]
    policy: str
    state: str
    refusal: str | None
    nonce: bytes
    wrapped_key: bytes | None
    row_count: int
    has_subjects: bool
    created_at: datetime
    released_at: datetime | None
    finished_at: datetime | None


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


def next_number(connection: Connection[Row]) -> int:
    """Take the number of a new batch, or of a block of ids for single calls."""
    row = connection.execute(_SQL["next_number"]).fetchone()
    assert row is not None
    return int(row[0])


def insert_batch(connection: Connection[Row], values: Mapping[str, Any]) -> None:
    """Write a received batch.

    Raises:
        ConstraintError: ``batch_content``: another batch of the sender holds the same bytes.
    """
    shape = json.dumps(values["shape"])
    connection.execute(_SQL["insert_batch"], {**values, "shape": shape})


def holders_of_content(
    connection: Connection[Row], sender_id: int, content_hash: str
) -> list[tuple[int, str, int]]:
    """Give (id, state, occurrence) of the batches that hold the same bytes, newest first."""
    parameters = {"sender_id": sender_id, "content_hash": content_hash}
    rows = connection.execute(_SQL["holders_of_content"], parameters).fetchall()
    return [(int(row[0]), str(row[1]), int(row[2])) for row in rows]


def get_batch(connection: Connection[Row], batch_id: int) -> Batch | None:
    """Read one batch."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_SQL["get_batch"], {"id": batch_id}).fetchone()
    return Batch(**row) if row else None


def list_batches(connection: Connection[Row], before: int, limit: int) -> list[dict[str, Any]]:
    """List batches below an id, newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        parameters = {"before": before, "limit": limit}
        return cursor.execute(_SQL["list_batches"], parameters).fetchall()


def move_batch(
    connection: Connection[Row],
    batch_id: int,
    target: BatchState,
    at: datetime,
    *,
    refusal: str | None = None,
    holds_content: bool = True,
) -> bool:
    """Move a batch along an arrow of its lifecycle; False when no arrow leads there from here.

    With a final state go its data key and its secrets: whoever is killed when, they are not left.
    """
    is_final = target in BATCH_FINAL
    parameters = {
        "id": batch_id,
        "state": target.value,
        "is_final": is_final,
        "sources": states_before(target),
        "at": at,
        "refusal": refusal,
        "holds_content": holds_content,
    }
    has_moved = connection.execute(_SQL["move_batch"], parameters).fetchone() is not None
    if has_moved and is_final:
        numbers.drop_batch_secrets(connection, batch_id)
    return has_moved


def set_accepted(
    connection: Connection[Row], batch_id: int, *, row_count: int, has_subjects: bool
) -> None:
    """Note what accepting a batch found."""
    parameters = {"id": batch_id, "row_count": row_count, "has_subjects": has_subjects}
    connection.execute(_SQL["set_accepted"], parameters)


def state_of(connection: Connection[Row], batch_id: int) -> str | None:
    """Give the state of a batch as it is now; None = there is no such batch."""
    row = connection.execute(_SQL["state_of"], {"id": batch_id}).fetchone()
    return str(row[0]) if row else None


@contextmanager
def reading(connection: Connection[Row], batch_id: int, *, waits: bool = True) -> Iterator[bool]:
    """Be the only one who reads a batch's file, in a block; False = another process does so.

    ``connection`` is that of a `Database.session`: it holds the lock outside any transaction, and
    loses it when its process dies. With ``waits`` the answer is always True.
    """
    name = "lock_file" if waits else "try_lock_file"
    row = connection.execute(_SQL[name], {"id": batch_id}).fetchone()
    is_ours = waits or bool(row and row[0])
    try:
        yield is_ours
    finally:
        if is_ours:
            connection.execute(_SQL["unlock_file"], {"id": batch_id})


def note_refusal(connection: Connection[Row], batch_id: int, refusal: str) -> None:
    """Note why a batch is being refused: whoever goes on with it refuses it too."""
    connection.execute(_SQL["note_refusal"], {"id": batch_id, "refusal": refusal})


def files_of(connection: Connection[Row], batch_ids: Sequence[int]) -> dict[int, bool]:
    """Tell of those of these batches that there are whether their file is still to be read."""
    rows = connection.execute(_SQL["files_of"], {"ids": list(batch_ids)}).fetchall()
    return {int(row[0]): bool(row[1]) for row in rows}


def destroy_idle_keys(connection: Connection[Row]) -> None:
    """Destroy the data keys of batches that were read and have no secret left to send."""
    connection.execute(_SQL["destroy_idle_keys"])


def has_sent(connection: Connection[Row], batch_id: int) -> bool:
    """Tell whether any operation of a batch went out or settled."""
    row = connection.execute(_SQL["has_sent"], {"id": batch_id}).fetchone()
    return bool(row and row[0])


def unfinished(connection: Connection[Row]) -> list[int]:
    """List the batches that have work, oldest first."""
    return [int(row[0]) for row in connection.execute(_SQL["unfinished"]).fetchall()]


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
    connection.execute(_CHUNK["insert_chunk"], parameters)


def cut_chunk(connection: Connection[Row], batch_id: int, chunk: Chunk) -> None:
    """Leave a chunk the lines up to ``last_line``, in its phase; it is not worked yet."""
    parameters = {
        "batch_id": batch_id,
        "number": chunk.number,
        "last_line": chunk.last_line,
        "phase": chunk.phase,
        "row_count": chunk.row_count,
    }
    connection.execute(_CHUNK["cut_chunk"], parameters)


def _chunks(connection: Connection[Row], name: str, parameters: Mapping[str, Any]) -> list[Chunk]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return [Chunk(**row) for row in cursor.execute(_CHUNK[name], parameters).fetchall()]


def list_chunks(connection: Connection[Row], batch_id: int) -> list[Chunk]:
    """List the chunks of a batch: the ranges by their lines, then the ordered ones."""
    return _chunks(connection, "list_chunks", {"batch_id": batch_id})


def take_chunk(connection: Connection[Row], batch_id: int) -> Chunk | None:
    """Take a ready chunk of a running batch; others skip it until this transaction ends.

    The statement may have begun before a pause was told, so the state is looked at again when the
    chunk is held: from then on whoever pauses waits for it.
    """
    found = _chunks(connection, "take_chunk", {"batch_id": batch_id})
    is_running = found and state_of(connection, batch_id) == BatchState.RUNNING
    return found[0] if is_running else None


def has_later_phase(connection: Connection[Row], batch_id: int) -> bool:
    """Tell whether a running batch has chunks that wait for those that others work now."""
    row = connection.execute(_CHUNK["has_later_phase"], {"batch_id": batch_id}).fetchone()
    return bool(row and row[0])


def wait_for_chunks(connection: Connection[Row], batch_id: int) -> None:
    """Wait until no worker holds a chunk of the batch."""
    connection.execute(_CHUNK["wait_for_chunks"], {"batch_id": batch_id})


def loaded_chunk(connection: Connection[Row], batch_id: int) -> Chunk | None:
    """Take a chunk that is not worked yet, whatever the batch's state; waits for its worker."""
    found = _chunks(connection, "loaded_chunk", {"batch_id": batch_id})
    return found[0] if found else None


def finish_chunk(connection: Connection[Row], batch_id: int, number: int, fault_count: int) -> bool:
    """Mark a chunk settled; False when it was not open any more."""
    parameters = {"batch_id": batch_id, "number": number, "fault_count": fault_count}
    return connection.execute(_CHUNK["finish_chunk"], parameters).fetchone() is not None


def cancel_chunk(connection: Connection[Row], batch_id: int, number: int) -> None:
    """Mark a chunk cancelled."""
    connection.execute(_CHUNK["cancel_chunk"], {"batch_id": batch_id, "number": number})


def progress(connection: Connection[Row], batch_id: int) -> tuple[int, int, int]:
    """Give (chunks not worked, chunks in all, faults so far)."""
    row = connection.execute(_CHUNK["progress"], {"batch_id": batch_id}).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])
