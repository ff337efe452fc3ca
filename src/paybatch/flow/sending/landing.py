"""Landing: replies that come back are settled, each on its payment as it stands then."""

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl

from paybatch.domain.connector import Result
from paybatch.domain.few import is_among, where, without
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.sending.awaited import FIRST_LOOK, keys_of, released
from paybatch.flow.working.changes import KEY, STATE, added_up
from paybatch.flow.working.claim import actors_of, makers_of
from paybatch.flow.working.settle import Settled, settle, store
from paybatch.store import attempts, payments
from paybatch.store.database import Connection, Row
from paybatch.store.payments import LOCKED


def parted(calls: pl.DataFrame, replies: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the replies that are an outcome, and the calls whose effect is not known."""
    is_lost = is_among(replies["result"], [Result.UNKNOWN.value])
    lost = where(replies, is_lost)
    return where(replies, ~is_lost), where(calls, is_among(calls["id"], lost["operation"]))


def land(
    engine: Engine,
    connection: Connection[Row],
    place: Place,
    calls: pl.DataFrame,
    replies: pl.DataFrame,
) -> Settled:
    """Settle calls whose outcomes are known: outcomes, payments, transfers, and what was reserved.

    Their payments are locked, and read again: others may have changed them meanwhile, but for what
    was reserved.
    """
    keys = keys_of(calls)
    if not keys.is_empty() and not _makes_one(calls):
        calls = _with_payments(calls, payments.lock_payments(connection, keys))
        payments.reserve(connection, released(calls))
    settled = settle(place, calls, replies, engine.clock())
    if not settled.made.is_empty():
        payments.name_at_scheme(connection, settled.made.drop_nulls("scheme_transaction_id"))
    settled = _as_changes(settled)
    store(engine, connection, [settled])
    return settled


def _makes_one(calls: pl.DataFrame) -> bool:
    """Tell whether it is one call that makes a payment: nobody else's changes can meet its own."""
    return calls.height == 1 and actors_of(calls).is_empty()


def _with_payments(calls: pl.DataFrame, locked: pl.DataFrame) -> pl.DataFrame:
    """Put calls beside their payments as those stand now."""
    if actors_of(calls).is_empty():
        return calls
    names = [name for name in LOCKED if name not in KEY]
    return without(calls, *names).join(locked, on=KEY, how="left", maintain_order="left")


def _as_changes(settled: Settled) -> Settled:
    """Give the payments that were made as changes: they are there since their call was claimed."""
    if settled.made.is_empty():
        return settled
    made = settled.made.select_seq("merchant_id", "payment_id", "authorized", "captured", STATE)
    changes = [made] if settled.changes.is_empty() else [settled.changes, made]
    return replace(settled, made=pl.DataFrame(), changes=added_up(changes))


def lose(connection: Connection[Row], calls: pl.DataFrame, now: datetime) -> None:
    """Note that nobody knows what became of calls: they are asked about soon."""
    keys = calls.select_seq("merchant_id", "id")
    ours = attempts.mark_unknown(connection, keys, now, now + FIRST_LOOK)
    doubt(connection, calls.filter(pl.col("id").is_in(ours)))


def doubt(connection: Connection[Row], calls: pl.DataFrame) -> None:
    """Let the payments that calls were to make be unknown."""
    made = makers_of(calls).select_seq("merchant_id", payment_id="id", state=pl.lit("unknown"))
    if not made.is_empty():
        payments.forget_changes(connection)
        payments.apply_changes(connection, added_up([made]))
        payments.forget_changes(connection)


def deadline(now: datetime, timeout_seconds: float) -> datetime:
    """Give until when a worker may have calls under way before others take them over."""
    return now + timedelta(seconds=2 * timeout_seconds + 30)
