"""``paybatch doctor``, ``migrate`` and ``stop``."""

from datetime import datetime, timedelta, tzinfo

import psycopg
import pytest

from cli_support import GOOD, Cli, File
from paybatch.flow.engine import Engine


def states(cli: Cli) -> dict[str, str]:
    """Give the state of everything that is looked at."""
    return {each["id"]: each["state"] for each in cli("doctor", "--json").json}


def test_a_healthy_house(cli: Cli, file: File) -> None:
    cli("run", file(GOOD))
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    assert set(states(cli)) == {
        *("versions", "limits.file", "limits.open_files", "home.folder", "home.room"),
        *("database.server", "database.version", "database.safety", "database.schema"),
        *(
            "clock",
            "audit.chain",
            "gates.connectors",
            "keys.folder",
            "keys.bound",
            "blobs.store",
            "blobs.bound",
        ),
    }
    assert "fail" not in states(cli).values()


@pytest.mark.parametrize(("apart", "state"), [(5, "warn"), (11, "fail"), (-11, "fail")])
def test_clocks_that_are_apart(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, apart: int, state: str
) -> None:
    class Apart(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=apart)

    monkeypatch.setattr("paybatch.store.doctor.datetime", Apart)
    assert states(cli)["clock"] == state


def test_the_database_is_down(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYBATCH_DATABASE_URL", "postgresql://someone:hidden@127.0.0.1:1/none")
    done = cli("doctor")
    assert done.code == 1
    assert "fail  database.server" in done.out
    assert "user someone" in done.out
    assert "hidden" not in done.out + done.err
    assert "database.schema" not in states(cli)
    assert states(cli)["keys.folder"] == "ok"


def test_an_address_that_is_none_is_not_shown(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYBATCH_DATABASE_URL", "hidden nonsense")
    for done in (cli("doctor"), cli("batch", "list")):
        assert done.code == 1
        assert "is not an address such as" in done.out + done.err
        assert "hidden" not in done.out + done.err


def test_the_database_belongs_to_other_keys(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYBATCH_HOME", "other")
    found = states(cli)
    assert (found["keys.folder"], found["blobs.store"]) == ("fail", "fail")
    done = cli("batch", "list")  # makes keys of its own, and refuses
    assert (done.code, "belongs with key set" in done.err) == (1, True)
    found = states(cli)
    assert (found["keys.bound"], found["blobs.bound"]) == ("fail", "fail")
    assert "Set PAYBATCH_HOME" in cli("doctor").out


def test_an_embedded_server_that_is_down_is_not_started(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAYBATCH_DATABASE_URL")
    monkeypatch.setenv("PAYBATCH_HOME", "new")
    found = cli("doctor")
    assert found.code == 0
    assert "is down" in found.out
    assert "No embedded server is running" in cli("stop").out
    assert cli("stop", "--json").json == {"id": "server", "state": "down", "was_up": False}


def test_open_folders_and_changed_events_are_found(cli: Cli, file: File, engine: Engine) -> None:
    cli("run", file(GOOD))
    (engine.settings.home / "keys").chmod(0o755)
    engine.settings.home.chmod(0o777)
    with psycopg.connect(str(engine.settings.database_url)) as connection:
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE id = 1")
    found = states(cli)
    assert (found["home.folder"], found["keys.folder"]) == ("fail", "fail")
    assert found["audit.chain"] == "fail"
    assert "chmod 700" in cli("doctor").out


def test_a_server_is_not_ours_to_stop(cli: Cli) -> None:
    done = cli("stop")
    assert (done.code, "PAYBATCH_DATABASE_URL" in done.err) == (1, True)


def test_migrate_can_be_run_at_any_time(cli: Cli) -> None:
    assert cli("migrate", "--json").json["version"] == 1
    assert "version 1" in cli("migrate").out


def test_a_wrong_setting_is_a_sentence(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYBATCH_THREADS", "many")
    done = cli("batch", "list")
    assert (done.code, "PAYBATCH_THREADS" in done.err) == (1, True)


def test_a_connector_that_is_not_installed_is_told(cli: Cli, engine: Engine) -> None:
    with engine.database.transaction() as connection:
        connection.execute("UPDATE gate SET connector = 'elsewhere'")
    done = cli("doctor")
    assert done.code == 1
    assert "connectors that are not installed: elsewhere" in " ".join(done.out.split())
