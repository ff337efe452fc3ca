"""Begun close: the claim of a close of day at gates whose processor is really outside.

The gates are closing from here on, so that their rows wait, and the attempt of the close is stored.
Nobody is asked inside the transaction: `flow/sending/close_day.py` goes on when it is committed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from paybatch.domain.connector import Result
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.tallies import came, left
from paybatch.flow.working.closing import RefusedError, locked_open
from paybatch.store import attempts, closings, operations, settlements
from paybatch.store.chunks import Chunk
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.public_ids import Shape


class WaitsError(Exception):
    """A row of a file must wait until a close of its gates that is under way is over."""


@dataclass(frozen=True)
class Begun:
    """A row that closes gates outside, in its chunk; single calls have none."""

    place: Place
    gates: Sequence[Gate]
    row: Mapping[str, Any]
    chunk: Chunk | None


def is_outside(place: Place, gates: Sequence[Gate]) -> bool:
    """Tell whether gates have a processor that is really outside."""
    return any(not place.connector(gate.id).inline for gate in gates)


def await_closes(connection: Connection[Row], begun: Begun, *, of_batch: bool = False) -> None:
    """See that a row of a file need not wait for a close of its gates, or for one of its own batch.

    Raises:
        WaitsError: It must.
    """
    ids = [gate.id for gate in begun.gates]
    found = closings.under_way(connection, begun.gates[0].merchant_id, ids)
    batch_id = begun.row["id"] // operations.LINES_MAX
    own = [each for each in found if each // operations.LINES_MAX == batch_id]
    if begun.chunk is not None and (own if of_batch else found):
        raise WaitsError


def begin(engine: Engine, connection: Connection[Row], begun: Begun, now: datetime) -> None:
    """Let the gates of a close be closing, and store its attempt: it is unknown until it is over.

    Raises:
        RefusedError: A gate is closing already, or its connector is not installed.
        WaitsError: A close of a gate is under way.
    """
    gates, row, chunk = begun.gates, begun.row, begun.chunk
    merchant_id, ids = gates[0].merchant_id, [gate.id for gate in gates]
    try:
        locked_open(connection, begun.place, gates)
    except RefusedError:
        await_closes(connection, begun)
        raise
    settlements.shut_gates(connection, merchant_id, ids, row["id"])
    closings.insert_closing(
        connection,
        {
            "merchant_id": merchant_id,
            "operation_id": row["id"],
            "gate_ids": ids,
            "phase": chunk.phase if chunk else 0,
            "drain_until": now + timedelta(seconds=engine.settings.drain_seconds),
            **{name: row.get(name) for name in closings.EXPECTED},
        },
    )
    attempt = {
        "merchant_id": merchant_id,
        "operation_id": row["id"],
        "batch_id": row["id"] // operations.LINES_MAX,
        "chunk_number": chunk.number if chunk else None,
        "gate_id": ids[0],
        "key": engine.public_ids.encode_one(row["id"], "op", Shape.NATIVE),
        "act": row["kind"],
        "amount_minor": None,
        "payment_id": None,
        "state": Result.UNKNOWN.value,
        "next_look_at": now,
        "created_at": now,
    }
    attempts.copy_attempts(connection, pl.DataFrame([attempt]))
    if chunk is not None:
        names = ("id", "kind", "currency", "requested_minor")
        own = pl.DataFrame([{name: row[name] for name in names}], schema_overrides=_TALLIED)
        batch_id = attempt["batch_id"]
        operations.insert_tallies(connection, batch_id, left(own))
        operations.insert_tallies(connection, batch_id, came(own, Result.UNKNOWN.value))


_TALLIED = {"currency": pl.String(), "requested_minor": pl.Int64()}
