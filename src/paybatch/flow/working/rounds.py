"""Rounds: the rows of a chunk go through claim, send and settle until none is left.

The preview takes the same way, with everything approved and nothing stored.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import polars as pl

from paybatch.domain.connector import AWAITED
from paybatch.domain.few import beside, has_any, is_among, where, without
from paybatch.domain.reasons import Reason
from paybatch.flow import vault
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.working import filters, gates
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import (
    Book,
    Round,
    actors_of,
    acts_on_payment,
    claim_once,
    claim_round,
    refused_in_line,
    windows,
)
from paybatch.flow.working.closing_gates import at_open_gates
from paybatch.flow.working.details import with_details
from paybatch.flow.working.enrolling import wallets_of
from paybatch.flow.working.sender import Sender
from paybatch.flow.working.settle import Settled, awaiting, refuse, settle
from paybatch.store import facts, operations, payments
from paybatch.store.batches import Batch
from paybatch.store.chunks import Chunk
from paybatch.store.database import Connection, Row
from paybatch.store.keys import DataKey
from paybatch.store.public_ids import Shape

Send = Callable[[pl.DataFrame], pl.DataFrame]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the chunks of one batch have in common."""

    engine: Engine
    batch: Batch
    place: Place
    key: DataKey | None
    holder: int = 0


def claimed(connection: Connection[Row], batch: Batch, chunk: Chunk) -> pl.DataFrame:
    """Read the operations that a chunk works."""
    if chunk.kind == "ordered":
        return operations.claim_ordered(connection, batch.id, chunk.number)
    ids = operations.id_range(batch.id, chunk.first_line, chunk.last_line)
    return operations.claim_range(
        connection,
        chunk.merchant_ids,
        ids,
        has_subjects=batch.has_subjects or not chunk.holds_lines,
    )


def settle_rounds(
    work: Work, connection: Connection[Row], chunk: Chunk, rows: pl.DataFrame
) -> list[Settled]:
    """Take a chunk's rows through its rounds; give what is to be stored."""
    if rows.is_empty():
        return []
    if gates.acts_on_gates(rows):
        rows = with_details(connection, work.batch, work.place, rows)
        return gates.worked(work.engine, connection, work.place, rows, chunk)
    standing = facts.standing(connection)
    listed = standing.listed
    if standing.closing:
        found = locked(connection, rows)
        rows = at_open_gates(connection, work.batch.id, rows, found, standing.closing)
        if rows.is_empty():
            return []
    looked = {name for what, name in filters.DETAILS.items() if what in listed}
    rows = _named(work.engine, rows)
    rows = with_details(connection, work.batch, work.place, rows, looked)
    rows = rows.with_columns_seq(cvv=_cvvs(work, connection, rows, keeps=work.place.has_outside))
    now, lost = work.engine.clock(), rows.filter(_cvv_gone(work.place))
    if not lost.is_empty():
        rows = rows.join(lost, on="id", how="anti", maintain_order="left")
    looked_up = partial(filters.filtered, connection, whats=listed) if listed else None
    wallets = wallets_of(rows, connection)
    book = Book(work.place, locked(connection, rows), filtered=looked_up, wallets=wallets)
    sender = Sender(work.engine, work.place)
    is_ordered = chunk.kind == "ordered"
    settled = in_rounds(book, rows, sender.send, now, is_ordered=is_ordered)
    if not lost.is_empty():
        gone = lost.with_columns_seq(refusal=pl.lit(Reason.CVV_GONE.value))
        settled.append(as_refused(refuse(gone, now)))
    return settled


def _named(engine: Engine, rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``payment``: what each row calls the payment that it acts on, for refusals."""
    if not rows["payment_id"].count():
        return rows.with_columns_seq(payment="payment_reference")
    ids = engine.public_ids.encode(rows["payment_id"], "pay", Shape.NATIVE)
    return rows.with_columns_seq(payment=pl.coalesce("payment_reference", ids))


def _cvv_gone(place: Place) -> pl.Expr:
    """Tell which rows brought a CVV that is gone, at a gate that requires one."""
    strict = [gate.id for gate in place.gates if gate.capabilities.cvv_required]
    return pl.col("has_secret") & pl.col("cvv").is_null() & pl.col("gate_id").is_in(strict)


def in_rounds(
    book: Book, rows: pl.DataFrame, send: Send, now: datetime, *, is_ordered: bool
) -> list[Settled]:
    """Claim, send and settle until no row is left."""
    parts = windows(rows) if is_ordered else [rows]
    each = [_in_rounds(book, part, send, now, is_ordered=is_ordered) for part in parts]
    return [done for part in each for done in part]


def _in_rounds(
    book: Book, rows: pl.DataFrame, send: Send, now: datetime, *, is_ordered: bool
) -> list[Settled]:
    """Claim, send and settle until no row is left, but for those behind a call without answer."""
    claim = claim_round if is_ordered else claim_once
    settled: list[Settled] = []
    rows = book.free(rows)
    while not rows.is_empty():
        turn: Round = _one_last(book, claim(book, rows), rows) if is_ordered else claim(book, rows)
        refused = turn.refused
        if book.filtered is not None and not turn.calls.is_empty():
            turn = replace(turn, calls=book.filtered(turn.calls))
        if book.wallets is not None:
            calls, full = book.wallets.admit(turn.calls)
            turn = replace(turn, calls=calls)
            settled += [as_refused(refuse(full, now))] if not full.is_empty() else []
        if not turn.calls.is_empty():
            replies = send(turn.calls)
            if has_any(replies["result"], AWAITED):
                turn, replies, awaited = _parted(turn, replies)
                settled.append(awaiting(awaited))
                book.hold(awaited)
                refused = book.free(refused)
            if is_ordered and not refused.is_empty():
                refused = refused_in_line(book, turn, replies)
            settled += _settled(book, turn.calls, replies, now, is_ordered=is_ordered)
        if not refused.is_empty():
            settled.append(as_refused(refuse(refused, now)))
        rows = book.free(turn.later)
    return settled


def _settled(
    book: Book, calls: pl.DataFrame, replies: pl.DataFrame, now: datetime, *, is_ordered: bool
) -> list[Settled]:
    """Settle calls that have an outcome; what they change stands in the book for later rounds."""
    if calls.is_empty():
        return []
    done = settle(book.place, calls, replies, now)
    if is_ordered:
        _keep_book(book, done)
    return [done]


def _parted(turn: Round, replies: pl.DataFrame) -> tuple[Round, pl.DataFrame, pl.DataFrame]:
    """Set the calls apart that have no outcome yet, with their ``result``."""
    is_open = is_among(replies["result"], AWAITED)
    open_ = where(replies, is_open)[["operation", "result"]]
    awaited = beside(without(turn.calls, "result"), open_, "id", "operation")
    known = where(turn.calls, ~is_among(turn.calls["id"], open_["operation"]))
    return replace(turn, calls=known), where(replies, ~is_open), awaited


def _one_last(book: Book, turn: Round, rows: pl.DataFrame) -> Round:
    """Leave a final row that is not its payment's first of the round to a later round.

    Calls of a round are under way at the same time, and a final one must not overtake another.
    """
    if not book.place.has_outside or not has_any(turn.calls["final"], [True]):
        return turn
    is_last = pl.col("final").fill_null(value=False) & (pl.int_range(pl.len()).over(KEY) > 0)
    back = turn.calls.filter(is_last.cum_max().over(KEY) & acts_on_payment())["id"].implode()
    later = pl.concat([rows.filter(pl.col("id").is_in(back)), turn.later]).sort("id")
    return replace(turn, calls=turn.calls.filter(~pl.col("id").is_in(back)), later=later)


def _keep_book(book: Book, done: Settled) -> None:
    if not done.made.is_empty():
        book.add(
            done.made.with_columns_seq(
                payment_gate_id="gate_id",
                payment_currency="currency",
                payment_number_id="number_id",
                payment_brand="brand",
                payment_expiry="expiry",
                payment_day=pl.col("made_on").str.to_date(),
            )
        )
    book.change(done.changes)
    book.change_means(done.means)


def as_refused(outcomes: pl.DataFrame) -> Settled:
    """Give what is to be stored of rows that were refused."""
    none = pl.DataFrame()
    return Settled(outcomes, none, none, none, outcomes)


def locked(connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Lock the payments that the rows act on."""
    if not rows["payment_id"].count():
        return payments.NONE_LOCKED
    wanted = actors_of(rows).drop_nulls("payment_id")
    return payments.lock_payments(connection, wanted.select_seq(KEY).unique().sort(KEY))


def drop_cvvs(work: Work, connection: Connection[Row], rows: pl.DataFrame) -> None:
    """Drop the CVVs of rows whose outcome is known: they are gone with this transaction."""
    _cvvs(work, connection, rows, keeps=False)


def _cvvs(work: Work, connection: Connection[Row], rows: pl.DataFrame, *, keeps: bool) -> pl.Series:
    """Take the CVVs of these rows; unless they are kept they are gone with this transaction.

    Kept are those of calls that leave the house, until their outcome is known.
    """
    holders = rows.filter("has_secret")["line"].to_list()
    if not holders:
        return pl.Series("cvv", [None] * rows.height, pl.String)
    oldest = work.engine.clock() - timedelta(hours=work.engine.settings.secret_hours)
    take = vault.read_secrets if keeps else vault.take_secrets
    found = take(connection, work.key, work.batch.id, holders, oldest)
    return pl.Series("cvv", [found.get(line) for line in rows["line"]], pl.String)
