"""Awaited: what is stored of calls before anybody knows what became of them.

Their attempt stands in the database before the first byte leaves; what they may take from their
payments is reserved, so that no two operations spend the same money; the payments that they make
are there, and pending.
"""

from datetime import datetime, timedelta

import polars as pl

from paybatch import registry
from paybatch.domain.connector import REPLY_SCHEMA, Result
from paybatch.domain.few import chosen, distinct, has_any, nulls, without
from paybatch.domain.kind import Kind
from paybatch.domain.payment import RESERVED, open_hold
from paybatch.flow.place import Place
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import actors_of, makers_of, payments_of
from paybatch.flow.working.settle import Settled, made_of
from paybatch.store import attempts, operations, payments
from paybatch.store.database import Connection, Row

FIRST_LOOK = timedelta(seconds=2)


def awaited_of(settled: list[Settled]) -> pl.DataFrame:
    """Give the calls of rounds that have no outcome yet."""
    found = [each.awaited for each in settled if not each.awaited.is_empty()]
    return pl.concat(found, how="diagonal") if found else pl.DataFrame()


def keep(
    connection: Connection[Row],
    place: Place,
    calls: pl.DataFrame,
    *,
    chunk_number: int | None,
    now: datetime,
    until: datetime,
) -> None:
    """Store calls (prepared, with their ``result``) that are sent now, or are unknown already.

    Single calls have no chunk; they are asked about when nobody told their outcome ``until`` then.
    """
    look = now + FIRST_LOOK if chunk_number is not None else until
    is_unknown = pl.col("result") == Result.UNKNOWN.value
    rows = calls.select_seq(
        *("merchant_id", "gate_id", "key", "act", "amount_minor", "payment_id"),
        operation_id="id",
        batch_id=pl.col("id") // operations.LINES_MAX,
        chunk_number=pl.lit(chunk_number, pl.Int32),
        state="result",
        next_look_at=pl.when(is_unknown | pl.lit(chunk_number is None)).then(
            pl.when(is_unknown).then(pl.lit(now + FIRST_LOOK)).otherwise(pl.lit(look))
        ),
        created_at=pl.lit(now),
    )
    attempts.copy_attempts(connection, rows)
    made = pending(place, calls, now)
    if not made.is_empty():
        payments.copy_payments(connection, made)
    payments.reserve(connection, reserved(calls))


def pending(place: Place, calls: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Give the payments that calls are to make, as they stand until their outcome is known."""
    makers = makers_of(calls)
    if makers.is_empty():
        return makers
    absent = [name for name in REPLY_SCHEMA if name not in makers.columns]
    empty = [c for n in absent for c in nulls([n], REPLY_SCHEMA[n], makers.height)]
    nothing = {"is_approved": pl.lit(value=False), "approved_minor": pl.lit(0, pl.Int64)}
    rows = makers.hstack(empty).with_columns_seq(**nothing)
    made = made_of(place, rows, frozenset(distinct(makers["act"])), now)
    states = {Result.SENDING.value: "pending", Result.UNKNOWN.value: "unknown"}
    return without(made, "state").hstack(
        [chosen(made["result"], states, pl.String()).alias("state")]
    )


def reserved(calls: pl.DataFrame) -> pl.DataFrame:
    """Give what calls may take from the payments that they act on: ``KEY`` and ``RESERVED``.

    What is told here of a call is the same when it is claimed and when it lands: a final capture is
    claimed alone, so nothing changes the hold meanwhile, and a mandate that is debited is marked
    whatever becomes of its state.
    """
    acting = actors_of(calls)
    if acting.is_empty():
        return _NOTHING_RESERVED
    names = {name: _reserves(registry.kinds()[name]) for name in distinct(acting["act"])}
    column = chosen(acting["act"], {k: v for k, v in names.items() if v}, pl.String())
    rows = acting.select_seq(*KEY, amount=_amount(acting)).hstack([column.alias("column")])
    sums = rows.group_by(KEY, maintain_order=True).agg(
        pl.col("amount").filter(pl.col("column") == name).sum().alias(name) for name in RESERVED
    )
    return sums.filter(pl.any_horizontal(pl.col(name) != 0 for name in RESERVED)).sort(KEY)


_NOTHING_RESERVED = pl.DataFrame(
    schema={"merchant_id": pl.Int32, "payment_id": pl.Int64, **dict.fromkeys(RESERVED, pl.Int64)}
)


def _reserves(kind: Kind) -> str | None:
    """Give the column that a call of a kind reserves; makers mark the source that they change."""
    if kind.makes is None:
        return kind.reserves
    changes = kind.changes
    return "reserved_capture" if changes is not None and changes.state is not None else None


def _amount(calls: pl.DataFrame) -> pl.Expr:
    """Give how much each call reserves; a final capture all of the hold: it takes or ends it."""
    asked = pl.col("amount_minor").fill_null(0)
    if not has_any(calls["final"], [True]):
        return asked
    is_final = (pl.col("act") == "capture") & pl.col("final").fill_null(value=False)
    return pl.when(is_final).then(pl.max_horizontal(asked, open_hold())).otherwise(asked)


def released(calls: pl.DataFrame) -> pl.DataFrame:
    """Give what is reserved no more when the outcomes of calls are known."""
    found = reserved(calls)
    return found if found.is_empty() else found.with_columns_seq(-pl.col(RESERVED))


def keys_of(calls: pl.DataFrame) -> pl.DataFrame:
    """Give the payments that calls act on and make, by ``KEY``, in the order of their keys."""
    found = payments_of(calls)
    return found.sort(KEY) if found.height > 1 else found
