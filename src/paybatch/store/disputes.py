"""Disputes: what the steps that were kept add up to."""

from collections.abc import Sequence

import polars as pl
from psycopg import Connection

from paybatch.domain.disputes import Dispute
from paybatch.store.database import Row
from paybatch.store.statements import statements

_SQL = statements("dispute")

PaymentKey = tuple[int, int]


def disputes_of_payments(
    connection: Connection[Row], keys: Sequence[PaymentKey]
) -> dict[PaymentKey, list[Dispute]]:
    """Give the disputes of payments (merchant, payment), in the order in which they were opened."""
    merchants, payments = [key[0] for key in keys], [key[1] for key in keys]
    parameters = {"merchant_ids": merchants, "payment_ids": payments}
    found: dict[PaymentKey, list[Dispute]] = {}
    for row in connection.execute(_SQL["disputes_of_payments"], parameters):
        dispute = Dispute(row[2], set(row[3] or ()), row[4])
        found.setdefault((row[0], row[1]), []).append(dispute)
    return found


def answered_alerts(
    connection: Connection[Row], alerts: Sequence[tuple[int, str]]
) -> set[tuple[int, str, str]]:
    """Give (merchant, alert, outcome) of what was told of alerts; nobody else tells meanwhile."""
    parameters = {"merchant_ids": [a[0] for a in alerts], "alerts": [a[1] for a in alerts]}
    connection.execute(_SQL["hold_alerts"], parameters)
    rows = connection.execute(_SQL["answered_alerts"], parameters).fetchall()
    return {(row[0], row[1], row[2]) for row in rows}


def keep_answer(
    connection: Connection[Row], answer: tuple[int, str, str], operation_id: int
) -> None:
    """Note what (merchant, alert, outcome) an operation is to tell."""
    merchant_id, alert, outcome = answer
    parameters = {"merchant_id": merchant_id, "alert": alert, "answer": outcome}
    connection.execute(_SQL["keep_answer"], {**parameters, "operation_id": operation_id})


def drop_answers(connection: Connection[Row], keys: pl.DataFrame) -> None:
    """Forget what operations (``merchant_id, id``) were to tell of alerts."""
    merchants, ids = keys["merchant_id"].to_list(), keys["id"].to_list()
    parameters = {"merchant_ids": merchants, "operation_ids": ids}
    connection.execute(_SQL["drop_answers"], parameters)
