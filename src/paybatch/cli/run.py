"""``paybatch run`` and ``paybatch check``: a file in, a result for every row out."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from paybatch.cli import result_file, show_batch, show_preview
from paybatch.cli.kept import kept
from paybatch.cli.opening import batch_name, opened, usage
from paybatch.cli.output import NOT_ALL_APPROVED, ONLY_UNKNOWN, REFUSED, err, fail, show_json
from paybatch.cli.progress import Progress
from paybatch.cli.steps import Steps, Took
from paybatch.domain.delimited import FileRefused
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request, RequestWrongError, SeenBeforeError
from paybatch.flow.place import Place, PlaceUnknownError, find_place
from paybatch.flow.preview import preview
from paybatch.flow.summary import summarize
from paybatch.settings import Settings
from paybatch.store.batches import Batch

PIECE_BYTES = 1 << 20
STOP_AFTER = re.compile("stop-after=0*[1-9][0-9]{0,8}")

File = Annotated[str, typer.Argument(help="The file; - reads standard input.")]
Dialect = Annotated[str | None, typer.Option(help="The file's language; default: found out.")]
Kind = Annotated[
    str | None,
    typer.Option(help="The kind of rows that name none; also in the dialect's own word."),
]
Merchant = Annotated[str | None, typer.Option(help="Whose payments these are.")]
Gate = Annotated[str | None, typer.Option(help="The gate of rows that name none.")]
Results = Annotated[Path | None, typer.Option(help="Where the result goes.")]
Policy = Annotated[
    str,
    typer.Option(
        help="valid-rows; all-or-none (judged once, before the first row is sent: declines and "
        "what others do to the same payments can still leave a part); or stop-after=N (bad rows; "
        "what is under way, as all rows of one payment are, finishes)."
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="How many.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def pieces_of(file: str) -> Iterator[bytes]:
    """Read a file, or standard input, piece by piece; one that breaks off ends with code 2."""
    try:
        source = sys.stdin.buffer if file == "-" else Path(file).open("rb")  # noqa: SIM115 - closed
        with source:
            while piece := source.read(PIECE_BYTES):
                yield piece
    except OSError as error:
        usage(False, f"{file} cannot be read ({error.strerror}). Nothing was done.")


def check_usage(file: str, policy: str = "valid-rows") -> None:
    """End with exit code 2 when the file cannot be read, or the policy cannot be meant."""
    usage(file != "-" or sys.stdin is not None, "There is no standard input.")
    try:
        usage(file == "-" or Path(file).is_file(), f"There is no file {file}.")
        if file != "-":
            Path(file).open("rb").close()
    except OSError as error:
        usage(False, f"{file} cannot be read ({error.strerror}).")
    known = policy in {"all-or-none", "valid-rows"} or STOP_AFTER.fullmatch(policy)
    sentence = f"Policy {policy!r} is not one of all-or-none, valid-rows, stop-after=N."
    usage(bool(known), sentence)


def place_of(engine: Engine, settings: Settings, merchant: str | None, gate: str | None) -> Place:
    """Find the merchant and gate of a file; end with exit code 2 when a wrong one was named."""
    try:
        return find_place(engine, settings.sender, merchant, gate)
    except PlaceUnknownError as error:
        fail(str(error), 1 if merchant is None and gate is None else 2)


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
    result_file.check(file, results)
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
        place = place_of(engine, settings, merchant, gate)
        progress = Progress(engine, steps, is_shown=not as_json)
        with progress, kept(engine, progress):
            try:
                done = batches.run(engine, place, pieces_of(file), request, progress.listener)
            except RequestWrongError as error:
                fail(str(error), 2)
            except FileRefused as error:
                refuse(f"{error.sentence} Nothing was done.", as_json=as_json)
            except SeenBeforeError as error:
                refuse(seen_before(engine, error), as_json=as_json)
            path = result_file.path_of(file, batch_name(engine, done.id), results)
            result_file.write(engine, done, path, progress)
        took = Took(done.row_count, steps.seconds())
        conclude(engine, done, path, took, as_json=as_json, strict=strict)


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


def conclude(
    engine: Engine,
    batch: Batch,
    path: Path,
    took: Took,
    *,
    as_json: bool,
    strict: bool,
) -> None:
    """Say what became of a batch, and end with the exit code that says it too."""
    outcomes = summarize(engine, batch)
    if as_json:
        show_json(show_batch.as_object(engine, batch, outcomes, took=took, path=path))
    else:
        show_batch.show_run(engine, batch, outcomes, took, path)
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
        place = place_of(engine, settings, merchant, gate)
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
