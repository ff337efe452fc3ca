"""Retreat: calls that are known not to have left are as if they had never been claimed."""

import polars as pl

from paybatch.flow.sending.awaited import released
from paybatch.flow.tallies import came, left
from paybatch.flow.working.claim import makers_of
from paybatch.flow.working.disputing import in_dispute
from paybatch.store import attempts, disputes, operations, payments
from paybatch.store.database import Connection, Row


def retreat(connection: Connection[Row], batch_id: int, calls: pl.DataFrame) -> None:
    """Take back the attempts of calls, what they reserved and the payments that they were to make.

    Their rows are queued again, and may tell of alerts what they were to tell.
    """
    keys = calls.select_seq("merchant_id", "id")
    attempts.drop_attempts(connection, keys)
    made = makers_of(calls).select_seq("merchant_id", payment_id="id")
    if not made.is_empty():
        payments.drop_pending(connection, made)
    payments.reserve(connection, released(calls))
    told = calls.filter(pl.col("act").is_in(_telling()))
    if not told.is_empty():
        disputes.drop_answers(connection, told)
    operations.insert_tallies(connection, batch_id, left(calls, "sending"))
    operations.insert_tallies(connection, batch_id, came(calls, "queued"))


def _telling() -> list[str]:
    """Give the kinds of which each alert takes an answer once."""
    return [name for name, part in in_dispute().items() if part.once is not None]
