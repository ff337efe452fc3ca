"""``paybatch batch``: look at batches, take them on, stop them."""

from typing import Annotated

import typer

from paybatch.cli import result_file, show_batch
from paybatch.cli import run as running
from paybatch.cli.kept import kept
from paybatch.cli.opening import batch_name, batch_number, opened, usage
from paybatch.cli.output import amount, fail, say, show, show_json
from paybatch.cli.progress import Progress
from paybatch.cli.steps import Steps, Took
from paybatch.flow import batch as batches
from paybatch.flow import control
from paybatch.flow.children import made_by_rows
from paybatch.flow.engine import load_batch
from paybatch.flow.summary import summarize
from paybatch.settings import Settings
from paybatch.store import batches as stored

app = typer.Typer(help="Look at batches, take them on, stop them.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="The batch's id.")]
OUTCOMES = ("approved", "declined", "failed", "rejected", "replayed", "cancelled", "unknown")
NEWEST = (1 << 63) - 1


@app.command(name="list")
def list_(
    *,
    limit: running.Limit = 50,
    as_json: running.Json = False,
) -> None:
    """List batches, newest first."""
    with opened() as engine, engine.database.transaction() as connection:
        rows = stored.list_batches(connection, NEWEST, limit)
        named = [{**row, "id": batch_name(engine, row["id"])} for row in rows]
    columns = {
        "id": "id",
        "state": "state",
        "row_count": "rows",
        "dialect": "dialect",
        "merchant": "merchant",
        "file_name": "file",
        "created_at": "received (UTC)",
    }
    show(named, columns, "Batches", as_json=as_json)


@app.command(name="show")
def show_(name: Id, *, as_json: running.Json = False) -> None:
    """Show one batch: its state, outcomes and sums."""
    with opened() as engine:
        batch = load_batch(engine, batch_number(engine, name))
        outcomes = summarize(engine, batch)
        if as_json:
            show_json(show_batch.as_object(engine, batch, outcomes))
        else:
            show_batch.show_batch(engine, batch, outcomes)


@app.command()
def results(
    name: Id,
    *,
    results: running.Results = None,
    only: Annotated[str | None, typer.Option(help="Rows of one outcome.")] = None,
    as_json: running.Json = False,
) -> None:
    """Write the result file of a batch, at any time."""
    usage(only is None or only in OUTCOMES, f"--only takes one of {', '.join(OUTCOMES)}.")
    with opened() as engine:
        batch = load_batch(engine, batch_number(engine, name))
        path = result_file.path_of("-", name, results)
        result_file.write(engine, batch, path, only=frozenset({only} if only else ()))
    if as_json:
        show_json({"id": name, "state": batch.state, "results": str(path)})
    else:
        say(f"Result: {path}")


@app.command()
def children(
    name: Id,
    *,
    only: Annotated[str | None, typer.Option(help="Those of one outcome.")] = None,
    limit: running.Limit = 50,
    as_json: running.Json = False,
) -> None:
    """List the operations that rows of a batch made, such as the captures of a capture_all."""
    usage(only is None or only in OUTCOMES, f"--only takes one of {', '.join(OUTCOMES)}.")
    with opened() as engine:
        found = made_by_rows(engine, load_batch(engine, batch_number(engine, name)), only, limit)
    rows = [
        {
            **each,
            "requested": amount(each["amount_minor"], each["currency"]),
            "approved": amount(each["approved_minor"], each["currency"]),
        }
        for each in found
    ]
    columns = {
        "line": "row", "id": "id", "kind": "operation", "payment": "payment",
        "gate": "gate", "state": "outcome", "requested": "requested", "approved": "approved",
        "currency": "currency", "message": "what was said",
    }  # fmt: skip
    show(found if as_json else rows, columns, "Operations that rows made", as_json=as_json)


@app.command()
def resume(name: Id, *, results: running.Results = None, as_json: running.Json = False) -> None:
    """Take a batch on from wherever it stands: paused, killed or only received."""
    steps = Steps()
    result_file.check("-", results)
    with opened() as engine:
        batch = load_batch(engine, batch_number(engine, name))
        try:
            control.resume(engine, batch, _actor())
        except control.NotNowError as error:
            fail(str(error))
        progress = Progress(engine, steps, is_shown=not as_json)
        with progress, kept(engine, progress):
            progress.listener.received(batch.id)
            done = batches.go_on(engine, batch.id, progress.listener)
            path = result_file.path_of("-", name, results)
            result_file.write(engine, done, path, progress)
        took = Took(progress.rows, steps.seconds())
        running.conclude(engine, done, path, took, as_json=as_json, strict=False)


@app.command()
def pause(name: Id, *, as_json: running.Json = False) -> None:
    """Make no new claims; rows under way finish."""
    _stop(name, cancels=False, as_json=as_json)


@app.command()
def cancel(name: Id, *, as_json: running.Json = False) -> None:
    """Send nothing more; rows under way finish, the rest becomes cancelled."""
    _stop(name, cancels=True, as_json=as_json)


def _actor() -> str:
    return f"sender:{Settings().sender}"


def _stop(name: str, *, cancels: bool, as_json: bool) -> None:
    with opened() as engine:
        batch = load_batch(engine, batch_number(engine, name))
        act = control.cancel if cancels else control.pause
        try:
            done = act(engine, batch, _actor())
        except control.NotNowError as error:
            fail(str(error))
        outcomes = summarize(engine, done)
        if as_json:
            show_json(show_batch.as_object(engine, done, outcomes))
        else:
            show_batch.show_batch(engine, done, outcomes)
