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

_SQL = statements("batch")


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
    pause_reason: str | None
    resume_at: datetime | None
    nonce: bytes
    wrapped_key: bytes | None
    row_count: int
    has_subjects: bool
    created_at: datetime
    released_at: datetime | None
    finished_at: datetime | None


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
    only: str | None = None,
) -> bool:
    """Move a batch along an arrow of its lifecycle; False when no arrow leads there from here.

    ``only`` names the one state that it may leave.
    With a final state go its data key and its secrets: whoever is killed when, they are not left.
    """
    is_final = target in BATCH_FINAL
    parameters = {
        "id": batch_id,
        "state": target.value,
        "is_final": is_final,
        "sources": [each for each in states_before(target) if only in {None, each}],
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


def lock_batch(connection: Connection[Row], batch_id: int) -> None:
    """Hold a batch's state until the transaction ends."""
    connection.execute(_SQL["lock_batch"], {"id": batch_id})


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


def note_pause(
    connection: Connection[Row], batch_id: int, reason: str | None, resume_at: datetime | None
) -> None:
    """Note why a batch is paused and when it goes on by itself; None = when a person says so."""
    parameters = {"id": batch_id, "reason": reason, "resume_at": resume_at}
    connection.execute(_SQL["note_pause"], parameters)


def paused_until(connection: Connection[Row], now: datetime) -> list[int]:
    """Give the batches that a breaker paused and whose time to go on has come."""
    rows = connection.execute(_SQL["paused_until"], {"now": now}).fetchall()
    return [int(row[0]) for row in rows]


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
