"""One embedded server for a test run, and a fresh database for every test that asks for one."""

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from paybatch.flow.engine import Engine, open_engine
from paybatch.flow.place import Place, find_place
from paybatch.flow.wallet import DEMO_CUSTOMER, make_demo_customer
from paybatch.settings import Settings
from paybatch.site.migrate import migrate
from paybatch.store import directory, embedded

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
_SMALL = {"shared_buffers": "256MB", "max_wal_size": "1GB"}
_numbers = count(1)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Give the address of a running server with a migrated database ``paybatch``."""
    home = Path(tempfile.mkdtemp(prefix="paybatch-tests-"))
    home.chmod(0o711)  # the server's own user must be able to pass
    url = embedded.start(home / "home", settings=_SMALL)
    migrate(url)
    yield url
    embedded.stop(home / "home")
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def database_url(server: str) -> Iterator[str]:
    """Give the address of a fresh migrated database."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(make_conninfo(server, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE paybatch STRATEGY file_copy")
    yield make_conninfo(server, dbname=name)
    with psycopg.connect(make_conninfo(server, dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Give settings for a fresh database and home."""
    return Settings(database_url=database_url, home=tmp_path / "home")


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """Give an engine with a fixed clock and a demo merchant with a sandbox gate (USD and JPY)."""
    opened = open_engine(settings, clock=lambda: NOW)
    with opened.database.transaction() as connection:
        directory.add_sender(connection, "local")
        directory.add_merchant(connection, "demo", "Demo merchant", "local")
        directory.add_gate(connection, gate_values("sandbox", currencies=["USD"]))
        directory.add_gate(connection, gate_values("many", currencies=["EUR", "JPY", "KWD", "USD"]))
    yield opened
    opened.close()


def gate_values(name: str, **changes: object) -> dict[str, object]:
    """Give the values of a sandbox gate of merchant ``demo``."""
    return {
        "merchant": "demo",
        "name": name,
        "connector": "sandbox",
        "mode": "test",
        "currencies": ["USD"],
        "zone": "UTC",
        "cut_off": "00:00",
        "settings": "{}",
        "capabilities": "{}",
        **changes,
    }


@pytest.fixture
def place(engine: Engine) -> Place:
    """Give the place of sender ``local``."""
    return find_place(engine, "local")


@pytest.fixture
def customer(engine: Engine, place: Place) -> str:
    """Give the customer of the samples, with a test card in its wallet."""
    make_demo_customer(engine, ("demo", place.merchant_id), "local")
    return DEMO_CUSTOMER


@pytest.fixture
def with_settings(engine: Engine) -> Callable[..., Engine]:
    """Give a function that gives the same engine with other settings."""
    return lambda **changes: replace(engine, settings=engine.settings.model_copy(update=changes))
