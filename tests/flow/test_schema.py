"""Old and new programs on one schema: who may use it, and what is said to the others."""

import re
from collections.abc import Callable
from importlib import resources

import pytest
from prometheus_client import CollectorRegistry

from outside_support import CARD, hand_in
from paybatch.flow.engine import Engine, open_engine
from paybatch.flow.schema import SCHEMA_VERSION, SchemaBehindError, schema_fault
from paybatch.flow.watch import page
from paybatch.flow.worker import run_worker, take_on_left
from paybatch.settings import Settings
from paybatch.store.directory import Schema

Becomes = Callable[[int, int], None]
UPDATE = re.compile(
    r"UPDATE installation SET schema_version = (\d+), readable_from = (\d+);", re.IGNORECASE
)


@pytest.fixture
def becomes(engine: Engine) -> Becomes:
    """Give a function that sets what a migration of another release would set."""

    def change(version: int, readable_from: int) -> None:
        with engine.database.transaction() as connection:
            statement = "UPDATE installation SET schema_version = %s, readable_from = %s"
            connection.execute(statement, [version, readable_from])

    return change


@pytest.mark.parametrize(
    ("version", "readable_from", "says"),
    [
        (0, 0, "Run `paybatch migrate`."),
        (SCHEMA_VERSION - 1, 1, "Run `paybatch migrate`."),
        (SCHEMA_VERSION, SCHEMA_VERSION, None),
        (SCHEMA_VERSION + 1, SCHEMA_VERSION, None),
        (SCHEMA_VERSION + 2, SCHEMA_VERSION, None),
        (SCHEMA_VERSION + 2, SCHEMA_VERSION + 1, "Update paybatch."),
    ],
)
def test_who_may_use_a_schema(version: int, readable_from: int, says: str | None) -> None:
    fault = schema_fault(Schema(version, readable_from))
    assert fault is None if says is None else fault is not None and fault.endswith(says)


def test_a_program_works_with_a_newer_schema_that_only_added(
    engine: Engine, becomes: Becomes, settings: Settings
) -> None:
    becomes(SCHEMA_VERSION + 1, SCHEMA_VERSION)
    open_engine(settings).close()
    take_on_left(engine)
    assert hand_in(engine, f"sale,5,USD,{CARD},,\n").state == "completed"
    assert page(engine, CollectorRegistry(), "/ready")[2] == b"ready\n"


def test_a_program_refuses_a_schema_that_is_not_for_it_any_more(
    engine: Engine, becomes: Becomes, settings: Settings
) -> None:
    becomes(SCHEMA_VERSION + 2, SCHEMA_VERSION + 1)
    with pytest.raises(SchemaBehindError, match=r"Update paybatch\.$"):
        open_engine(settings)
    status, _, said = page(engine, CollectorRegistry(), "/ready")
    assert (status, said.endswith(b"Update paybatch.\n")) == (503, True)
    with pytest.raises(SchemaBehindError):
        run_worker(engine, told=lambda _: None)


def test_a_worker_that_runs_ends_when_the_schema_is_for_it_no_more(
    engine: Engine, becomes: Becomes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paybatch.flow.worker.EVERY_MINUTE", "* * * * * */1")
    # It says that it works when its first sweep is still ahead: the second one finds this.
    swept: list[int] = []

    def sweep_once(engine: Engine) -> None:
        swept.append(1)
        if len(swept) == 2:
            becomes(SCHEMA_VERSION + 2, SCHEMA_VERSION + 1)
        take_on_left(engine)

    monkeypatch.setattr("paybatch.flow.worker.take_on_left", sweep_once)
    with pytest.raises(SchemaBehindError):
        run_worker(engine, told=lambda _: None)
    assert len(swept) == 2


def test_each_migration_leaves_the_version_before_it_working() -> None:
    """The numbers at least: that the old program works with it a release must try."""
    folder = resources.files("paybatch.store") / "schema"
    files = sorted((each.name, each.read_text("utf-8")) for each in folder.iterdir())
    assert [int(name[:4]) for name, _ in files] == list(range(1, SCHEMA_VERSION + 1))
    for number, (name, text) in enumerate(files[1:], start=2):
        found = UPDATE.findall(text)
        assert found, f"{name} says no version: {UPDATE.pattern}"
        version, readable_from = map(int, found[-1])
        assert version == number, f"{name} says that it is version {version}"
        assert readable_from < number, f"{name}: the version before must go on working"
