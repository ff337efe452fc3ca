"""Each request file of this folder gives its result file, byte for byte."""

import io
from pathlib import Path

import pytest

from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place
from paybatch.flow.report import report
from paybatch.store import ledger

HERE = Path(__file__).parent
ENDING = ".result.csv"
RESULTS = sorted(HERE.glob(f"*/*{ENDING}"))
REQUESTS = sorted(set(HERE.glob("*/*.csv")) - set(RESULTS))


def result_of(request: Path) -> Path:
    """Give the path of a request's result."""
    return request.with_name(request.stem + ENDING)


def made(engine: Engine, place: Place, request: Path) -> bytes:
    """Take a request through the flow; its folder names the dialect."""
    options = Request(file_name=request.name, dialect=request.parent.name)
    done = batches.run(engine, place, [request.read_bytes()], options)
    assert (done.id, done.state) == (1, "completed")
    target = io.BytesIO()
    report(engine, done, place, target)
    return target.getvalue()


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_request_gives_its_result(
    path: Path, engine: Engine, place: Place, request: pytest.FixtureRequest
) -> None:
    result = made(engine, place, path)
    with engine.database.transaction() as connection:
        assert ledger.broken_balances(connection) + ledger.broken_laws(connection) == []
    if request.config.getoption("--rewrite", default=False):
        result_of(path).write_bytes(result)
    assert result_of(path).is_file(), "run `make golden` and read what it wrote"
    assert result.decode() == result_of(path).read_bytes().decode(), (
        "if this change is meant, run `make golden` and read the diff"
    )


def test_no_result_is_left_over(request: pytest.FixtureRequest) -> None:
    orphans = sorted(set(RESULTS) - {result_of(path) for path in REQUESTS})
    if request.config.getoption("--rewrite", default=False):
        for path in orphans:
            path.unlink()
        orphans = []
    assert not orphans, f"no request stands beside {orphans}: run `make golden`"


def test_every_folder_is_a_dialect() -> None:
    assert {path.parent.name for path in (*REQUESTS, *RESULTS)} == set(registry.dialects())
