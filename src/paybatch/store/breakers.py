"""Breakers: whether calls go out at a gate, for all workers and single calls."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row

from paybatch.store.database import Row
from paybatch.store.statements import statements

_SQL = statements("breaker")
GateKey = tuple[int, int]  # merchant, gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Where a breaker stands: ``closed`` = calls go, ``open`` = none, ``probing`` = a few."""

    state: str
    trips: int
    reason: str
    opened_at: datetime
    retry_at: datetime


def _key(gate: GateKey) -> dict[str, Any]:
    return {"merchant_id": gate[0], "gate_id": gate[1]}


def read_breaker(connection: Connection[Row], gate: GateKey) -> Breaker | None:
    """Read the breaker of a gate; None = it never opened."""
    with connection.cursor(row_factory=class_row(Breaker)) as cursor:
        return cursor.execute(_SQL["read_breaker"], _key(gate)).fetchone()


def open_breaker(
    connection: Connection[Row],
    gate: GateKey,
    reason: str,
    now: datetime,
    retry_at: datetime,
) -> bool:
    """Open a breaker until a time; False when it is open already."""
    parameters = {**_key(gate), "reason": reason, "now": now, "retry_at": retry_at}
    return connection.execute(_SQL["open_breaker"], parameters).fetchone() is not None


def probe_breaker(
    connection: Connection[Row], gate: GateKey, now: datetime, until: datetime
) -> bool:
    """Begin to probe an open breaker whose time has come; False = it is not our turn."""
    parameters = {**_key(gate), "now": now, "until": until}
    return connection.execute(_SQL["probe_breaker"], parameters).fetchone() is not None


def put_off_probe(connection: Connection[Row], gate: GateKey, retry_at: datetime) -> None:
    """Give a turn to probe back: there was nothing to send it with; the next is at a time."""
    connection.execute(_SQL["put_off_probe"], {**_key(gate), "retry_at": retry_at})


def close_breaker(connection: Connection[Row], gate: GateKey) -> bool:
    """Close a breaker; False when it was closed."""
    return connection.execute(_SQL["close_breaker"], _key(gate)).fetchone() is not None


def hasten_breakers(connection: Connection[Row], sender_id: int, now: datetime) -> None:
    """Let the open breakers of a sender's gates be probed at once."""
    connection.execute(_SQL["hasten_breakers"], {"sender_id": sender_id, "now": now})


def list_breakers(connection: Connection[Row]) -> list[dict[str, Any]]:
    """List every breaker that ever opened."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["list_breakers"]).fetchall()
