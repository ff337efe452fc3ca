"""What several tests need."""

import io

import polars as pl

from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place
from paybatch.flow.report import report
from paybatch.store import ledger


def run(engine: Engine, place: Place, text: str, **options: object) -> pl.DataFrame:
    """Run a file and give its result as a table of text."""
    request = Request(file_name="test.csv", **options)  # type: ignore[arg-type]  # its options
    done = batches.run(engine, place, [text.encode()], request)
    assert done.state == "completed"
    target = io.BytesIO()
    report(engine, done, place, target)
    return pl.read_csv(target.getvalue(), infer_schema=False)


def laws_hold(engine: Engine) -> bool:
    """Tell whether the laws of the ledger hold."""
    with engine.database.transaction() as connection:
        broken = ledger.broken_balances(connection) + ledger.broken_laws(connection)
    assert not broken, str(broken)
    return True


def idle_here() -> set[str]:
    """Name the kinds whose sample finds nothing to do: inline connectors leave nothing pending."""
    return {name for name, kind in registry.kinds().items() if kind.retries}
