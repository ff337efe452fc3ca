"""A house for one run: a home of its own with an embedded PostgreSQL at the product's settings."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from paybatch.store import embedded


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    rows: int = 1_000_000
    cards: int = 50_000
    many_rows: int = 3_000_000
    captures: int = 500_000
    refunds: int = 50_000
    outside_rows: int = 60_000
    plain_rows: int = 500
    calls: int = 500
    calls_at_once: int = 9_600
    plain_calls_at_once: int = 960
    pgbench_scale: int = 50
    pgbench_seconds: int = 30


QUICK = Sizes(
    rows=100_000,
    cards=5_000,
    many_rows=200_000,
    captures=50_000,
    refunds=10_000,
    outside_rows=10_000,
    plain_rows=100,
    calls=100,
    calls_at_once=1_600,
    plain_calls_at_once=320,
    pgbench_scale=10,
    pgbench_seconds=5,
)


@dataclass(frozen=True)
class House:
    """Where a run is at home; ``folder`` is for its files, ``home`` is paybatch's."""

    folder: Path
    sizes: Sizes

    @property
    def home(self) -> Path:
        """The folder that ``PAYBATCH_HOME`` names."""
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process of this house: product settings, but for its home."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PAYBATCH_", "PG"))}
        return {**kept, "PAYBATCH_HOME": str(self.home)}

    def url(self) -> str:
        """Give the database's address; starts the server where it is down."""
        return embedded.start(self.home)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement outside a transaction, and give its rows."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def settle(self) -> None:
        """Write out what the measure before left, so that it does not weigh on the next."""
        self.execute("CHECKPOINT")


@contextmanager
def opened_house(sizes: Sizes) -> Iterator[House]:
    """Make a house, and stop its server and delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="paybatch-bench-"))
    folder.chmod(0o711)  # the server's own user must be able to pass
    house = House(folder, sizes)
    try:
        yield house
    finally:
        embedded.stop(house.home)
        shutil.rmtree(folder, ignore_errors=True)
