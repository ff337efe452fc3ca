"""Settles payments without a close of the day: by a change of the tables, with its transfers."""

from collections.abc import Iterable
from itertools import count

import polars as pl

from paybatch.flow.engine import Engine
from paybatch.flow.working.posting import store_transfers
from paybatch.store.database import Connection, Row

_numbers = count(100)  # of the transfers, behind those of the operation that made the payment
_SETTLE = """
WITH old AS (
    SELECT * FROM payment
    WHERE id = ANY(%(ids)s) AND state = 'approved' AND captured - cancelled > settled
)
UPDATE payment AS p SET settled = p.captured - p.cancelled
FROM old
WHERE p.merchant_id = old.merchant_id AND p.id = old.id
RETURNING p.merchant_id, p.gate_id, p.currency, p.id, p.is_payout, p.settled - old.settled
"""
_KINDS = {
    "merchant_id": pl.Int32,
    "gate_id": pl.Int32,
    "currency": pl.String,
    "operation_id": pl.Int64,
    "is_payout": pl.Boolean,
    "amount_minor": pl.Int64,
}


def settle(engine: Engine, connection: Connection[Row], ids: Iterable[int]) -> None:
    """Settle what is kept of these payments and was not settled before."""
    done = connection.execute(_SETTLE, {"ids": list(ids)}).fetchall()
    rows = pl.DataFrame(done, schema=_KINDS, orient="row")
    comes, goes = pl.lit("clearing"), pl.lit("receivable")
    moved = rows.select(
        pl.exclude("is_payout"),
        number=pl.lit(next(_numbers), pl.Int16),
        debit=pl.when("is_payout").then(goes).otherwise(comes),
        credit=pl.when("is_payout").then(comes).otherwise(goes),
    )
    store_transfers(engine, connection, moved)
