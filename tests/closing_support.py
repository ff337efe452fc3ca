"""Rows that close a gate's day, and what they left."""

from typing import Any

from paybatch.flow.engine import Engine
from paybatch.store import ledger

HEADER = (
    "kind,reference,payment,amount_minor,currency,gate,card_number,card_expiry,processor,"
    "expected_sale_count,expected_sale_minor,expected_refund_count,expected_refund_minor,"
    "idempotency_key\n"
)
COLUMNS = HEADER.strip().split(",")


def row(kind: str, **cells: str) -> str:
    """Write a row."""
    return ",".join({**dict.fromkeys(COLUMNS, ""), "kind": kind, **cells}.values())


def sale(reference: str, amount: int, kind: str = "sale", **cells: str) -> str:
    asked = {"reference": reference, "amount_minor": str(amount), "currency": "USD"}
    card = {"card_number": "4111111111111111", "card_expiry": "12/39"}
    return row(kind, **{**asked, **card, **cells})


def act(kind: str, payment: str, amount: str = "") -> str:
    return row(kind, payment=payment, amount_minor=amount)


def close(gate: str = "sandbox", **cells: str) -> str:
    return row("close_day", **({"gate": gate} | cells))


def balances(engine: Engine, gate: str = "sandbox", currency: str = "USD") -> dict[str, int]:
    with engine.database.transaction() as connection:
        return {
            each["account"]: each["debit_minor"] - each["credit_minor"]
            for each in ledger.balances(connection)
            if (each["gate"], each["currency"]) == (gate, currency)
        }


def settled(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.database.transaction() as connection:
        return connection.execute(
            "SELECT g.name, s.number, s.currency, s.business_day::text, s.sale_count, "
            "s.sale_minor, s.refund_count, s.refund_minor, s.net_minor, s.response "
            "FROM settlement AS s INNER JOIN gate AS g ON s.gate_id = g.id "
            "ORDER BY g.name, s.number, s.currency"
        ).fetchall()
