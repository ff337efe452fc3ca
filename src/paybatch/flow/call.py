"""Call: operations that come one at a time, worked at once in the caller's process.

The same check, claim, send and settle as a batch. Calls that arrive together are worked together:
one of the waiting threads leads, takes every call that waits and settles them in one transaction
(a group commit). A group that fails is done again singly, so that one bad call harms no other.
Calls need no batch row: their ids come from a block of ids that this process takes.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.delimited import Records
from paybatch.domain.few import nulls, without
from paybatch.domain.reasons import Reason
from paybatch.flow import details, filters
from paybatch.flow.check import check
from paybatch.flow.claim import Book, acts_on_payment
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.rounds import Sender, in_rounds, locked
from paybatch.flow.settle import Settled, store
from paybatch.flow.shaping import Origin, rejected, replayed, shaped, vault_rows
from paybatch.flow.texts import Layout
from paybatch.store import batches, operations
from paybatch.store.database import Connection, Row
from paybatch.store.operations import CLAIMED
from paybatch.store.public_ids import Shape

GROUP_MAX = 256
_NONE_BROKEN = pl.DataFrame(
    schema={"line": pl.Int64, "code": pl.String, "fields": pl.Int64, "text": pl.String}
)
_ANSWER = (
    *("id", "state", "reason", "message", "payment_id", "status", "approved_minor", "response"),
    *("processor_code", "processor_text", "approval_code", "avs_result", "cvv_result"),
)


@dataclass
class _Waiting:
    """A call that waits for its answer."""

    values: Mapping[str, str]
    done: threading.Event = field(default_factory=threading.Event)
    answer: dict[str, Any] | None = None
    error: BaseException | None = None


class Caller:
    """Carries out single operations for one sender; safe to use from many threads at once."""

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._is_led = False
        self._block = 0
        self._line = operations.LINES_MAX

    def call(self, values: Mapping[str, str]) -> dict[str, Any]:
        """Carry out one operation; ``values`` are those of a native row.

        Returns ``operation`` and ``payment`` (public ids), ``state``, ``reason``, ``message``,
        ``status``, ``approved_minor`` and what the processor answered.

        Raises:
            DatabaseGoneError: The database does not answer; whether it was done, the same call
                with the same idempotency key will tell.
        """
        mine = _Waiting(values)
        with self._lock:
            self._queue.append(mine)
            leads = not self._is_led
            self._is_led = True
        if leads:
            self._lead()
        mine.done.wait()
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None
        return mine.answer

    def _lead(self) -> None:
        """Work groups until nobody waits; others may join while a group is under way."""
        while True:
            with self._lock:
                group, self._queue = self._queue[:GROUP_MAX], self._queue[GROUP_MAX:]
                if not group:
                    self._is_led = False
                    return
            self._work(group)

    def _work(self, group: list[_Waiting]) -> None:
        try:
            answers = self._settle([each.values for each in group])
        except BaseException as error:  # noqa: BLE001 - it is raised in the callers' threads
            if len(group) > 1:
                for each in group:
                    self._work([each])
                return
            group[0].error = error
            answers = [{}]
        for each, answer in zip(group, answers, strict=True):
            each.answer = answer
            each.done.set()

    def _settle(self, calls: list[Mapping[str, str]]) -> list[dict[str, Any]]:
        """Take calls through check, claim, send and settle, and give their answers in order."""
        engine, place = self._engine, self._place
        number, first = self._take_lines(len(calls))
        origin = Origin(engine, number, place.sender_id, engine.clock(), "call")
        records = _records(calls, first)
        layout = _layout(tuple(name for name in records.table.columns if name != "line"))
        records.table.columns = ["line", *(f"c{i}" for i in range(len(layout.columns)))]
        checked = check(engine, layout, place, records, origin.now)
        rows = shaped(origin, vault_rows(engine, checked))
        with engine.database.transaction() as connection:
            return self._stored(connection, origin, rows)

    def _stored(
        self, connection: Connection[Row], origin: Origin, rows: pl.DataFrame
    ) -> list[dict[str, Any]]:
        refused = []
        if not rows["accepted"].all():
            refused.append(rejected(rows, origin.now))
        if rows["idempotency_key"].count():
            refused.append(replayed(connection, origin, rows))
        if refused:
            outcomes = pl.concat(refused, how="diagonal_relaxed")
            rows = rows.with_columns_seq(accepted=~pl.col("id").is_in(outcomes["id"].implode()))
            operations.copy_outcomes(connection, outcomes)
        operations.copy_operations(connection, rows)
        settled = self._rounds(connection, rows.filter("accepted") if refused else rows)
        if settled:
            store(self._engine, connection, settled)
        return self._answers([*refused, *(each.outcomes for each in settled)])

    def _rounds(self, connection: Connection[Row], rows: pl.DataFrame) -> list[Settled]:
        if rows.is_empty():
            return []
        listed = filters.kinds_of_lists(connection)
        wanted = details.wanted(self._place, rows)
        wanted |= {name for what, name in filters.DETAILS.items() if what in listed}
        rows = _with_subjects(connection, rows)
        absent = nulls(wanted - set(rows.columns), pl.String(), rows.height)
        claim = rows.hstack([*absent, rows["card_cvv"].alias("cvv")])[[*CLAIMED, *wanted, "cvv"]]
        claim = details.read(claim, wanted)
        if listed:
            claim = filters.filtered(connection, claim, listed)
        book = Book(self._place, locked(connection, claim))
        sender = Sender(self._engine, self._place)
        # Calls of one group may act on the same payment.
        is_ordered = claim["payment_id"].count() > 1
        return in_rounds(book, claim, sender.send, self._engine.clock(), is_ordered=is_ordered)

    def _answers(self, outcomes: list[pl.DataFrame]) -> list[dict[str, Any]]:
        """Give the answers in the order of the calls."""
        rows = pl.concat([each[_ANSWER] for each in outcomes]).sort("id")
        ids = self._engine.public_ids
        named = without(rows, "id", "payment_id").hstack(
            [
                ids.encode(rows["id"], "op", Shape.NATIVE).alias("operation"),
                ids.encode(rows["payment_id"], "pay", Shape.NATIVE).alias("payment"),
            ]
        )
        return named.to_dicts()

    def _take_lines(self, count: int) -> tuple[int, int]:
        """Take numbers for calls: the block, and the first line in it."""
        if self._line + count >= operations.LINES_MAX:
            with self._engine.database.transaction() as connection:
                self._block = batches.next_number(connection)
            self._line = 1
        first = self._line
        self._line += count
        return self._block, first


def _records(calls: list[Mapping[str, str]], first: int) -> Records:
    names = sorted({name for call in calls for name in call})
    lines = pl.Series("line", range(first, first + len(calls)), dtype=pl.Int64)
    cells = [
        pl.Series(name, [call.get(name) or None for call in calls], dtype=pl.String)
        for name in names
    ]
    return Records(pl.DataFrame([lines, *cells]), _NONE_BROKEN, 0)


def _layout(columns: tuple[str, ...]) -> Layout:
    return Layout(registry.dialects()["native"], columns, None)


def _with_subjects(connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Find the payments that rows name by reference."""
    if not rows["payment_reference"].count():
        return rows
    named = rows.filter(acts_on_payment() & pl.col("payment_reference").is_not_null())
    found = []
    for (merchant_id,), group in named.partition_by("merchant_id", as_dict=True).items():
        texts = group["payment_reference"].unique().to_list()
        known = operations.payments_of_references(connection, int(merchant_id), texts)
        found += [(merchant_id, *each) for each in known]
    schema = {
        "merchant_id": pl.Int32,
        "payment_reference": pl.String,
        "found": pl.Int64,
        "found_id": pl.Int64,
    }
    stored = pl.DataFrame(found, schema=schema, orient="row")
    joined = rows.join(
        stored, on=["merchant_id", "payment_reference"], how="left", maintain_order="left"
    )
    by_name = pl.col("payment_reference").is_not_null()
    return joined.with_columns_seq(
        payment_id=pl.when(by_name & (pl.col("found") == 1))
        .then("found_id")
        .otherwise("payment_id"),
        reason=pl.when(by_name & (pl.col("found") > 1))
        .then(pl.lit(Reason.REFERENCE_AMBIGUOUS.value))
        .when(by_name & pl.col("found").is_null())
        .then(pl.lit(Reason.REFERENCE_UNKNOWN.value)),
    )
