"""The simulator: worlds that are born equal, and what is left in them when a batch is done."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine, load_batch, open_engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import find_place
from paybatch.flow.report import report
from paybatch.settings import Settings
from paybatch.site.migrate import migrate
from paybatch.store import directory, embedded, ledger

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
HEADER = (
    "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference,payment,final,"
    "idempotency_key"
)
# What is left of a batch, without what may differ between equal runs: the numbers of accounts.
LEFT = {
    "batch": "SELECT id, state, row_count, wrapped_key IS NULL FROM batch ORDER BY id",
    "operation": "SELECT id, kind, accepted, amount_minor, reference FROM operation ORDER BY id",
    "outcome": "SELECT * FROM outcome ORDER BY merchant_id, id",
    "payment": "SELECT * FROM payment ORDER BY merchant_id, id",
    "transfer": (
        "SELECT t.operation_id, t.number, d.name, c.name, t.amount_minor FROM transfer AS t "
        "JOIN account AS d ON d.id = t.debit_account_id "
        "JOIN account AS c ON c.id = t.credit_account_id ORDER BY t.operation_id, t.number"
    ),
    "settlement": "SELECT * FROM settlement ORDER BY number, currency",
    "listing": "SELECT operation_id, what, value, is_listed FROM listing ORDER BY operation_id",
    "gate": "SELECT name, state, business_day, close_count FROM gate ORDER BY id",
    "tally": (
        "SELECT batch_id, kind, state, reason, currency, sum(row_count), sum(requested_minor), "
        "sum(approved_minor) FROM tally GROUP BY batch_id, kind, state, reason, currency "
        "HAVING sum(row_count) <> 0 ORDER BY 1, 2, 3, 4, 5"
    ),
    "row_error": "SELECT * FROM row_error ORDER BY batch_id, line, number",
    "row_text": "SELECT batch_id, line, cells FROM row_text ORDER BY batch_id, line",
    "idempotency": "SELECT * FROM idempotency ORDER BY key",
    "secret_block": "SELECT * FROM secret_block",
    "chunk": (
        "SELECT batch_id, number, kind, state, phase, row_count, fault_count FROM chunk "
        "ORDER BY batch_id, number"
    ),
    "audit": "SELECT action, subject FROM audit ORDER BY id",
}
_worlds = count(1)


@dataclass
class World:
    """A database and a home of their own; every process in it is an engine."""

    database_url: str
    home: Path
    engines: list[Engine] = field(default_factory=list)

    def engine(self, **changes: object) -> Engine:
        """Start a process: an engine that remembers nothing."""
        settings = Settings(database_url=self.database_url, home=self.home)
        opened = open_engine(settings.model_copy(update=changes), clock=lambda: NOW)
        self.engines.append(opened)
        return opened

    def end(self) -> None:
        """End every process, and the world."""
        self.close()
        name = conninfo_to_dict(self.database_url)["dbname"]
        postgres = make_conninfo(self.database_url, dbname="postgres")
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        shutil.rmtree(self.home, ignore_errors=True)

    def close(self) -> None:
        for each in self.engines:
            each.close()
        self.engines.clear()

    def rewind(self) -> None:
        """Give the next batch the number that it has in every other world."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("SELECT setval('batch_number', (SELECT max(id) FROM batch))")

    def batch_ids(self) -> list[int]:
        with psycopg.connect(self.database_url) as connection:
            rows = connection.execute("SELECT id FROM batch ORDER BY id").fetchall()
        return [row[0] for row in rows]

    def left(self, batch_id: int) -> dict[str, object]:
        """Give what is left when a batch is done; the laws must hold."""
        engine = self.engine()
        with engine.database.transaction() as connection:
            found: dict[str, object] = {
                name: connection.execute(sql).fetchall() for name, sql in LEFT.items()
            }
            assert not ledger.broken_balances(connection) + ledger.broken_laws(connection)
            assert not directory.broken_seals(connection)
        target = io.BytesIO()
        report(engine, load_batch(engine, batch_id), find_place(engine, "local"), target)
        found["result"] = target.getvalue()
        engine.close()
        found["uploads"] = [path.name for path in (self.home / "blobs").rglob("upload/*")]
        return found


def set_up(engine: Engine) -> None:
    """Make a merchant with a gate and payments of an earlier file."""
    earlier = [f"sale,{500 + n},USD,4111111111111111,12/39,,old-{n},,," for n in range(6)]
    earlier += [f"authorize,{300 + n},USD,5555555555554444,12/39,,held-{n},,," for n in range(6)]
    gate = {"merchant": "demo", "name": "sandbox", "connector": "sandbox", "mode": "test"}
    values = {**gate, "currencies": ["USD"], "zone": "UTC", "cut_off": "00:00"}
    with engine.database.transaction() as connection:
        directory.add_sender(connection, "local")
        directory.add_merchant(connection, "demo", "Demo merchant", "local")
        directory.add_gate(connection, {**values, "capabilities": "{}", "settings": "{}"})
    content = ["\n".join([HEADER, *earlier, ""]).encode()]
    done = batches.run(engine, find_place(engine, "local"), content, Request(file_name="old.csv"))
    assert done.state == "completed"


@pytest.fixture(scope="session")
def seed(server: str) -> Iterator[World]:
    """Give the world that all others are copies of: a merchant with payments of an earlier file."""
    name = f"seed_{os.getpid()}"
    home = Path(tempfile.mkdtemp(prefix="paybatch-simulator-"))
    with psycopg.connect(make_conninfo(server, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE paybatch STRATEGY file_copy")
    world = World(make_conninfo(server, dbname=name), home / "home")
    set_up(world.engine())
    world.close()
    yield world
    shutil.rmtree(home)


@pytest.fixture
def shaky(seed: World) -> Iterator[World]:
    """Give a world on a server of its own, which may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="paybatch-shaky-"))
    folder.chmod(0o711)  # the server's own user must be able to pass
    home = folder / "home"
    embedded.make_home(home)
    for name in ("keys", "blobs"):
        shutil.copytree(seed.home / name, home / name)
    url = embedded.start(home, settings={"shared_buffers": "128MB"})
    migrate(url)
    world = World(url, home)
    set_up(world.engine())
    world.close()
    yield world
    world.close()
    embedded.stop(home)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def worlds(server: str, seed: World, tmp_path: Path) -> Iterator[Callable[[], World]]:
    """Give a function that makes a new world, equal to all others."""
    made: list[World] = []
    postgres = make_conninfo(server, dbname="postgres")

    def make() -> World:
        name = f"world_{os.getpid()}_{next(_worlds)}"
        template = conninfo_to_dict(seed.database_url)["dbname"]
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        home = tmp_path / name
        shutil.copytree(seed.home, home)
        made.append(World(make_conninfo(server, dbname=name), home))
        return made[-1]

    yield make
    for world in made:
        world.end()
