"""The sandbox's books: a small SQLite file, written before anything is answered.

A commit reaches the operating system, not the disk (``synchronous=NORMAL`` with a write-ahead
log): the books survive the death of the process at any moment, which is what they are for.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from paybatch.sandbox import answers
from paybatch.sandbox.words import Answer, Call, write

Clock = Callable[[], float]  # seconds since 1970


_BLOCK = re.compile(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL)


@cache
def statement(name: str) -> str:
    """Give a named statement of ``books.sql``."""
    text = (resources.files(__package__) / "books.sql").read_text("utf-8")
    found: dict[str, str] = dict(_BLOCK.findall(text))
    return found[name]


class Books:
    """What the sandbox did, on file; one thread writes, others may read through ``rows``."""

    def __init__(self, path: Path, clock: Clock, *, settle_seconds: float = 2.0) -> None:
        self.path, self.clock = path, clock
        self.is_idempotent = True
        self.settle_seconds = settle_seconds  # from pending to its effect
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.executescript(statement("schema"))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def take(self, calls: Sequence[tuple[str, Call, bool]]) -> list[bytes]:
        """Take calls (account, call, whether it is left pending) in one commit; give the answers.

        A key that was taken before gets the answer that it got then, unless keys are not looked at.
        """
        self._file.execute("BEGIN")
        try:
            told = [self._taken(*each) for each in calls]
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")
        return told

    def _taken(self, account: str, call: Call, is_pending: bool) -> bytes:
        found = self._file.execute(statement("find"), (call.key, account)).fetchone()
        times = 1
        if found is not None:
            if self.is_idempotent:
                asked = (call.verb, call.amount_minor, call.currency, call.payment)
                return found[0] if found[1:5] == asked else write(answers.reused(call))
            times += self._file.execute(statement("count"), (call.key, account)).fetchone()[0]
        answer = answers.judged(call)
        if is_pending and answer.status == "approved":
            answer = answers.answer(call, "pending", "09")
        if call.verb == "close_day" and answer.status == "approved":
            answer = self._closed(account, call)
        return self._added(account, call, times, answer)

    def _added(self, account: str, call: Call, times: int, answer: Answer) -> bytes:
        now, told = self.clock(), write(answer)
        due = now + self.settle_seconds if answer.status == "pending" else None
        values = (account, call.key, times, call.verb, call.amount_minor, answer.approved_minor)
        rest = (call.currency, call.payment, answer.status, told, now, due)
        self._file.execute(statement("add"), (*values, *rest))
        if call.bank_code == answers.RETURNED_LATER and answer.status == "approved":
            body = write({"event": "returned", "key": call.key, "code": "R01"})
            self._file.execute(statement("call_back"), (body, now, now + self.settle_seconds))
        return told

    def _closed(self, account: str, call: Call) -> Answer:
        """End an account's day in a currency: its settlement holds what is not settled yet."""
        values = {"account": account, "currency": call.currency, "key": call.key}
        self._file.execute(statement("close"), {**values, "at": self.clock()})
        return answers.answer(call, "approved", "00", "CLOSED")

    def find(self, account: str, key: str) -> bytes | None:
        """Give the answer that a key got; None = it was never taken."""
        found = self._file.execute(statement("find"), (key, account)).fetchone()
        return None if found is None else bytes(found[0])

    def settle_due(self) -> int:
        """Let what is due take effect, each with a callback; give how many."""
        now = self.clock()
        due = self._file.execute(statement("due"), (now,)).fetchall()
        if due:
            self._file.execute("BEGIN")
            for id_, account, key, verb, amount_minor in due:
                call = Call(key=key, verb=verb, amount_minor=amount_minor)
                answer = answers.answer(call, "approved", "00")
                self._file.execute(statement("settle"), (write(answer), now, id_))
                body = write({"event": "settled", "account": account, "answer": answer})
                self._file.execute(statement("call_back"), (body, now, now))
            self._file.execute("COMMIT")
        return len(due)

    def undelivered(self) -> list[tuple[int, bytes]]:
        """Give callbacks that are to be delivered now."""
        return self._file.execute(statement("undelivered"), (self.clock(),)).fetchall()

    def delivered(self, id_: int, *, is_taken: bool) -> None:
        """Write down a try to deliver a callback."""
        when = self.clock() if is_taken else None
        self._file.execute(statement("delivered"), (when, id_))

    def rows(self, name: str, values: Sequence[Any] | dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Read rows of a statement over a connection of its own; any thread may."""
        reader = sqlite3.connect(self.path)
        try:
            found = reader.execute(statement(name), values)
            names = [each[0] for each in found.description]
            for row in found:
                yield dict(zip(names, row, strict=True))
        finally:
            reader.close()
