"""Work: chunks of a released batch go through claim, send and settle.

With an inline connector the three share one transaction, which also takes the chunk: whatever is
killed when, a chunk is settled wholly or not at all.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import polars as pl
from psycopg import Connection

from paybatch import registry
from paybatch.domain.connector import REPLY_SCHEMA, Connector
from paybatch.domain.lifecycle import BatchState
from paybatch.flow import receive, vault
from paybatch.flow.accept import Advance
from paybatch.flow.claim import KEY, Book, Round, acts_on_payment, claim_once, claim_round
from paybatch.flow.engine import Engine, move
from paybatch.flow.place import Place
from paybatch.flow.settle import Settled, refuse, settle, store
from paybatch.flow.tallies import tally
from paybatch.store import batches, numbers, operations, payments
from paybatch.store.batches import Batch, Chunk
from paybatch.store.database import Row
from paybatch.store.keys import DataKey

FAULTS = ["rejected", "declined", "failed"]


@dataclass(frozen=True)
class Work:
    """What the chunks of one batch have in common."""

    engine: Engine
    batch: Batch
    place: Place
    key: DataKey | None


def work(engine: Engine, batch: Batch, place: Place, advance: Advance) -> None:
    """Work a running batch until no chunk of it is ready; ``advance`` is told the rows done."""
    key = None
    if batch.wrapped_key is not None:
        key = engine.keys.unwrap(batch.wrapped_key, receive.blob_name(batch.id))
    shared = Work(engine, batch, place, key)
    threads = engine.settings.threads
    with ThreadPoolExecutor(threads) as pool:
        for each in [pool.submit(_work_chunks, shared, advance) for _ in range(threads)]:
            each.result()


def _work_chunks(work: Work, advance: Advance) -> None:
    while (rows := work_chunk(work)) is not None:
        advance(rows)
        if _must_stop(work):
            move(work.engine, work.batch.id, BatchState.CANCELLING)
            return


def _must_stop(work: Work) -> bool:
    policy, _, limit = work.batch.policy.partition("=")
    if policy != "stop-after":
        return False
    with work.engine.database.transaction() as connection:
        return batches.progress(connection, work.batch.id)[2] >= int(limit)


def work_chunk(work: Work) -> int | None:
    """Take and settle one ready chunk in one transaction; give its rows, None = none is ready."""
    with work.engine.database.transaction() as connection:
        chunk = batches.take_chunk(connection, work.batch.id)
        if chunk is None:
            return None
        rows = claimed(connection, work.batch, chunk)
        settled = _settle_rounds(work, connection, chunk, rows)
        counted = pl.concat(
            [
                each.counted.select(
                    "kind", "state", "reason", "currency", "amount_minor", "approved_minor"
                )
                for each in settled
            ]
            or [_NOTHING]
        )
        if settled:
            store(work.engine, connection, settled)
            operations.insert_tallies(connection, work.batch.id, tally(counted))
        faults = counted.filter(pl.col("state").is_in(FAULTS)).height
        batches.finish_chunk(connection, work.batch.id, chunk.number, faults)
    return rows.height


_NOTHING = pl.DataFrame(
    schema={
        "kind": pl.String,
        "state": pl.String,
        "reason": pl.String,
        "currency": pl.String,
        "amount_minor": pl.Int64,
        "approved_minor": pl.Int64,
    }
)


def claimed(connection: Connection[Row], batch: Batch, chunk: Chunk) -> pl.DataFrame:
    """Read the operations that a chunk works."""
    if chunk.kind == "ordered":
        return operations.claim_ordered(connection, batch.id, chunk.number)
    ids = operations.id_range(batch.id, chunk.first_line, chunk.last_line)
    return operations.claim_range(
        connection, chunk.merchant_ids, ids, has_subjects=batch.has_subjects
    )


def _settle_rounds(
    work: Work, connection: Connection[Row], chunk: Chunk, rows: pl.DataFrame
) -> list[Settled]:
    """Take the rows through rounds of claim, send and settle until none is left."""
    if rows.is_empty():
        return []
    now = work.engine.clock()
    rows = _with_details(work, connection, rows)
    book = Book(work.place, _locked(connection, rows))
    claim = claim_round if chunk.kind == "ordered" else claim_once
    settled: list[Settled] = []
    while not rows.is_empty():
        turn: Round = claim(book, rows)
        if not turn.refused.is_empty():
            settled.append(_refused(refuse(turn.refused, now)))
        if not turn.calls.is_empty():
            done = settle(work.place, turn.calls, _send(work, turn.calls), now)
            settled.append(done)
            if not turn.later.is_empty():
                _keep_book(book, done)
        rows = turn.later
    return settled


def _keep_book(book: Book, done: Settled) -> None:
    if not done.made.is_empty():
        book.add(
            done.made.with_columns(
                payment_gate_id="gate_id",
                payment_currency="currency",
                payment_number_id="number_id",
                payment_brand="brand",
            )
        )
    book.change(done.changes)


def _refused(outcomes: pl.DataFrame) -> Settled:
    none = pl.DataFrame()
    return Settled(outcomes, none, none, none, outcomes)


def _locked(connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Lock the payments that the rows act on."""
    wanted = rows.filter(acts_on_payment() & pl.col("payment_id").is_not_null())
    if wanted.is_empty():
        return pl.DataFrame(schema=payments.LOCKED)
    return payments.lock_payments(connection, wanted.select(KEY).unique().sort(KEY))


def _with_details(work: Work, connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Add what connectors want of a row beside the money: its details and its CVV."""
    batch = work.batch
    first, *_, last = [*rows["line"].head(1), *rows["line"].tail(1)]
    lines = (first, last)
    wanted = {field for gate in work.place.gates for field in _connector(work, gate.id).wants}
    dialect = registry.dialects()[batch.dialect]
    for field in sorted(wanted):
        column = dialect.column_of(field)
        if column in batch.columns:
            place = batch.columns.index(column) + 1
            cells = operations.row_cells(connection, batch.id, place, lines)
            rows = rows.join(
                cells.rename({"value": field}), on="line", how="left", maintain_order="left"
            )
        else:
            rows = rows.with_columns(pl.lit(None, pl.String).alias(field))
    return rows.with_columns(cvv=_cvvs(work, connection, rows))


def _cvvs(work: Work, connection: Connection[Row], rows: pl.DataFrame) -> pl.Series:
    """Take the CVVs of these rows; they are gone from the database with this transaction."""
    holders = rows.filter("has_secret")["line"].to_list()
    if not holders:
        return pl.Series("cvv", [None] * rows.height, pl.String)
    oldest = work.engine.clock() - timedelta(hours=work.engine.settings.secret_hours)
    found = vault.take_secrets(connection, work.key, work.batch.id, holders, oldest)
    return pl.Series("cvv", [found.get(line) for line in rows["line"]], pl.String)


def _connector(work: Work, gate_id: int) -> Connector:
    return work.place.connector(gate_id)


def _send(work: Work, calls: pl.DataFrame) -> pl.DataFrame:
    """Send calls to the connectors of their gates and gather the replies."""
    gate = pl.col("gate_id")
    if "payment_gate_id" in calls.columns:
        calls = calls.with_columns(gate_id=pl.coalesce("payment_gate_id", "gate_id"))
    verbs = {kind.name: str(kind.verb) for kind in registry.kinds().values()}
    calls = calls.with_columns(
        operation="id",
        key=pl.format("{}-1", pl.col("id")),
        verb=pl.col("kind").replace_strict(verbs, return_dtype=pl.String),
    )
    replies = []
    for gate_id in calls["gate_id"].unique(maintain_order=True).to_list():
        own = _with_test_values(work, gate_id, calls.filter(gate == gate_id))
        replies += list(_connector(work, gate_id).send(own))
    return pl.concat([each.cast(REPLY_SCHEMA) for each in replies])


def _with_test_values(work: Work, gate_id: int, calls: pl.DataFrame) -> pl.DataFrame:
    """Mark the numbers that are test values of the connector, by their fingerprints."""
    connector = _connector(work, gate_id)
    known = sorted(connector.test_values) if work.place.gate(gate_id).mode == "test" else []
    prints = work.engine.keys.fingerprints(pl.Series(known, dtype=pl.String))
    values = dict(zip(prints, known, strict=True))
    named = {"test_value": "number_id", "payment_test_value": "payment_number_id"}
    absent = pl.lit(None, pl.String)
    return calls.with_columns(
        (
            pl.col(column).replace_strict(values, default=None, return_dtype=pl.String)
            if values and column in calls.columns
            else absent
        ).alias(name)
        for name, column in named.items()
    )


def finish(engine: Engine, batch_id: int) -> None:
    """End a batch that has no chunk left, and destroy its data key and upload."""
    with engine.database.transaction() as connection:
        batch = batches.get_batch(connection, batch_id)
        assert batch is not None
        if batches.progress(connection, batch_id)[0]:
            return
        now = engine.clock()
        if batch.state == "running":
            batches.move_batch(connection, batch_id, BatchState.COMPLETED, now)
        numbers.drop_batch_secrets(connection, batch_id)
        batches.destroy_key(connection, batch_id)
    engine.blobs.delete(receive.blob_name(batch_id))
