"""Gates: rows that act on a gate, or on every gate of a processor.

Each such row is worked alone, in the transaction of its chunk or group, and is either done at all
its gates or at none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.effects import CloseDay, Expand, UnlockGate
from paybatch.domain.kind import Subject
from paybatch.domain.reasons import Reason
from paybatch.flow.engine import Engine
from paybatch.flow.phases import alone
from paybatch.flow.place import Place
from paybatch.flow.working.closing import Closed, RefusedError, close
from paybatch.flow.working.expanding import Parent, expand, totalled
from paybatch.flow.working.settle import Settled, ended
from paybatch.store import settlements
from paybatch.store.chunks import TOTALS, Chunk
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.operations import CLAIMED


@dataclass(frozen=True)
class _Told:
    """What became of a row: its columns of an outcome, and the transfers that it makes."""

    outcome: Mapping[str, Any]
    transfers: pl.DataFrame


def acts_on_gates(rows: pl.DataFrame) -> bool:
    """Tell whether rows of one phase act on gates: then all of them do."""
    kind = registry.kinds().get(rows["kind"][0] or "")
    return kind is not None and kind.subject is Subject.GATE


def change_gates(rows: pl.DataFrame) -> bool:
    """Tell whether any row acts on a gate: what was known of gates may be old behind it."""
    return not set(alone()).isdisjoint(rows["kind"].to_list())


@dataclass(frozen=True)
class _Room:
    """Where rows are worked; single calls have no chunk."""

    engine: Engine
    connection: Connection[Row]
    place: Place
    chunk: Chunk | None
    now: datetime


def worked(
    engine: Engine,
    connection: Connection[Row],
    place: Place,
    rows: pl.DataFrame,
    chunk: Chunk | None = None,
) -> list[Settled]:
    """Work rows that act on gates, one after the other; give what is to be stored of them.

    Nothing is given of a row that makes others: it ends in a later chunk, with their totals.
    """
    room, found = _Room(engine, connection, place, chunk, engine.clock()), []
    for row in rows.rows(named=True):
        told = _done(room, row)
        if told is not None:
            found.append(_settled(row, told, room.now))
    return found


def _done(room: _Room, row: Mapping[str, Any]) -> _Told | None:
    connection, place = room.connection, room.place
    effect = registry.kinds()[row["kind"]].gate_effect
    try:
        gates = _gates_of(place, row)
        match effect:
            case CloseDay():
                closed = close(connection, place, gates, row, effect=effect, now=room.now)
                return _Told(_as_answered(closed), closed.transfers)
            case UnlockGate():
                return _Told(_unlocked(connection, gates), pl.DataFrame())
            case Expand():
                return _expanded(room, gates, row, effect)
    except RefusedError as error:
        value, reason = error.value, error.reason
        told = f"column {error.column} is {value}: {reason.sentence}{error.found}"
        refused = {"state": "rejected", "reason": reason.value, "message": told}
        return _Told({**refused, "column_name": error.column, "value": value}, pl.DataFrame())
    raise AssertionError(row["kind"])


def _expanded(
    room: _Room, gates: list[Gate], row: Mapping[str, Any], effect: Expand
) -> _Told | None:
    """Make the operations of a row, or end it with what became of them."""
    if room.chunk is None:
        raise RefusedError(Reason.FILE_NEEDED, "kind", row["kind"])
    parent = Parent(room.place, gates, row, effect, room.chunk)
    if room.chunk.kind != TOTALS:
        expand(room.engine, room.connection, parent, room.now)
        return None
    outcome, transfers = totalled(room.connection, parent, room.now)
    return _Told(outcome, transfers)


def _gates_of(place: Place, row: Mapping[str, Any]) -> list[Gate]:
    """Give the gates that a row acts on."""
    processor = row["processor"]
    if processor is None:
        return [place.gate(row["gate_id"])]
    own = [gate for gate in place.gates if gate.merchant_id == row["merchant_id"]]
    found = [gate for gate in own if gate.connector == processor]
    if not found:
        raise RefusedError(Reason.PROCESSOR_UNKNOWN, "processor", processor)
    return found


def _unlocked(connection: Connection[Row], gates: list[Gate]) -> dict[str, Any]:
    """Open gates that a close left closing."""
    merchant_id, ids = gates[0].merchant_id, [gate.id for gate in gates]
    settlements.lock_gates(connection, merchant_id, ids)
    opened = settlements.set_gate_state(connection, merchant_id, ids, "open")
    names = ", ".join(opened)
    return {
        "state": "approved",
        "message": f"unlocked: {names}" if opened else "no gate was left closing",
        "approved_minor": 0,
        "response": "approved",
    }


def _as_answered(closed: Closed) -> dict[str, Any]:
    state = "approved" if closed.is_closed else "declined"
    return {"state": state, "message": closed.message, "approved_minor": 0, **closed.answer}


_WHOLE = {"approved_minor": pl.Int64()}
_TEXTS = (
    *("state", "reason", "message", "response", "processor_code", "processor_text"),
    *("approval_code", "column_name", "value"),
)


def _settled(row: Mapping[str, Any], told: _Told, now: datetime) -> Settled:
    """Give what is to be stored of a row."""
    kept = {name: CLAIMED[name] for name in ("merchant_id", "id", "line", "kind", "currency")}
    schema = {**kept, **dict.fromkeys(_TEXTS, pl.String()), **_WHOLE, "amount_minor": pl.Int64()}
    values = {name: row[name] for name in kept} | {"amount_minor": 0} | dict(told.outcome)
    if "column_name" not in told.outcome:
        del schema["column_name"], schema["value"]
    outcomes = ended(pl.DataFrame([values], schema=schema), now)
    none = pl.DataFrame()
    return Settled(outcomes, none, none, told.transfers, outcomes)
