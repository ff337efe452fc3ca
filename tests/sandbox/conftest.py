"""One sandbox for a test run, as usual again before each test; a connector of little patience."""

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from paybatch.connectors import sandbox_http
from paybatch.outside import Line
from sandbox_support import USUAL, Outside, outside

Told = list[dict[str, object]]
_LINE = Line("tests", calls_in_flight=500, timeout_seconds=0.5)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """Give the sandbox of this run."""
    home: Path = tmp_path_factory.mktemp("sandbox")
    with outside(home, "--seed", "7") as found:
        yield found


@pytest.fixture
def sandbox(running: Outside) -> Outside:
    """Give it without any fault."""
    running.control(**USUAL)
    return running


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Callable[[pl.DataFrame], Told]:
    """Give a function that sends calls with a time-out of half a second."""
    monkeypatch.setattr(sandbox_http, "_LINE", _LINE)
    return lambda calls: _told(sandbox_http.CONNECTOR.send(calls))


@pytest.fixture
def look_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[pl.DataFrame], Told]:
    """Give a function that looks calls up."""
    monkeypatch.setattr(sandbox_http, "_LINE", _LINE)
    found = sandbox_http.CONNECTOR.look_up
    assert found is not None
    return lambda calls: _told(found(calls))


def _told(replies: Iterator[pl.DataFrame]) -> Told:
    return pl.concat(list(replies)).sort("operation").to_dicts()
