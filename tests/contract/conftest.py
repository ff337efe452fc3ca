"""Helps the contract suites to run a table of rows through the real flow."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.connector import Connector
from paybatch.domain.dialect import Dialect
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place
from paybatch.flow.report import report
from paybatch.flow.sample import rows_of
from sandbox_support import Outside, outside

Rows = Sequence[Mapping[str, str]]

# What a connector with an effect outside speaks to in these tests -> the settings of its gates.
STAND_INS: dict[str, Callable[[Outside], dict[str, str]]] = {
    "sandbox_http": lambda sandbox: {"url": sandbox.url},
}


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Give a running sandbox, where nothing goes wrong and what is pending stays so."""
    with outside(tmp_path_factory.mktemp("sandbox")) as found:
        found.control(settle_seconds=3_600)
        yield found


@pytest.fixture
def gate_settings(connector: Connector, request: pytest.FixtureRequest) -> dict[str, str]:
    """Give the settings of a connector's gate; what it speaks to is running."""
    if connector.inline:
        return {}
    assert connector.name in STAND_INS, f"give {connector.name} a stand-in, in this file"
    return STAND_INS[connector.name](request.getfixturevalue("sandbox"))


def written(dialect: Dialect, rows: Rows) -> bytes:
    """Write rows (by field name) as a request file of a dialect, without what it cannot carry."""
    carried = set(dialect.columns.values())
    every = dict.fromkeys(name for row in rows for name in row)
    names = [name for name in every if name in carried]
    columns = {name: dialect.column_of(name) for name in names}
    words = {
        name: {ours: word for word, ours in table.items()} for name, table in dialect.words.items()
    }
    table = {
        columns[name]: [
            words.get(name, {}).get(row.get(name, ""), row.get(name, "")) for row in rows
        ]
        for name in names
    }
    buffer = io.BytesIO()
    pl.DataFrame(table).write_csv(buffer)
    return buffer.getvalue()


def samples(kinds: frozenset[str] | None = None) -> list[dict[str, str]]:
    """Give every sample of these kinds, each with its kind, those that others need first."""
    chosen = [kind for name, kind in registry.kinds().items() if kinds is None or name in kinds]
    # What is put on a list is refused behind it: such rows come last.
    chosen.sort(key=lambda kind: (kind.waits_for_all, not kind.pays, kind.name))
    return [row for kind in chosen for row in rows_of(kind)]


@pytest.fixture
def run(engine: Engine, place: Place, customer: str) -> Callable[[str, bytes], pl.DataFrame]:
    """Give a function that takes a request file of a dialect to its result, all cells as text."""

    assert customer, "samples name it"

    def run(dialect: str, request: bytes) -> pl.DataFrame:
        options = Request(file_name="contract.csv", dialect=dialect)
        done = batches.run(engine, place, [request], options)
        assert done.state == "completed"
        target = io.BytesIO()
        report(engine, done, place, target)
        return pl.read_csv(target.getvalue(), infer_schema=False)

    return run


@pytest.fixture
def sample_rows() -> Callable[[frozenset[str] | None], list[dict[str, str]]]:
    """Give the function `samples`."""
    return samples


@pytest.fixture
def write() -> Callable[[Dialect, Rows], bytes]:
    """Give the function `written`."""
    return written
