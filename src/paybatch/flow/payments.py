"""Payments: finding one by any of its names, and what stands behind it."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from paybatch.domain import payment
from paybatch.flow.engine import Engine
from paybatch.flow.rare import rare_details
from paybatch.store import facts, payments
from paybatch.store.public_ids import Shape

FOUND_MAX = 50
OPERATIONS_MAX = 1_000


@dataclass(frozen=True)
class PaymentView:
    """One payment: its columns, the operations on it and its facts, in order.

    The columns are those of the table, ``status`` and ``over_returned`` (more was given back than
    was taken).

    ``details`` are the rare columns of the row that made it.
    """

    values: dict[str, Any]
    operations: list[dict[str, Any]]
    facts: list[dict[str, Any]]
    details: dict[str, str]


def find_payments(engine: Engine, merchants: list[int], name: str) -> list[tuple[int, int]]:
    """Give (merchant, payment) of what a public id or a caller's reference may mean.

    A public id is taken in the shape of any dialect. References need not be unique: the newest
    ``FOUND_MAX`` payments are given.
    """
    with engine.database.transaction() as connection:
        for shape in Shape:
            number = engine.public_ids.decode_one(name, "pay", shape)
            row = number and payments.get_payment(connection, merchants, number)
            if row:
                return [(row["merchant_id"], row["id"])]
        return payments.payments_by_reference(connection, merchants, name, FOUND_MAX)


def view_payment(engine: Engine, key: tuple[int, int]) -> PaymentView:
    """Read a payment (merchant, payment) with its status and what was done to it."""
    with engine.database.transaction() as connection:
        values = payments.get_payment(connection, [key[0]], key[1])
        assert values is not None
        done = payments.operations_of_payment(connection, *key, OPERATIONS_MAX)
        kept = facts.facts_of_payment(connection, *key)
        details = rare_details(connection, values["batch_id"], values["line"])
    return PaymentView({**values, **_computed(values)}, done, kept, details)


def _computed(values: dict[str, Any]) -> dict[str, Any]:
    columns = ("state", "is_payout", *payment.AMOUNTS)
    row = pl.DataFrame([{name: values[name] for name in columns}])
    told = row.select_seq(status=payment.status(), over_returned=payment.over_returned())
    return told.row(0, named=True)
