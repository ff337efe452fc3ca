"""What the commands say of a schema that is not theirs."""

import json
import subprocess
import sys

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli_support import Cli
from paybatch.flow.engine import Engine
from paybatch.flow.schema import SCHEMA_VERSION


def set_schema(engine: Engine, version: int, readable_from: int) -> None:
    """Set what a migration of another release would set."""
    with engine.database.transaction() as connection:
        statement = "UPDATE installation SET schema_version = %s, readable_from = %s"
        connection.execute(statement, [version, readable_from])


def test_doctor_tells_which(cli: Cli, engine: Engine) -> None:
    def state() -> str:
        found = {each["id"]: each for each in json.loads(cli("doctor", "--json").out)}
        return str(found["database.schema"]["state"])

    assert state() == "ok"
    set_schema(engine, SCHEMA_VERSION + 1, SCHEMA_VERSION)
    assert state() == "ok"
    set_schema(engine, SCHEMA_VERSION + 1, SCHEMA_VERSION + 1)
    assert state() == "fail"
    assert cli("merchant", "list").code == 1


def test_on_a_server_of_ones_own_only_migrate_makes_the_schema(
    cli: Cli, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{conninfo_to_dict(engine.database.url)['dbname']}_empty"
    url = make_conninfo(engine.database.url, dbname=name)
    with psycopg.connect(engine.database.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            monkeypatch.setenv("PAYBATCH_DATABASE_URL", url)
            refused = cli("merchant", "list")
            assert (refused.code, "Run `paybatch migrate`." in refused.err) == (1, True)
            words = [sys.executable, "-m", "paybatch", "migrate"]
            made = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
            assert made.stdout == f"The schema is version {SCHEMA_VERSION}.\n", made.stderr
            assert cli("merchant", "list").code == 0
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
