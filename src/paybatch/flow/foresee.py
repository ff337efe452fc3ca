"""Foresee: what the payments' present states would refuse, were everything else approved.

The rows take the way of the work, with approvals in place of a processor and nothing stored. It
holds for the moment: nothing is reserved, and what others do to the same payments afterwards is met
when the rows are claimed.
"""

import polars as pl

from paybatch.domain.connector import REPLY_SCHEMA
from paybatch.flow.engine import Engine
from paybatch.flow.phases import in_line
from paybatch.flow.place import Place
from paybatch.flow.working.claim import Book
from paybatch.flow.working.details import with_details
from paybatch.flow.working.enrolling import wallets_of
from paybatch.flow.working.rounds import claimed, in_rounds, locked
from paybatch.store import operations
from paybatch.store.batches import Batch
from paybatch.store.chunks import Chunk, list_chunks

JUDGED = {
    "line": pl.Int64,
    "kind": pl.String,
    "state": pl.String,
    "reason": pl.String,
    "message": pl.String,
    "currency": pl.String,
    "amount_minor": pl.Int64,
}
REFUSED = {"line": pl.Int64, "reason": pl.String, "message": pl.String}


def approve_all(calls: pl.DataFrame) -> pl.DataFrame:
    """Answer every call as approved in full."""
    given = calls.select_seq(
        operation="id", result=pl.lit("approved"), approved_minor=pl.col("amount_minor")
    )
    absent = {name: kind for name, kind in REPLY_SCHEMA.items() if name not in given.columns}
    return given.with_columns_seq(pl.lit(None, kind).alias(name) for name, kind in absent.items())


def judged_in(engine: Engine, book: Book, rows: pl.DataFrame) -> pl.DataFrame:
    """Give what would become of rows, taken in line order, shaped as ``JUDGED``.

    ``state`` is rejected or approved; amounts and currencies are those that would be sent.
    """
    settled = in_rounds(book, rows, approve_all, engine.clock(), is_ordered=True)
    outcomes = [
        each.outcomes.select_seq("id", *(n for n in JUDGED if n != "line")) for each in settled
    ]
    if not outcomes:
        return pl.DataFrame(schema=JUDGED)
    joined = pl.concat(outcomes).join(rows.select_seq("id", "line"), on="id")
    return joined.select_seq(list(JUDGED)).sort("line")


def refused_in(engine: Engine, book: Book, rows: pl.DataFrame) -> pl.DataFrame:
    """Give the rows (``line, reason, message``) that would be refused, taken in line order."""
    return (
        judged_in(engine, book, rows)
        .filter(pl.col("state") == "rejected")
        .select_seq(list(REFUSED))
    )


def foreseen(engine: Engine, batch: Batch, place: Place) -> pl.DataFrame:
    """Give the rows of an accepted batch that would be refused, shaped as ``REFUSED``."""
    if not batch.has_subjects:
        return pl.DataFrame(schema=REFUSED)
    found = []
    with engine.database.transaction() as connection:
        chunks = list_chunks(connection, batch.id)
    # Refused and counted before a crash: those that are not loaded any more.
    for parts in _families([chunk for chunk in chunks if chunk.state == "loaded"]):
        with engine.database.transaction() as connection:
            rows = pl.concat([claimed(connection, batch, chunk) for chunk in parts]).sort("id")
            rows = rows.filter(~_behind_makers(batch))
            if not rows.is_empty():
                rows = with_details(connection, batch, place, rows)
                book = Book(place, locked(connection, rows), wallets=wallets_of(rows, None))
                found.append(refused_in(engine, book, rows))
    return pl.concat(found) if found else pl.DataFrame(schema=REFUSED)


def _behind_makers(batch: Batch) -> pl.Expr:
    """Tell which rows keep their lines, in other chunks than the rows that make their payments.

    They leave payments as they are; what is refused of a payment is refused with its maker.
    """
    ids = operations.id_range(batch.id, 0, operations.LINES_MAX - 1)
    is_own = pl.col("payment_id").is_between(ids["first_id"], ids["last_id"])
    return (pl.col("kind").is_in(in_line()) & is_own).fill_null(value=False)


def _families(chunks: list[Chunk]) -> list[list[Chunk]]:
    """Put ordered chunks of rising phases together: rows of a later one act on payments of earlier.

    The parts of one have numbers in a row. Where others join them nothing else comes of it.
    """
    found: list[list[Chunk]] = []
    for chunk in chunks:
        last = found[-1][-1] if found else chunk
        if found and chunk.kind == last.kind == "ordered" and chunk.phase > last.phase:
            found[-1].append(chunk)
        else:
            found.append([chunk])
    return found
