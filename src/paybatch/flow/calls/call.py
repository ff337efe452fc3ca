"""Call: operations that come one at a time, worked at once in the caller's process.

The same check, claim, send and settle as a batch. Calls that arrive together are worked together
and settled in one transaction (a group commit). A group whose transaction is known to be undone is
done again singly, so that one bad call harms no other. A group waits for no payment: a call whose
payment somebody else holds waits for it apart, with the other calls on that payment.
Calls need no batch row: their ids come from a block of ids that this process takes.
"""

import threading
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from weakref import WeakValueDictionary

import polars as pl

from paybatch import registry
from paybatch.domain.delimited import Records
from paybatch.flow.calls.call_values import readable
from paybatch.flow.calls.group import Group, Told
from paybatch.flow.calls.outgoing import BegunClose, Outgoing, closed, landed, sent
from paybatch.flow.calls.waiting import Answer, Groups, PaymentKey, Waiting
from paybatch.flow.engine import Engine
from paybatch.flow.intake.check import check
from paybatch.flow.intake.shaping import Origin, shaped, vault_rows
from paybatch.flow.place import Place, find_place
from paybatch.flow.texts import Layout
from paybatch.flow.working import gates
from paybatch.store import batches, operations
from paybatch.store.database import DatabaseGoneError

HELD_MAX = 8  # held payments that are waited for at once: each takes a connection
PLACE_AGE_MAX = timedelta(seconds=10)
_NONE_BROKEN = pl.DataFrame(
    schema={"line": pl.Int64, "code": pl.String, "fields": pl.Int64, "text": pl.String}
)


class Caller:
    """Carries out single operations for one sender; safe to use from many threads at once.

    ``place`` is read again from time to time, so that new gates and other defaults are seen. Where
    it has the merchant's default gate it follows the default, otherwise its gate stays.
    """

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place, self._placed_at = place, engine.clock()
        self._lock = threading.Lock()
        self._open = Groups(partial(self._work, waits=False))
        self._back = Groups(self._land)
        self._held: WeakValueDictionary[PaymentKey, Groups] = WeakValueDictionary()
        self._room = threading.Semaphore(HELD_MAX)
        self._block = 0
        self._line = operations.LINES_MAX

    def call(self, values: Mapping[str, str]) -> Answer:
        """Carry out one operation; ``values`` are those of a native row.

        Returns ``operation`` and ``payment`` (public ids), ``state``, ``reason``, ``message``,
        ``status``, ``approved_minor`` and what the processor answered. Where the idempotency key
        was used before: the answer that the first operation got, with the state ``replayed``;
        ``first`` and ``first_state`` are that operation and how it ended.

        Raises:
            CallWrongError: Something is no text, or stands under a name that nobody knows.
            PlaceUnknownError: The sender or its default gate is gone.
            DatabaseGoneError: The database does not answer; whether it was done, the same call
                with the same idempotency key will tell.
            DatabaseBusyError: It gave the call up for the sake of others; nothing was done.
        """
        asked = readable(values)
        mine = Waiting(asked, asked.get("idempotency_key"))
        self._open.enter(mine)
        while mine.held is not None:
            groups = self._groups_of(mine.held)
            mine = Waiting(asked, mine.key)
            groups.enter(mine)
        if mine.outgoing is not None:
            mine = self._sent(mine.outgoing)
        if mine.error is not None:
            raise mine.error
        assert mine.answer is not None
        return mine.answer

    def _sent(self, outgoing: Outgoing | BegunClose) -> Waiting:
        """Send a call that leaves the house, and have its reply settled with those of others."""
        if isinstance(outgoing, BegunClose):
            self._placed_at -= 2 * PLACE_AGE_MAX
            return Waiting({}, answer=closed(self._engine, outgoing))
        back = Waiting({}, come=sent(self._engine, outgoing))
        self._back.enter(back)
        return back

    def _land(self, group: list[Waiting]) -> None:
        """Settle replies in one transaction, or each in its own if that one is undone.

        Raises:
            DatabaseGoneError: Nobody knows what became of them; they are looked up when it is back.
        """
        try:
            with self._engine.database.transaction() as connection:
                answers = landed(self._engine, connection, [each.come for each in group])
        except DatabaseGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised in the callers' threads
            if len(group) > 1:
                for each in group:
                    self._land([each])
            else:
                group[0].error = error
            return
        for each, answer in zip(group, answers, strict=True):
            each.answer = answer

    def _groups_of(self, key: PaymentKey) -> Groups:
        """Give the groups of the calls that wait for a payment."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                found = self._held[key] = Groups(self._work_held)
            return found

    def _work_held(self, group: list[Waiting]) -> None:
        with self._room:
            self._work(group, waits=True)

    def _work(self, group: list[Waiting], *, waits: bool) -> None:
        """Settle a group in one transaction, or each call in its own if that one is undone.

        Raises:
            DatabaseGoneError: Or something that is no ``Exception``: nobody knows what became of
                the calls that have no answer yet, so nothing of them may be done again.
        """
        try:
            answers = self._settle([each.values for each in group], waits=waits)
        except DatabaseGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised in the callers' threads
            # The transaction is undone: all that can break off a commit is a silent database.
            if len(group) > 1:
                for each in group:
                    self._work([each], waits=waits)
            else:
                group[0].error = error
            return
        for each, answer in zip(group, answers, strict=True):
            match answer:
                case dict():
                    each.answer = answer
                case Outgoing() | BegunClose():
                    each.outgoing = answer
                case _:
                    each.held = answer

    def _settle(self, calls: list[Mapping[str, str]], *, waits: bool) -> list[Told]:
        """Take calls through check, claim, send and settle, and give their answers in order.

        A call whose payment is held gets the payment's key, and is not carried out; if the group
        ``waits`` there is none.
        """
        engine, place = self._engine, self._fresh_place()
        number, first = self._take_lines(len(calls))
        origin = Origin(engine, number, place.sender_id, engine.clock(), "call")
        records = _records(calls, first)
        layout = _layout(tuple(name for name in records.table.columns if name != "line"))
        records.table.columns = ["line", *(f"c{i}" for i in range(len(layout.columns)))]
        checked = check(engine, layout, place, records, origin.now)
        rows = shaped(origin, vault_rows(engine, checked))
        group = Group(engine, place, origin, rows)
        with engine.database.transaction() as connection:
            answers = group.settle(connection, waits=waits)
        if gates.change_gates(rows):
            self._placed_at -= 2 * PLACE_AGE_MAX  # the next call sees the gates as they are now
        return answers

    def _fresh_place(self) -> Place:
        """Give who is who; read again when what we know is old."""
        now = self._engine.clock()
        if abs(now - self._placed_at) > PLACE_AGE_MAX:
            place = _read_again(self._engine, self._place)
            with self._lock:
                if place != self._place:  # the old one has its tables ready
                    self._place = place
                self._placed_at = now
        return self._place

    def _take_lines(self, count: int) -> tuple[int, int]:
        """Take numbers for calls: the block, and the first line in it."""
        with self._lock:
            if self._line + count >= operations.LINES_MAX:
                with self._engine.database.transaction() as connection:
                    self._block = batches.next_number(connection)
                self._line = 1
            first = self._line
            self._line += count
            return self._block, first


def _read_again(engine: Engine, place: Place) -> Place:
    """Look up a place anew, with the same names as defaults."""
    names = {number: name for name, number in place.merchants.items()}
    gate = place.gate(place.gate_id)
    named = None if gate.is_default else gate.name
    return find_place(engine, place.sender, names[place.merchant_id], named)


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
