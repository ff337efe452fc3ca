"""The simulator's processes: they die at a boundary call, or get an error there and live on.

A boundary is the moment before or after the commit of a transaction, or a call of the blob store.
From its death on nothing that a process does reaches the outside.
"""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import find_place
from paybatch.store.blobs import Blobs
from paybatch.store.database import Connection, Database, Row

HEADER = (
    "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference,payment,final,"
    "idempotency_key"
)
CARD = "4111111111111111,12/39"
FILE = [
    f"sale,100,USD,{CARD},200,a,,,key-1",
    f"authorize,200,USD,{CARD},123,b,,,",
    "capture,50,USD,,,,,b,,",
    "refund,100,,,,,,old-1,,",
    f"sale,0,USD,{CARD},123,c,,,",
    f"sale,100,USD,{CARD},200,a,,,key-1",
    "sale,300,USD,4000000000000002,12/39,301,d,,,",
    "capture,,,,,,,b,true,",
    "refund,,,,,,,old-1,,",
    "void,,,,,,,held-1,,",
    "this line is broken",
    f"credit,70,USD,{CARD},,e,,,key-2",
]
BEFORE = "before a commit"
AFTER = "after a commit"


class CrashError(BaseException):
    """The process is dead."""


@dataclass
class Fate:
    """Counts the boundary calls of a process and kills it at one of them.

    With an ``error`` the process gets that there, and lives on.
    """

    crash_at: int = 0
    error: BaseException | None = None
    calls: int = 0
    is_dead: bool = False
    names: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def pulse(self) -> None:
        """Go on, or do not: the process is dead."""
        if self.is_dead:
            raise CrashError

    def reach(self, name: str) -> None:
        """Pass a boundary, or die there."""
        with self._lock:
            self.calls += 1
            self.names.append(name)
            if self.error is not None and self.calls == self.crash_at:
                raise self.error
            self.is_dead = self.is_dead or self.calls == self.crash_at
            if self.is_dead:
                raise CrashError(name)


class MortalDatabase(Database):
    """A database whose process may die around each commit."""

    def __init__(self, url: str, fate: Fate) -> None:
        super().__init__(url)
        self.fate = fate

    @contextmanager
    def transaction(self) -> Iterator[Connection[Row]]:
        self.fate.pulse()
        with super().transaction() as connection:
            yield connection
            row = connection.execute("SELECT pg_current_xact_id_if_assigned()").fetchone()
            has_written = row is not None and row[0] is not None
            if has_written:
                self.fate.reach(BEFORE)
        if has_written:
            self.fate.reach(AFTER)


class MortalBlobs:
    """A blob store whose process may die around each call that changes something."""

    def __init__(self, blobs: Blobs, fate: Fate) -> None:
        self._blobs, self._fate = blobs, fate

    def put_encrypted(self, name: str, source: Iterable[bytes], key: Any) -> int:
        self._fate.reach("before a blob is put")
        size = self._blobs.put_encrypted(name, source, key)
        self._fate.reach("after a blob is put")
        return size

    def delete(self, name: str) -> None:
        self._fate.reach("before a blob is deleted")
        self._blobs.delete(name)
        self._fate.reach("after a blob is deleted")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)


def mortal(engine: Engine, fate: Fate) -> Engine:
    """Give the same engine for a process that will die."""
    engine.close()
    blobs: Any = MortalBlobs(engine.blobs, fate)  # it has what is used of a store
    return replace(engine, database=MortalDatabase(engine.database.url, fate), blobs=blobs)


def content() -> list[bytes]:
    """Give the file that most of them are about."""
    return ["\n".join([HEADER, *FILE, ""]).encode()]


def hand_in(engine: Engine, policy: str, source: list[bytes] | None = None) -> None:
    """Run the file, or another one."""
    request = Request(file_name="x.csv", policy=policy)
    batches.run(engine, find_place(engine, "local"), source or content(), request)
