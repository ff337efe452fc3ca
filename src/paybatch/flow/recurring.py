"""Recurring payments: the clock charges what is due, tries again, and ends what is over.

A date that has come is written down with its amount before anything is charged; its primary key is
the recurring payment and the date. Its charge is a row of a system batch (`flow/clock.py`), whose
idempotency key names recurring payment, date and attempt. So whatever is killed when, and however
many clocks run, a date is charged once. The next attempt is made when the answer to the one before
is known to be a soft decline; while an outcome is unknown nothing follows.
"""

import io
from datetime import date
from zoneinfo import ZoneInfo

import polars as pl

from paybatch.domain import declines
from paybatch.domain import recurring as rules
from paybatch.domain.text import filled
from paybatch.flow import batch as batches
from paybatch.flow import clock
from paybatch.flow.engine import Engine
from paybatch.store import recurring, recurring_dates
from paybatch.store.database import Connection, Row
from paybatch.store.public_ids import Shape

RETRY_DAYS = 1  # from one attempt to the next
_KEY = "recurring:{}:{}:{}"
_DRAWN_CHARACTERS = 15  # of a hash in hexadecimal digits: 60 bits


def due_work(engine: Engine) -> list[pl.DataFrame]:
    """Take in the answers, write down the dates that have come, and give what is to be done.

    A table for each batch to be: charges (``recurring_dates.OPEN``), and ends of recurring payments
    (``recurring.ENDED``); both with ``kind``.
    """
    days = {
        gate.id: engine.clock().astimezone(ZoneInfo(gate.zone)).date()
        for gate in clock.gates_of_all(engine)
    }
    if not days:
        return []
    with engine.database.transaction() as connection:
        _conclude(engine, connection, days)
        recurring_dates.drop_dates(connection)
    with engine.database.transaction() as connection:
        _write_down(engine, connection, days)
        recurring.retire(connection, max(days.values()))
    with engine.database.transaction() as connection:
        charges = recurring_dates.open_dates(connection, days, clock.ROWS_MAX)
        ended = recurring.ended(connection, days, clock.ROWS_MAX)
    kinds = {"recurring_charge": charges, "recurring_update": ended}
    named = [rows.with_columns_seq(kind=pl.lit(kind)) for kind, rows in kinds.items()]
    return [
        part
        for rows in named
        if not rows.is_empty()
        for part in rows.partition_by(clock.GROUP, maintain_order=True)
    ]


def hand_in(engine: Engine, work: pl.DataFrame) -> int:
    """Charge, or end, what is due: hand it in as its sender's file; give the batch's id.

    Raises:
        PlaceUnknownError: The sender does not act for the merchant any more.
    """
    charges = work["kind"][0] == "recurring_charge"
    content = _charges(engine, work) if charges else _ends(engine, work)
    batch_id = clock.receive_own(engine, work, content)
    if charges:
        with engine.database.transaction() as connection:
            recurring_dates.hand_over_dates(connection, work, batch_id)
    batches.go_on(engine, batch_id)
    return batch_id


def _conclude(engine: Engine, connection: Connection[Row], days: dict[int, date]) -> None:
    """Take in the answers: a date is charged, given up, or tried again after a soft decline."""
    rows = recurring_dates.answered_dates(connection, days, clock.ROWS_MAX)
    if rows.is_empty():
        return
    state = pl.col("state")
    may_end_otherwise = (state == "failed") | (
        (state == "declined") & declines.is_soft(pl.col("response"))
    )
    again = may_end_otherwise.fill_null(value=False) & (pl.col("attempt") < pl.col("attempts"))
    rows = rows.with_columns_seq(
        new_state=pl.when(state == "approved")
        .then(pl.lit("charged"))
        .when(again)
        .then(pl.lit("open"))
        .otherwise(pl.lit("given_up")),
        attempt=pl.col("attempt") + again.cast(pl.Int16),
        attempt_on=pl.when(again)
        .then(pl.col("day") + pl.duration(days=RETRY_DAYS))
        .otherwise(pl.col("day")),
    )
    recurring_dates.conclude_dates(connection, rows.with_columns_seq(new_key=_keys(engine, rows)))


def _write_down(engine: Engine, connection: Connection[Row], days: dict[int, date]) -> None:
    """Write down the dates that have come, and which comes next."""
    rows = recurring.lock_due(connection, days, clock.ROWS_MAX)
    if rows.is_empty():
        return
    rows = planned(rows)
    wanted = rows.filter("is_wanted").with_columns_seq(attempt=pl.lit(1, pl.Int16))
    if not wanted.is_empty():
        wanted = wanted.with_columns_seq(amount_minor=_amounts(engine, wanted))
        recurring_dates.give_up_older(connection, wanted)
        recurring_dates.add_dates(connection, wanted.with_columns_seq(key=_keys(engine, wanted)))
    recurring.set_next(connection, rows)


def planned(rows: pl.DataFrame) -> pl.DataFrame:
    """Find the date of each recurring payment (``recurring.DUE``) that is charged now.

    Adds ``due_on``, ``is_wanted`` and ``next_on``. Of several dates that were missed the newest one
    is charged; none is from before it was resumed. ``next_on`` is null where none follows: the
    finish is reached, or the sequence of amounts is at its end.
    """
    length = pl.col("amounts").str.split(",").list.len().cast(pl.Int64)
    number = rules.number_by(pl.min_horizontal("day", "finish_on"))
    rows = rows.with_columns_seq(
        number=number,
        due_on=rules.date_of(pl.max_horizontal(number, 0)),
        following=rules.date_of(rules.number_by(pl.col("day")) + 1),
        dates_left=pl.min_horizontal(
            pl.col("finish_count").cast(pl.Int64) - pl.col("date_count"),
            length - pl.col("terms_count"),
        ),
    )
    is_wanted = (
        (pl.col("number") >= 0)
        & (pl.col("due_on") >= pl.col("next_on"))
        & (pl.col("due_on") >= pl.col("back_on")).fill_null(value=True)
        & (pl.col("dates_left") > 0).fill_null(value=True)
    )
    rows = rows.with_columns_seq(is_wanted=is_wanted)
    goes_on = (pl.col("following") <= pl.col("finish_on")).fill_null(value=True) & (
        pl.col("dates_left") > pl.col("is_wanted").cast(pl.Int64)
    ).fill_null(value=True)
    return rows.with_columns_seq(next_on=pl.when(goes_on).then("following"))


def _amounts(engine: Engine, rows: pl.DataFrame) -> pl.Series:
    """Give the amount of each date: fixed, the next of its sequence, or drawn between two.

    It is drawn by a keyed hash: nobody outside can tell it, and it is the same if drawn again.
    """
    name = filled("{}:{}:{}", *(pl.col(n).cast(pl.String) for n in _DATE))
    texts = rows.select_seq(name).to_series()
    hashes = engine.keys.values_hashes(texts).str.head(_DRAWN_CHARACTERS)
    span = pl.col("amount_to_minor") - pl.col("amount_minor") + 1
    sequence = pl.col("amounts").str.split(",").list.get("terms_count", null_on_oob=True)
    return rows.select_seq(
        pl.when(pl.col("amounts").is_not_null())
        .then(sequence.cast(pl.Int64))
        .when(pl.col("amount_to_minor").is_not_null())
        .then(pl.col("amount_minor") + pl.lit(hashes).str.to_integer(base=16) % span)
        .otherwise("amount_minor")
        .alias("amount_minor")
    ).to_series()


_DATE = ("merchant_id", "recurring_id", "due_on")


def _names(engine: Engine, rows: pl.DataFrame) -> pl.Series:
    return engine.public_ids.encode(rows["recurring_id"], "pay", Shape.NATIVE)


def _keys(engine: Engine, rows: pl.DataFrame) -> pl.Series:
    """Give the idempotency key of each attempt."""
    day = pl.col("due_on").dt.to_string("%Y-%m-%d")
    attempt = pl.col("attempt").cast(pl.String)
    return rows.select_seq(filled(_KEY, pl.lit(_names(engine, rows)), day, attempt)).to_series()


def _charges(engine: Engine, work: pl.DataFrame) -> bytes:
    """Write charges as a file of the native dialect; columns that nobody fills are left out."""
    rows = work.select_seq(
        *("kind", "merchant", "amount_minor", "currency", "attempt", "scheme_transaction_id"),
        *recurring_dates.PAYER,
        payment=pl.lit(_names(engine, work)),
        idempotency_key="key",
    )
    return _written(rows[[each.name for each in rows if each.null_count() < rows.height]])


def _ends(engine: Engine, work: pl.DataFrame) -> bytes:
    """Write what ends as a file of the native dialect; where it is refused, a later day may."""
    day = pl.col("due_on").dt.to_string("%Y-%m-%d")
    rows = work.select_seq(
        *("kind", "merchant"),
        payment=pl.lit(_names(engine, work)),
        action=pl.lit("finish"),
        day=day,
    )
    rows = rows.with_columns_seq(idempotency_key=filled(_KEY, "payment", "action", "day"))
    return _written(rows.drop("day"))


def _written(rows: pl.DataFrame) -> bytes:
    target = io.BytesIO()
    rows.write_csv(target)
    return target.getvalue()
