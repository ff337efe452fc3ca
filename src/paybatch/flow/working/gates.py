"""Gates: rows that act on a gate, or on every gate of a processor.

Each such row is worked alone, in the transaction of its chunk or group, and is either done at all
its gates or at none.
"""

from collections.abc import Mapping
from contextlib import suppress
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
from paybatch.flow.waking import wake_merchant
from paybatch.flow.working.begun_close import Begun, await_closes, begin, is_outside
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

    Nothing is given of a row that makes others: it ends in a later chunk, with their totals. Nor of
    one that closes gates outside: it ends when their processors have answered.

    Raises:
        WaitsError: A row of a file must wait for a close that is under way.
    """
    room, found = _Room(engine, connection, place, chunk, engine.clock()), []
    for row in rows.rows(named=True):
        told = _done(room, row)
        if told is not None:
            found.append(settled_of(row, told.outcome, told.transfers, room.now))
    return found


def _done(room: _Room, row: Mapping[str, Any]) -> _Told | None:
    connection, place = room.connection, room.place
    effect = registry.kinds()[row["kind"]].gate_effect
    try:
        gates = _gates_of(place, row)
        match effect:
            case CloseDay() if is_outside(place, gates):
                _begin(room, gates, row)
                return None
            case CloseDay():
                closed = close(connection, place, gates, row, effect=effect, now=room.now)
                return _Told(as_answered(closed), closed.transfers)
            case UnlockGate():
                begun = Begun(place, gates, row, room.chunk)
                await_closes(connection, begun, of_batch=True)
                return _Told(_unlocked(room, gates), pl.DataFrame())
            case Expand():
                return _expanded(room, gates, row, effect)
    except RefusedError as error:
        return _Told(as_refused(error), pl.DataFrame())
    raise AssertionError(row["kind"])


def as_refused(error: RefusedError) -> dict[str, Any]:
    """Give the columns of an outcome of a row that is refused."""
    told = f"column {error.column} is {error.value}: {error.reason.sentence}{error.found}"
    refused = {"state": "rejected", "reason": error.reason.value, "message": told}
    return {**refused, "column_name": error.column, "value": error.value}


def _begin(room: _Room, gates: list[Gate], row: Mapping[str, Any]) -> None:
    begun = Begun(room.place, gates, row, room.chunk)
    begin(room.engine, room.connection, begun, room.now)


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
    if is_outside(room.place, parent.terminals):
        with suppress(RefusedError):  # a close of day came between: the totals tell it
            _begin(room, parent.terminals, row)
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


def _unlocked(room: _Room, gates: list[Gate]) -> dict[str, Any]:
    """Open gates that a close left closing; the rows that wait for them go on.

    A close that has no answer yet stays asked about: what it is to settle stays reserved.
    """
    connection = room.connection
    merchant_id, ids = gates[0].merchant_id, [gate.id for gate in gates]
    settlements.lock_gates(connection, merchant_id, ids)
    opened = settlements.open_gates(connection, merchant_id, ids)
    wake_merchant(room.engine, connection, merchant_id)
    names = ", ".join(opened)
    return {
        "state": "approved",
        "message": f"unlocked: {names}" if opened else "no gate was left closing",
        "approved_minor": 0,
        "response": "approved",
    }


def as_answered(closed: Closed) -> dict[str, Any]:
    """Give the columns of an outcome that a close makes."""
    state = "approved" if closed.is_closed else "declined"
    return {"state": state, "message": closed.message, "approved_minor": 0, **closed.answer}


_WHOLE = {"approved_minor": pl.Int64()}
_TEXTS = (
    *("state", "reason", "message", "response", "processor_code", "processor_text"),
    *("approval_code", "column_name", "value"),
)


def settled_of(
    row: Mapping[str, Any], outcome: Mapping[str, Any], transfers: pl.DataFrame, now: datetime
) -> Settled:
    """Give what is to be stored of a row with its outcome."""
    kept = {name: CLAIMED[name] for name in ("merchant_id", "id", "line", "kind", "currency")}
    schema = {**kept, **dict.fromkeys(_TEXTS, pl.String()), **_WHOLE, "amount_minor": pl.Int64()}
    values = {name: row[name] for name in kept} | {"amount_minor": 0} | dict(outcome)
    if "column_name" not in outcome:
        del schema["column_name"], schema["value"]
    outcomes = ended(pl.DataFrame([values], schema=schema), now)
    none = pl.DataFrame()
    return Settled(outcomes, none, none, transfers, outcomes)
