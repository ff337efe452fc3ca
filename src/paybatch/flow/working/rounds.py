"""Rounds: the rows of a chunk go through claim, send and settle until none is left.

The preview takes the same way, with everything approved and nothing stored.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import polars as pl

from paybatch import registry
from paybatch.domain.few import chosen, distinct, has_any, joined, nulls
from paybatch.domain.reasons import Reason
from paybatch.domain.text import filled
from paybatch.flow import vault
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, test_numbers
from paybatch.flow.working import filters, gates
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import (
    Book,
    Round,
    acts_on_payment,
    claim_once,
    claim_round,
    refused_in_line,
    windows,
)
from paybatch.flow.working.details import with_details
from paybatch.flow.working.enrolling import wallets_of
from paybatch.flow.working.parts import asked, whole
from paybatch.flow.working.replies import answered_by_us, check_inline, held, is_ours
from paybatch.flow.working.settle import Settled, refuse, settle
from paybatch.flow.working.verdicts import judged
from paybatch.store import operations, payments
from paybatch.store.batches import Batch, Chunk
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.keys import DataKey
from paybatch.store.public_ids import Shape

Send = Callable[[pl.DataFrame], pl.DataFrame]
_ENV = "env:"  # a setting that is read from the environment, and stands in no database


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the chunks of one batch have in common."""

    engine: Engine
    batch: Batch
    place: Place
    key: DataKey | None


def claimed(connection: Connection[Row], batch: Batch, chunk: Chunk) -> pl.DataFrame:
    """Read the operations that a chunk works."""
    if chunk.kind == "ordered":
        return operations.claim_ordered(connection, batch.id, chunk.number)
    ids = operations.id_range(batch.id, chunk.first_line, chunk.last_line)
    return operations.claim_range(
        connection, chunk.merchant_ids, ids, has_subjects=batch.has_subjects
    )


def settle_rounds(
    work: Work, connection: Connection[Row], chunk: Chunk, rows: pl.DataFrame
) -> list[Settled]:
    """Take a chunk's rows through its rounds; give what is to be stored."""
    if rows.is_empty():
        return []
    if gates.acts_on_gates(rows):
        rows = with_details(connection, work.batch, work.place, rows)
        return gates.worked(work.engine, connection, work.place, rows)
    listed = filters.kinds_of_lists(connection)
    looked = {name for what, name in filters.DETAILS.items() if what in listed}
    rows = _named(work.engine, rows)
    rows = with_details(connection, work.batch, work.place, rows, looked)
    rows = rows.with_columns_seq(cvv=_cvvs(work, connection, rows))
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
        settled.append(_refused(refuse(gone, now)))
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
    claim = claim_round if is_ordered else claim_once
    settled: list[Settled] = []
    while not rows.is_empty():
        turn: Round = claim(book, rows)
        refused = turn.refused
        if book.filtered is not None and not turn.calls.is_empty():
            turn = replace(turn, calls=book.filtered(turn.calls))
        if book.wallets is not None:
            calls, full = book.wallets.admit(turn.calls)
            turn = replace(turn, calls=calls)
            settled += [_refused(refuse(full, now))] if not full.is_empty() else []
        if not turn.calls.is_empty():
            replies = send(turn.calls)
            done = settle(book.place, turn.calls, replies, now)
            settled.append(done)
            if is_ordered and not refused.is_empty():
                refused = refused_in_line(book, turn, replies)
            if is_ordered:
                _keep_book(book, done)
        if not refused.is_empty():
            settled.append(_refused(refuse(refused, now)))
        rows = turn.later
    return settled


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


def _refused(outcomes: pl.DataFrame) -> Settled:
    none = pl.DataFrame()
    return Settled(outcomes, none, none, none, outcomes)


def locked(connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Lock the payments that the rows act on."""
    if not rows["payment_id"].count():
        return payments.NONE_LOCKED
    wanted = rows.filter(acts_on_payment() & pl.col("payment_id").is_not_null())
    return payments.lock_payments(connection, wanted.select_seq(KEY).unique().sort(KEY))


def _cvvs(work: Work, connection: Connection[Row], rows: pl.DataFrame) -> pl.Series:
    """Take the CVVs of these rows; they are gone from the database with this transaction."""
    holders = rows.filter("has_secret")["line"].to_list()
    if not holders:
        return pl.Series("cvv", [None] * rows.height, pl.String)
    oldest = work.engine.clock() - timedelta(hours=work.engine.settings.secret_hours)
    found = vault.take_secrets(connection, work.key, work.batch.id, holders, oldest)
    return pl.Series("cvv", [found.get(line) for line in rows["line"]], pl.String)


@dataclass(frozen=True)
class Sender:
    """Sends calls to the connectors of their gates."""

    engine: Engine
    place: Place

    def send(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Send calls and gather the replies, one for each call.

        Raises:
            ConnectorError: A connector does not keep its contract.
        """
        if "payment_gate_id" in calls.columns:
            calls = calls.with_columns_seq(gate_id=pl.coalesce("payment_gate_id", "gate_id"))
        kinds = registry.kinds()
        verbs = {name: kinds[name].verb for name in distinct(calls["act"])}
        told = {name: str(verb) for name, verb in verbs.items() if verb is not None}
        calls = calls.hstack([chosen(calls["act"], told, pl.String()).alias("verb")])
        calls = calls.with_columns_seq(operation="id", key=filled("{}-1", "id"))
        ours = is_ours(calls)
        if not ours.any():
            return judged(self.place, calls, joined(self._sent(calls)), self._sent)
        own, others = answered_by_us(calls.filter(ours)), calls.filter(~ours)
        return judged(self.place, calls, pl.concat([own, *self._sent(others)]), self._sent)

    def _sent(self, calls: pl.DataFrame) -> list[pl.DataFrame]:
        """Send calls to the connectors of their gates."""
        gates = distinct(calls["gate_id"])
        replies = []
        for gate_id in gates:
            own = calls.filter(pl.col("gate_id") == gate_id) if len(gates) > 1 else calls
            own = self._with_test_values(gate_id, own)
            connector = self.place.connector(gate_id)
            check_inline(connector)
            own = asked(own)
            replies.append(whole(own, held(connector, own, connector.send(own))))
        return replies

    def _with_test_values(self, gate_id: int, calls: pl.DataFrame) -> pl.DataFrame:
        """Add the gate's mode, and which numbers are test values, by their fingerprints."""
        values = self._test_numbers(gate_id)
        gate = self.place.gate(gate_id)
        known = {"mode": gate.mode, **_settings(gate)}
        found = [
            pl.Series(name, [value]).new_from_index(0, calls.height)
            for name, value in known.items()
        ]
        for name, column in (
            ("test_value", "number_id"),
            ("payment_test_value", "payment_number_id"),
        ):
            if column in calls.columns and has_any(calls[column], values):
                found.append(chosen(calls[column], values, pl.String()).alias(name))
            else:
                found += nulls([name], pl.String(), calls.height)
        return calls.hstack(found)

    def _test_numbers(self, gate_id: int) -> dict[str, str]:
        """Give the fingerprints of the connector's test values; none on a live gate."""
        if self.place.gate(gate_id).mode != "test":
            return {}
        return test_numbers(self.engine, self.place.connector(gate_id))


def _settings(gate: Gate) -> dict[str, str]:
    """Give a gate's settings as columns of its calls; ``env:NAME`` stands for a secret."""
    return {
        f"setting_{name}": os.environ.get(value[len(_ENV) :], "")
        if value.startswith(_ENV)
        else value
        for name, value in gate.settings.items()
    }
