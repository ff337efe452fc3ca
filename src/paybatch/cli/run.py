"""``paybatch run`` and ``paybatch check``: a file in, a result for every row out."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from paybatch.cli import show_batch, show_preview
from paybatch.cli.opening import batch_name, opened, usage
from paybatch.cli.output import NOT_ALL_APPROVED, ONLY_UNKNOWN, REFUSED, err, fail, show_json
from paybatch.cli.progress import Progress
from paybatch.cli.steps import Steps
from paybatch.domain.delimited import FileRefused
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.place import find_place
from paybatch.flow.preview import preview
from paybatch.flow.receive import Request, RequestWrongError, SeenBeforeError
from paybatch.flow.report import report
from paybatch.flow.summary import summarize
from paybatch.settings import Settings
from paybatch.store.batches import Batch
from paybatch.store.database import DatabaseGoneError

PIECE_BYTES = 1 << 20
INTERRUPTED = 130  # what shells use for Ctrl-C

File = Annotated[str, typer.Argument(help="The file; - reads standard input.")]
Dialect = Annotated[str | None, typer.Option(help="The file's language; default: found out.")]
Kind = Annotated[str | None, typer.Option(help="The kind of rows that name none.")]
Merchant = Annotated[str | None, typer.Option(help="Whose payments these are.")]
Gate = Annotated[str | None, typer.Option(help="The gate of rows that name none.")]
Results = Annotated[Path | None, typer.Option(help="Where the result goes.")]
Policy = Annotated[str, typer.Option(help="all-or-none, valid-rows or stop-after=N.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def pieces_of(file: str) -> Iterator[bytes]:
    """Read a file, or standard input, piece by piece."""
    source = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - closed below
    with source:
        while piece := source.read(PIECE_BYTES):
            yield piece


def check_usage(file: str, policy: str = "valid-rows") -> None:
    """End with exit code 2 when the file or the policy cannot be meant."""
    usage(file == "-" or Path(file).is_file(), f"There is no file {file}.")
    name, _, limit = policy.partition("=")
    known = policy in {"all-or-none", "valid-rows"}
    stops = name == "stop-after" and limit.isdigit() and int(limit) > 0
    usage(known or stops, f"Policy {policy!r} is not one of all-or-none, valid-rows, stop-after=N.")


def results_path(file: str, name: str, wanted: Path | None) -> Path:
    """Choose where a result goes: as asked, else beside the input, named after it."""
    if wanted is not None:
        return wanted
    if file == "-":
        return Path(f"{name}.results.csv")
    name = file
    for ending in (".gz", ".zip", ".csv"):
        name = name.removesuffix(ending)
    return Path(f"{name}.results.csv")


def check_results(file: str, wanted: Path | None) -> None:
    """End with exit code 2 when a result could not be written, before anything is sent."""
    if wanted is None:
        return
    usage(not wanted.is_dir(), f"--results takes a file; {wanted} is a folder.")
    usage(wanted.parent.is_dir(), f"There is no folder {wanted.parent} for the result.")
    usage(os.access(wanted.parent, os.W_OK), f"The folder {wanted.parent} cannot be written to.")
    is_input = file != "-" and wanted.exists() and wanted.samefile(file)
    usage(not is_input, "The result would take the place of the file: give it another name.")


def run(
    file: File,
    *,
    dialect: Dialect = None,
    kind: Kind = None,
    merchant: Merchant = None,
    gate: Gate = None,
    results: Results = None,
    policy: Policy = "valid-rows",
    again: Annotated[bool, typer.Option(help="Also when the same file was handed in.")] = False,
    as_json: Json = False,
    strict: Annotated[bool, typer.Option(help="Exit 4 unless every row is approved.")] = False,
) -> None:
    """Carry out a file of operations and write a result for every row."""
    check_usage(file, policy)
    check_results(file, results)
    settings = Settings()
    request = Request(
        file_name="standard input" if file == "-" else Path(file).name,
        dialect=dialect,
        kind=kind,
        policy=policy,
        again=again,
    )
    steps = Steps()
    with opened(settings) as engine:
        place = find_place(engine, settings.sender, merchant, gate)
        with Progress(steps, is_shown=not as_json) as progress, kept(engine, progress):
            try:
                done = batches.run(engine, place, pieces_of(file), request, progress.listener)
            except RequestWrongError as error:
                fail(str(error), 2)
            except FileRefused as error:
                refuse(f"{error.sentence} Nothing was done.", as_json=as_json)
            except SeenBeforeError as error:
                refuse(seen_before(engine, error), as_json=as_json)
            path = results_path(file, batch_name(engine, done.id), results)
            write_results(engine, done, path, progress)
        conclude(engine, done, path, steps.seconds(), as_json=as_json, strict=strict)


@contextmanager
def kept(engine: Engine, progress: Progress) -> Iterator[None]:
    """Say how a batch goes on, when it is interrupted or the database breaks off."""
    try:
        yield
    except (DatabaseGoneError, KeyboardInterrupt) as error:
        if progress.batch_id is None:
            raise
        name = batch_name(engine, progress.batch_id)
        said = "Interrupted." if isinstance(error, KeyboardInterrupt) else str(error)
        code = INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1
        fail(f"{said} Batch {name} is kept: `paybatch batch resume {name}` takes it on.", code)


def refuse(sentence: str, *, as_json: bool) -> NoReturn:
    """End with exit code 3: nothing was done."""
    if as_json:
        show_json({"state": "refused", "reason": sentence})
    fail(sentence, REFUSED)


def seen_before(engine: Engine, error: SeenBeforeError) -> str:
    """Say which batch has the same bytes, and what can be done."""
    name = batch_name(engine, error.batch_id)
    if error.state in {"completed", "cancelled"}:
        hint = (
            f"`paybatch batch results {name}` gives its result; --again carries the file out again."
        )
    else:
        hint = f"It is {error.state}: `paybatch batch resume {name}` takes it on."
    return f"The same file was handed in before, as batch {name}. {hint} Nothing was done."


def write_results(
    engine: Engine,
    batch: Batch,
    path: Path,
    progress: Progress | None = None,
    only: frozenset[str] = frozenset(),
) -> None:
    """Write a batch's result file; it appears whole or not at all."""
    # A name of its own: two runs at once may write to the same path, and the last one stands.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    place = batches.find_place_of(engine, batch)
    if progress:
        progress.began("report")
    try:
        with part.open("xb") as target:
            advance = progress.reported if progress else (lambda _: None)
            report(engine, batch, place, target, only=only, advance=advance)
        part.replace(path)
    except OSError as error:
        name = batch_name(engine, batch.id)
        fail(
            f"The result cannot be written to {path} ({error.strerror}). The batch is {batch.state}"
            f" and kept: `paybatch batch results {name} --results PATH` writes it elsewhere."
        )
    finally:
        part.unlink(missing_ok=True)


def conclude(
    engine: Engine,
    batch: Batch,
    path: Path,
    steps: Mapping[str, float],
    *,
    as_json: bool,
    strict: bool,
) -> None:
    """Say what became of a batch, and end with the exit code that says it too."""
    outcomes = summarize(engine, batch)
    if as_json:
        show_json(show_batch.as_object(engine, batch, outcomes, steps=steps, path=path))
    else:
        show_batch.show_run(engine, batch, outcomes, steps, path)
    code = 0
    if batch.state == "refused":
        code = REFUSED
    elif batch.state == "waiting":
        code = ONLY_UNKNOWN
    elif batch.state != "completed":
        code = 1
    elif strict and set(outcomes) - {"approved", "replayed"}:
        code = NOT_ALL_APPROVED
    if code:
        raise typer.Exit(code)


def check(
    file: File,
    *,
    dialect: Dialect = None,
    kind: Kind = None,
    merchant: Merchant = None,
    gate: Gate = None,
    as_json: Json = False,
) -> None:
    """Read and check a file as `run` would, and show what it would do. Writes nothing."""
    check_usage(file)
    settings = Settings()
    request = Request(file_name=file, dialect=dialect, kind=kind)
    with opened(settings) as engine:
        place = find_place(engine, settings.sender, merchant, gate)
        try:
            found = preview(engine, place, pieces_of(file), request)
        except RequestWrongError as error:
            fail(str(error), 2)
        except FileRefused as error:
            refuse(f"{error.sentence} Nothing was done.", as_json=as_json)
        if as_json:
            show_json(show_preview.preview_object(engine, found))
        else:
            show_preview.show_preview(engine, found)
    err.print("Nothing was written or sent.")
