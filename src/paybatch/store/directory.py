"""Who is who: installation, senders, merchants, gates, customers and the audit trail."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.domain.capabilities import Capabilities
from paybatch.store.database import Row, copy_out
from paybatch.store.statements import statements

_SQL = statements("directory")

WALLET = {
    "customer": pl.String(),
    "rank": pl.Int16(),
    "means": pl.String(),
    "number_id": pl.String(),
    "expiry": pl.Int16(),
    "account_type": pl.String(),
    "brand": pl.String(),
    "masked": pl.String(),
    "bank_code": pl.String(),
}


@dataclass(frozen=True, slots=True)
class Schema:
    """The schema of a database: its version, and since which version programs can use it."""

    version: int
    readable_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A merchant's account at a processor."""

    merchant_id: int
    merchant: str
    id: int
    name: str
    connector: str
    mode: str
    currencies: tuple[str, ...]
    zone: str
    cut_off: time
    is_default: bool
    state: str = "open"
    business_day: date | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    settings: Mapping[str, str] = field(default_factory=dict)


def _rows(
    connection: Connection[Row], name: str, parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], parameters).fetchall()


def find_schema(connection: Connection[Row]) -> Schema:
    """Say which schema the engine's tables are; version 0 when there are none."""
    row = connection.execute(_SQL["has_schema"]).fetchone()
    if not (row and row[0]):
        return Schema(0, 0)
    found = connection.execute(_SQL["schema"]).fetchone()
    return Schema(int(found[0]), int(found[1])) if found else Schema(0, 0)


def lock_schema(connection: Connection[Row]) -> None:
    """Wait until no other process changes the schema; held until the transaction ends."""
    connection.execute(_SQL["lock_schema"])


def bind_installation(
    connection: Connection[Row], key_set_id: str, blob_store_id: str
) -> tuple[str, str]:
    """Bind the database to a key set and a blob store; give those that it is bound to."""
    parameters = {"key_set_id": key_set_id, "blob_store_id": blob_store_id}
    row = connection.execute(_SQL["bind_installation"], parameters).fetchone()
    assert row is not None
    return str(row[0]), str(row[1])


def add_sender(connection: Connection[Row], name: str) -> int:
    """Make a sender, or find it; give its id."""
    connection.execute(_SQL["add_sender"], {"name": name})
    found = find_sender(connection, name)
    assert found is not None
    return found


def find_sender(connection: Connection[Row], name: str) -> int | None:
    """Find a sender by its name."""
    row = connection.execute(_SQL["find_sender"], {"name": name}).fetchone()
    return int(row[0]) if row else None


def add_merchant(connection: Connection[Row], name: str, title: str, sender: str) -> None:
    """Make a merchant and let a sender act for it."""
    connection.execute(_SQL["add_merchant"], {"name": name, "title": title})
    connection.execute(_SQL["allow_sender"], {"sender": sender, "merchant": name})


def merchants_of_sender(connection: Connection[Row], sender_id: int) -> dict[str, int]:
    """Give the ids of the merchants that a sender may act for, by name."""
    rows = _rows(connection, "merchants_of_sender", {"sender_id": sender_id})
    return {row["name"]: row["id"] for row in rows}


def list_merchants(connection: Connection[Row]) -> list[dict[str, Any]]:
    """List every merchant."""
    return _rows(connection, "list_merchants", {})


def add_gate(connection: Connection[Row], values: Mapping[str, Any]) -> bool:
    """Make a gate; False when the merchant is unknown or has one of that name."""
    return connection.execute(_SQL["add_gate"], values).fetchone() is not None


def set_default_gate(connection: Connection[Row], merchant: str, name: str) -> None:
    """Make a gate its merchant's default, in place of the one that was."""
    connection.execute(_SQL["clear_default_gate"], {"merchant": merchant})
    connection.execute(_SQL["set_default_gate"], {"merchant": merchant, "name": name})


def gates_of_merchants(connection: Connection[Row], merchant_ids: Sequence[int]) -> list[Gate]:
    """Give the gates of these merchants."""
    rows = _rows(connection, "gates_of_merchants", {"merchant_ids": list(merchant_ids)})
    return [
        Gate(
            **{
                **row,
                "currencies": tuple(row["currencies"]),
                "capabilities": Capabilities(**row["capabilities"]),
            }
        )
        for row in rows
    ]


def add_customer(connection: Connection[Row], merchant_id: int, reference: str) -> None:
    """Make a customer, if it is not there."""
    parameters = {"merchant_id": merchant_id, "reference": reference}
    connection.execute(_SQL["add_customer"], parameters)


def add_customer_means(connection: Connection[Row], values: Mapping[str, Any]) -> int:
    """Add a means to a customer behind those it has; give its rank."""
    row = connection.execute(_SQL["add_customer_means"], values).fetchone()
    assert row is not None
    return int(row[0])


def means_of_customers(
    connection: Connection[Row], merchant_id: int, references: Sequence[str]
) -> pl.DataFrame:
    """Give the means of these customers in the order of their rank, shaped as ``WALLET``."""
    parameters = {"merchant_id": merchant_id, "references": list(references)}
    return copy_out(connection, _SQL["means_of_customers"], parameters, WALLET)


def list_customers(
    connection: Connection[Row], merchant_ids: Sequence[int], limit: int
) -> list[dict[str, Any]]:
    """List customers of these merchants with the number of their means."""
    parameters = {"merchant_ids": list(merchant_ids), "limit": limit}
    return _rows(connection, "list_customers", parameters)


def _seal(previous: str, event: Mapping[str, Any]) -> str:
    parts = [previous, event["at"].isoformat(), event["actor"], event["action"], event["subject"]]
    text = json.dumps([*parts, event["detail"]], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def record(
    connection: Connection[Row],
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    **detail: str | int | None,
) -> None:
    """Append an event to the audit trail, sealed by the hash of the one before."""
    connection.execute(_SQL["lock_audit"])
    row = connection.execute(_SQL["last_audit_hash"]).fetchone()
    previous = str(row[0]) if row else ""
    event = {"at": at, "actor": actor, "action": action, "subject": subject, "detail": detail}
    connection.execute(
        _SQL["insert_audit"],
        {
            **event,
            "detail": json.dumps(detail),
            "previous_hash": previous,
            "hash": _seal(previous, event),
        },
    )


def broken_seals(connection: Connection[Row]) -> list[str]:
    """Check the chain of the audit trail; give the hashes of the events that do not fit."""
    broken, previous = [], ""
    for event in _rows(connection, "audit_events", {}):
        if event["previous_hash"] != previous or event["hash"] != _seal(previous, event):
            broken.append(event["hash"])
        previous = event["hash"]
    return broken
