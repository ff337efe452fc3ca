"""Where a result file goes, and how it gets there: whole or not at all."""

import fcntl
import glob
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from paybatch.cli.opening import batch_name, usage
from paybatch.cli.output import fail
from paybatch.cli.progress import Progress
from paybatch.domain.masking import mask_text
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.report import report
from paybatch.store.batches import Batch

PART = re.compile(r".*\.[0-9a-f]{8}\.part")
DEAD_SECONDS = 60


def path_of(file: str, name: str, wanted: Path | None) -> Path:
    """Choose where a result goes: as asked, else beside the input, named after it.

    A card number in the input's name is masked: nobody asked for a second file that has it.
    """
    if wanted is not None:
        return wanted
    if file == "-":
        return Path(f"{name}.results.csv")
    source = Path(file)
    stem = source.name
    for ending in (".gz", ".zip", ".csv"):
        stem = stem.removesuffix(ending)
    masked = mask_text(stem)
    stem = stem if masked == stem else masked.replace("*", "x")
    return source.with_name(f"{stem}.results.csv")


def check(file: str, wanted: Path | None) -> None:
    """End with exit code 2 when a result could not be written, before anything is sent."""
    path = path_of(file, "batch", wanted)
    hint = "" if wanted is not None else " Say with --results where the result goes."
    try:
        _check(file, path, hint)
    except OSError as error:
        usage(False, f"The result cannot be written to {path} ({error.strerror}).{hint}")


def _check(file: str, path: Path, hint: str) -> None:
    folder, writable = path.parent, os.W_OK | os.X_OK
    usage(folder.is_dir(), f"There is no folder {folder} for the result.{hint}")
    usage(os.access(folder, writable), f"The folder {folder} cannot be written to.{hint}")
    exists = path.exists()
    what = "a folder" if path.is_dir() else "not a file"  # root's /dev/null would be replaced
    usage(not exists or path.is_file(), f"The result goes to a file; {path} is {what}.{hint}")
    is_input = file != "-" and exists and path.samefile(file)
    usage(not is_input, "The result would take the place of the file: give it another name.")


def write(
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
        _drop_dead_parts(path, engine.clock().timestamp() - DEAD_SECONDS)
        with part.open("xb") as target:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(target, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _drop_dead_parts(path: Path, before: float) -> None:
    """Delete what writers of the same result left that were killed: untouched since, no lock."""
    for name in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        with suppress(OSError):
            if PART.fullmatch(name.name) and name.stat().st_mtime < before:
                with name.open("rb") as found:
                    fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    name.unlink()
