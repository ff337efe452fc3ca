"""A crash at every boundary call, in one process: what is left is as if nothing had happened.

A crash is an exception before or after the commit of a transaction, or around a call of the blob
store. From then on the process is dead: nothing it does reaches the outside. Another process
takes the batch on.
"""

import random
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.place import find_place
from paybatch.flow.receive import Request
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
Worlds = Callable[[], Any]


class CrashError(BaseException):
    """The process is dead."""


@dataclass
class Fate:
    """Counts the boundary calls of a process and kills it at one of them."""

    crash_at: int = 0
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
            self.fate.reach("after a commit")


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


def hand_in(engine: Engine, policy: str) -> None:
    content = ["\n".join([HEADER, *FILE, ""]).encode()]
    batches.run(
        engine, find_place(engine, "local"), content, Request(file_name="x.csv", policy=policy)
    )


def live(world: Any, policy: str, settings: dict[str, object], crashes: Iterable[int]) -> list[str]:
    """Let one process after the other take the file on; each dies, but for the last.

    Gives the boundaries that the first one reached.
    """
    first: list[str] = []
    for crash_at in [*crashes, 0]:
        fate = Fate(crash_at)
        engine = mortal(world.engine(**settings), fate)
        with suppress(CrashError):
            stored = world.batch_ids()[1:]
            if not stored:
                world.rewind()
                hand_in(engine, policy)
            else:
                batches.go_on(engine, stored[0])
        engine.close()
        first = first or fate.names
    return first


@pytest.mark.parametrize("policy", ["valid-rows", "stop-after=2", "all-or-none"])
def test_a_crash_at_every_boundary_changes_nothing(worlds: Worlds, policy: str) -> None:
    """With one thread "before a commit" leaves the same as "after" the one before it."""
    settings: dict[str, object] = {"chunk_rows": 5, "stop_chunk_rows": 5, "threads": 1}
    quiet = worlds()
    names = live(quiet, policy, settings, [])
    wanted = quiet.left(2)
    assert len(names) > 20
    # What the policies have in common is tried in full once.
    step = 1 if policy == "valid-rows" else 3
    for crash_at, name in list(enumerate(names, start=1))[::step]:
        if name != BEFORE or step > 1:
            world = worlds()
            live(world, policy, settings, [crash_at])
            assert world.left(2) == wanted, (crash_at, name)
            world.end()


@pytest.mark.parametrize("policy", ["valid-rows", "all-or-none"])
def test_many_processes_that_die_one_after_the_other(worlds: Worlds, policy: str) -> None:
    """With several threads; each process gets only a little further."""
    settings: dict[str, object] = {"chunk_rows": 2, "threads": 3}
    quiet = worlds()
    live(quiet, policy, settings, [])
    wanted = quiet.left(2)
    for seed in range(3):
        chance = random.Random(seed)
        crashes = [chance.randint(1, 14) for _ in range(chance.randint(3, 9))]
        world = worlds()
        live(world, policy, settings, crashes)
        assert world.left(2) == wanted, f"seed {seed}: {crashes}"
        world.end()
