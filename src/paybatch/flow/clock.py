"""Clock: what is due on a day is done in system batches, as if its sender had handed in a file.

The clock writes a file of ids and takes it the way of every file. So it is read, stored, resumed
and reported as any other, and its rows have ids, states and outcomes of their own. Each row's
idempotency key is made of its kind, payment and day: a clock that runs twice, or in two workers at
once, changes nothing. A day is that of the calendar in the gate's zone, with its cut-off: closes of
day do not move it.
"""

import io
from datetime import date, timedelta

import polars as pl

from paybatch import registry
from paybatch.domain.text import filled
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake import receive
from paybatch.flow.place import find_place
from paybatch.flow.working.settle import calendar_day
from paybatch.store import directory, due
from paybatch.store.directory import Gate
from paybatch.store.public_ids import Shape

ROWS_MAX = 500_000  # of a system batch
GROUP = ("sender", "merchant", "kind")
_KEYED = "clock:{}:{}:{}"


def due_work(engine: Engine) -> list[pl.DataFrame]:
    """Give what is due and was not handed over: a table (``due.DUE``) for each batch to be."""
    days = {gate.id: _day(engine, gate) for gate in gates_of_all(engine)}
    if not days:
        return []
    with engine.database.transaction() as connection:
        due.drop_idle_due(connection, max(days.values()))
        return _grouped(due.open_due(connection, days, ROWS_MAX))


def lapsed_work(engine: Engine) -> list[pl.DataFrame]:
    """Give the holds that are over, by brand and gate: a table (``due.DUE``) for each batch to be.

    This reads every payment: once an hour is often enough for what changes once a day.
    """
    rules: list[tuple[int, str | None, date, date]] = []
    for gate in gates_of_all(engine):
        day = _day(engine, gate)
        for brand, days in gate.capabilities.days_by_brand.items():
            named = None if brand == "other" else brand
            rules.append((gate.id, named, day - timedelta(days=days), day))
    with engine.database.transaction() as connection:
        return _grouped(due.lapsed_holds(connection, rules, ROWS_MAX))


def returned_work(engine: Engine) -> list[pl.DataFrame]:
    """Give the debits of test accounts that come back now: a table for each batch to be.

    It is as ``due.DUE``, with a ``return_code``. On live gates returns are what banks tell.
    """
    rules: list[tuple[int, str, str, date, date]] = []
    for gate in gates_of_all(engine):
        connector = registry.connectors().get(gate.connector)
        if connector is not None and gate.mode == "test":
            day = _day(engine, gate)
            rules += [
                (gate.id, bank_code, each.code, day - timedelta(days=each.after_days), day)
                for bank_code, each in connector.returns.items()
            ]
    if not rules:
        return []
    with engine.database.transaction() as connection:
        return _grouped(due.returned_debits(connection, rules, ROWS_MAX))


def hand_in(engine: Engine, work: pl.DataFrame) -> int:
    """Do what is due: hand it in as its sender's file and take it on; give the batch's id.

    Raises:
        PlaceUnknownError: The sender does not act for the merchant any more.
    """
    batch_id = receive_own(engine, work, written(engine, work))
    with engine.database.transaction() as connection:
        due.hand_over(connection, work, batch_id)
    batches.go_on(engine, batch_id)
    return batch_id


def receive_own(engine: Engine, work: pl.DataFrame, content: bytes) -> int:
    """Receive a file of the clock as its sender's (``sender, merchant, kind, due_on``).

    Gives the batch, also where the same file was handed in before.

    Raises:
        PlaceUnknownError: The sender does not act for the merchant any more.
    """
    sender, merchant, kind = (str(work[name][0]) for name in GROUP)
    place = find_place(engine, sender, merchant)
    last = work.sort("due_on")["due_on"][-1]
    request = receive.Request(file_name=f"{kind} due on {last}", dialect="native")
    try:
        return receive.receive(engine, place, [content], request)
    except receive.SeenBeforeError as error:
        return error.batch_id  # a clock that was killed, or another one, was here


def written(engine: Engine, work: pl.DataFrame) -> bytes:
    """Write what is due as a file of the native dialect."""
    ids = engine.public_ids.encode(work["payment_id"], "pay", Shape.NATIVE)
    codes = [name for name in ("return_code",) if name in work.columns]
    rows = work.select_seq("kind", "merchant", *codes, payment=pl.lit(ids), due_on="due_on")
    day = pl.col("due_on").dt.to_string("%Y-%m-%d")
    rows = rows.with_columns_seq(idempotency_key=filled(_KEYED, "kind", "payment", day))
    target = io.BytesIO()
    rows.drop("due_on").write_csv(target)
    return target.getvalue()


def _grouped(rows: pl.DataFrame) -> list[pl.DataFrame]:
    return rows.partition_by(GROUP, maintain_order=True) if not rows.is_empty() else []


def gates_of_all(engine: Engine) -> list[Gate]:
    """Give the gates of all merchants."""
    with engine.database.transaction() as connection:
        merchants = [row["id"] for row in directory.list_merchants(connection)]
        return directory.gates_of_merchants(connection, merchants)


def _day(engine: Engine, gate: Gate) -> date:
    return calendar_day(gate, engine.clock())
