"""What the tests of recurring payments share: rows, the clock, and what was charged."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
from psycopg.rows import dict_row

from conftest import NOW
from paybatch.flow import recurring
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place
from tests_support import run

COLUMNS = (
    "kind,reference,payment,amount_minor,amount,currency,gate,card_number,card_expiry,"
    "card_reference,card_cvv,card_side,amount_from,amount_to,amount_sequence,period,every,start_on,"
    "finish_on,finish_count,attempts,action,scheme_transaction_id,billing_postal_code,"
    "email,account_number,routing_number,account_type,sec_code"
)
VISA, MASTERCARD = "4111111111111111", "5555555555554444"
DECLINES, STOLEN, EXPIRED = "4000000000000002", "4000000000009979", "4000000000000069"
SECOND_TIME, NOT_AGAIN = "4000000000000341", "4000000000000358"
CARD = {"card_number": VISA, "card_expiry": "12/39"}
OTHER = {"card_number": MASTERCARD, "card_expiry": "11/39"}
TODAY = NOW.date()


def row(kind: str, **cells: str) -> str:
    """Write a row."""
    return ",".join({**dict.fromkeys(COLUMNS.split(","), ""), "kind": kind, **cells}.values())


def create(**cells: str) -> str:
    """Write a new monthly recurring payment r of 1000."""
    usual = {"reference": "r", "amount_minor": "1000", "currency": "USD", "period": "month"}
    means = {} if {"payment", "card_number", "card_reference"} & cells.keys() else CARD
    return row("recurring_create", **{**usual, **means, **cells})


def update(**cells: str) -> str:
    """Write a change of it."""
    return row("recurring_update", **{"payment": "r", **cells})


def charge(reference: str = "c", **cells: str) -> str:
    """Write a charge of it, by hand."""
    usual = {"payment": "r", "amount_minor": "700", "currency": "USD", "reference": reference}
    return row("recurring_charge", **{**usual, **cells})


def done(engine: Engine, place: Place, *rows: str) -> pl.DataFrame:
    """Run rows as a file."""
    return run(engine, place, "\n".join([COLUMNS, *rows, ""]), again=True)


def on(engine: Engine, day: date | str, hour: int = 12) -> Engine:
    """Give the engine of another process, on a day."""
    moment = datetime.fromisoformat(f"{day}T00:00:00").replace(tzinfo=UTC) + timedelta(hours=hour)
    return replace(engine, clock=lambda: moment, known_numbers=set(), accounts={})


def tick(engine: Engine, day: date | str, hour: int = 12) -> list[int]:
    """Let the clock do what it finds on a day until it finds nothing; give the batches."""
    later, found = on(engine, day, hour), []
    while work := recurring.due_work(later):
        found += [recurring.hand_in(later, each) for each in work]
        assert len(found) < 20, "it does the same again and again"
    return found


def dates(engine: Engine) -> list[tuple[str, int, int, str]]:
    """Give the dates that came: due, amount, attempt, state."""
    with engine.database.transaction() as connection:
        rows = connection.execute(
            "SELECT due_on::text, amount_minor, attempt, state FROM recurring_date "
            "ORDER BY recurring_id, due_on"
        ).fetchall()
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def charged(engine: Engine) -> list[tuple[str, int]]:
    """Give the dates that were charged, with their amounts."""
    return [(due, amount) for due, amount, _, state in dates(engine) if state == "charged"]


def payments(engine: Engine) -> list[dict[str, Any]]:
    """Give the payments that recurring payments made, in order."""
    with engine.database.transaction() as connection:
        cursor = connection.cursor(row_factory=dict_row)
        return cursor.execute(
            "SELECT p.*, o.amount_minor AS asked FROM payment p JOIN operation o "
            "ON o.merchant_id = p.merchant_id AND o.id = p.id "
            "WHERE p.origin IN ('recurring_charge', 'recurring_payout') ORDER BY p.created_at, p.id"
        ).fetchall()


def view(engine: Engine, place: Place, name: str = "r") -> dict[str, Any]:
    """Give the payment of a reference."""
    (key,) = find_payments(engine, [place.merchant_id], name)
    return view_payment(engine, key).values


def status(engine: Engine, place: Place) -> str:
    """Give how the recurring payment stands."""
    return str(view(engine, place)["status"])


def days(first: str, *more: int) -> list[str]:
    """Give a day and those so many days behind it."""
    start = date.fromisoformat(first)
    return [str(start + timedelta(days=each)) for each in (0, *more)]
