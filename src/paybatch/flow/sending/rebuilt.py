"""Rebuilt: calls as they were sent, from what the database keeps of them.

Rows of a file keep their own text and, until their outcome is known, their CVV. Single calls keep
their details, and no CVV.
"""

from datetime import timedelta

import polars as pl

from paybatch.flow import vault
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake import receive
from paybatch.flow.place import Place
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import taken_over
from paybatch.flow.working.details import with_details, with_kept_details
from paybatch.flow.working.follow_up import decided
from paybatch.flow.working.rounds import locked
from paybatch.flow.working.sender import Sender
from paybatch.store import attempts
from paybatch.store.database import Connection, Row


def rebuilt(engine: Engine, place: Place, taken: pl.DataFrame) -> pl.DataFrame:
    """Give the calls of attempts (``store.attempts.TAKEN``), prepared, with their ``looks``."""
    keys = taken.select_seq("merchant_id", id="operation_id")
    tries = taken.select_seq(
        *("act", "amount_minor", "looks", "chunk_number", "batch_id"),
        id="operation_id",
        sent_gate_id="gate_id",
        sent_key="key",
        subject_id="payment_id",
    )
    with engine.database.transaction() as connection:
        rows = attempts.claim_ids(connection, keys).join(tries, on="id", maintain_order="left")
        rows = rows.with_columns_seq(payment_id="subject_id", gate_id="sent_gate_id")
        rows = pl.concat(
            [
                _detailed(engine, connection, place, part)
                for part in rows.partition_by("batch_id", maintain_order=True)
            ],
            how="diagonal_relaxed",
        )
        payments = locked(connection, rows)
    joined = rows.join(payments, on=KEY, how="left", maintain_order="left")
    calls = Sender(engine, place).prepared(decided(place, taken_over(joined)))
    # The key that it was sent with: that never changes, however keys are made by now.
    return calls.with_columns_seq(key="sent_key").drop("sent_gate_id", "sent_key", "subject_id")


def _detailed(
    engine: Engine, connection: Connection[Row], place: Place, rows: pl.DataFrame
) -> pl.DataFrame:
    """Add details and CVVs to operations of one batch, or of one block of single calls."""
    if rows["chunk_number"].null_count():
        rows = with_kept_details(connection, place, rows)
        return rows.with_columns_seq(cvv=pl.lit(None, pl.String))
    batch = load_batch(engine, int(rows["batch_id"][0]))
    rows = with_details(connection, batch, place, rows.sort("line"))
    holders = rows.filter("has_secret")["line"].to_list()
    if not holders or batch.wrapped_key is None:
        return rows.with_columns_seq(cvv=pl.lit(None, pl.String))
    key = engine.keys.unwrap(batch.wrapped_key, receive.blob_name(batch.id))
    oldest = engine.clock() - timedelta(hours=engine.settings.secret_hours)
    found = vault.read_secrets(connection, key, batch.id, holders, oldest)
    return rows.with_columns_seq(
        cvv=pl.Series([found.get(x) for x in rows["line"]], dtype=pl.String)
    )
