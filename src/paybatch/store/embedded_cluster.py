"""The embedded PostgreSQL's cluster: made once, and its settings, access rules and socket folder.

Settings are written anew at each start, so that another version of paybatch brings its own. What
they say of safety cannot be changed: every commit is on the disk, and only the operating system's
user who owns home is let in, by the identity that the kernel vouches for (``peer``).
"""

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from paybatch.store.embedded_home import (
    EmbeddedError,
    Layout,
    ServerUser,
    give_to,
    sync_folder,
    user_of,
    write_file,
)
from paybatch.store.embedded_programs import POSTGRES_MAJOR

DATABASE = "paybatch"
ROLE = "paybatch"
PORT = 5432  # part of the socket's name only: nothing listens on the network
SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
INITDB_SECONDS_MAX = 300
MEGABYTE = 1 << 20

FIXED_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
}
DEFAULT_SETTINGS = {
    "max_connections": "100",
    "work_mem": "64MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "30min",
    "wal_compression": "off",  # the wheel has no lz4, and pglz costs more than it saves
    "io_method": "worker",
    "jit": "off",
    "autovacuum": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",  # start and status read what the server says
    "log_min_messages": "warning",
    # Statements, keys and rows of a failed load hold customers' data: they are not for a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


def ensure_cluster(layout: Layout, user: ServerUser, programs: Path) -> None:
    """Make the cluster if it is missing: beside its place, synced, then by a rename.

    Raises EmbeddedError where it cannot be made, or is of another version of PostgreSQL.
    """
    for leftover in layout.home.glob("postgres.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if not layout.data.exists():
        fresh = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=layout.home))
        try:
            give_to(fresh, user)
            _initdb(layout, user, programs, fresh)
            fresh.rename(layout.data)
            sync_folder(layout.home)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    _check_version(layout)


def _initdb(layout: Layout, user: ServerUser, programs: Path, fresh: Path) -> None:
    """Fill an empty folder with a new cluster; initdb itself puts it onto the disk."""
    command = [str(programs / "initdb"), "--pgdata", fresh.name, "--username", ROLE]
    command += ["--encoding=UTF8", "--locale=C", "--auth-local=peer", "--auth-host=reject"]
    try:
        done = user.run(command, folder=layout.home, timeout_seconds=INITDB_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EmbeddedError(
            f"initdb cannot make a cluster in {layout.home}: {problem}"
        ) from problem
    if done.returncode != 0:
        raise EmbeddedError(explain(done.stdout, layout))


def _check_version(layout: Layout) -> None:
    """Raise EmbeddedError unless the folder is a cluster of our version of PostgreSQL."""
    try:
        found = (layout.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError as problem:
        raise EmbeddedError(
            f"{layout.data} is not a PostgreSQL cluster. Move that folder away and start again."
        ) from problem
    if found != str(POSTGRES_MAJOR):
        raise EmbeddedError(
            f"{layout.data} was made by PostgreSQL {found}, this is {POSTGRES_MAJOR}. "
            "Dump it with the version of paybatch that made it, then load it into a new home."
        )


def write_settings(layout: Layout, user: ServerUser, settings: Mapping[str, str]) -> None:
    """Write PostgreSQL's three files of settings; makes the socket's folder.

    Raises EmbeddedError for a setting that is not a name and one line, or is not to be changed.
    """
    for name, value in settings.items():
        if name in {*FIXED_SETTINGS, "unix_socket_directories", "hba_file", "ident_file"}:
            raise EmbeddedError(f"The setting {name} cannot be changed: it keeps the data safe.")
        if not re.fullmatch(r"[a-z_][a-z0-9_.]*", name) or not value.isprintable():
            raise EmbeddedError(f"The setting {name!r} is not a name with one line of text.")
    folder = _make_socket_folder(layout, user)
    all_settings = DEFAULT_SETTINGS | _memory_settings(_memory_bytes()) | dict(settings)
    all_settings |= FIXED_SETTINGS | {"unix_socket_directories": str(folder)}
    lines = [f"{name} = '{_quoted(value)}'\n" for name, value in all_settings.items()]
    note = "# Written by paybatch at each start: what is changed here is lost.\n"
    write_file(layout.data / "postgresql.conf", note + "".join(lines), user)
    access = f"local all {ROLE} peer map=owner\nlocal replication {ROLE} peer map=owner\n"
    write_file(layout.data / "pg_hba.conf", note + access, user)
    caller = user_of(os.geteuid()).name
    write_file(layout.data / "pg_ident.conf", f'{note}owner "{caller}" {ROLE}\n', user)


def _quoted(value: str) -> str:
    """Write a value as it stands between quotes in postgresql.conf."""
    return value.replace("\\", "\\\\").replace("'", "''")


def _memory_settings(memory_bytes: int) -> dict[str, str]:
    """Shared memory: 1 GB of buffers, at most a quarter of the machine's.

    A part for parallel queries is set aside with it: containers give little of the other kind.
    """
    buffers_megabytes = max(16, min(1024, memory_bytes // 4 // MEGABYTE))
    return {
        "shared_buffers": f"{buffers_megabytes}MB",
        "min_dynamic_shared_memory": f"{buffers_megabytes // 8}MB",
    }


def _memory_bytes() -> int:
    """Memory of the machine, or of the container if that is less."""
    whole = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):  # ValueError: the limit is the word "max"
        return min(whole, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return whole


def socket_folder(layout: Layout) -> Path:
    """Folder of the server's socket: home/run, or the noted one; it need not exist yet."""
    folder = layout.home / "run"
    if not _holds_socket(folder):
        with suppress(OSError):
            return Path(layout.socket_note.read_text(encoding="utf-8"))
    return folder


def _make_socket_folder(layout: Layout, user: ServerUser) -> Path:
    """Make the socket's folder, mode 0700, for the server's user.

    For a home with a long path it is in the temporary folder, where it must be one that nobody
    else has made, and is noted in home: all processes, whatever their TMPDIR, find the same.
    """
    folder = socket_folder(layout)
    if not _holds_socket(folder):
        name = "paybatch-" + hashlib.sha256(os.fsencode(layout.home)).hexdigest()[:16]
        shelter = Path(tempfile.gettempdir()).resolve()
        folder = shelter / name
        if not _holds_socket(folder):
            folder = Path("/tmp") / name  # noqa: S108 - made and checked below
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        give_to(folder, user)
    if folder.parent == layout.home:
        return folder
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != user.user_id:
        folder = Path(tempfile.mkdtemp(prefix="paybatch-", dir=folder.parent))
        give_to(folder, user)
    write_file(layout.socket_note, str(folder), user_of(os.geteuid()))
    return folder


def _holds_socket(folder: Path) -> bool:
    """Whether a socket's path fits there, and needs no quoting anywhere."""
    path = os.fsencode(folder / f".s.PGSQL.{PORT}")
    plain = re.fullmatch(r"[A-Za-z0-9_./+@-]+", str(folder))
    return len(path) <= SOCKET_PATH_BYTES_MAX and plain is not None


TELLING_WORDS = r"FATAL|PANIC|error|could not|invalid|unrecognized"
REASONS = {
    "No space left on device": "The disk is full. Free some space, then start again.",
    "Disk quota exceeded": "The disk quota is used up. Free some space, then start again.",
    "Read-only file system": "The disk is read-only. Choose another folder with PAYBATCH_HOME.",
    "could not map anonymous shared memory": "There is too little memory for shared_buffers.",
    "Cannot allocate memory": "There is too little memory for shared_buffers.",
    "errors in configuration": "A setting is wrong. Correct what was passed to start.",
    "configuration file": "A setting is wrong. Correct what was passed to start.",
    "Permission denied": "A folder or file belongs to the wrong user. Set its owner right.",
}


def trouble(words: str, layout: Layout) -> str | None:
    """Make a sentence of what a server met that is gone now; None where that is not known."""
    for line in _lines(words):
        advice = next((each for part, each in REASONS.items() if part in line), None)
        if advice is not None:
            return f"{advice} PostgreSQL said: {line} (log: {layout.log})."
    return None


def _lines(words: str) -> list[str]:
    """Give the lines of a log without their time and process id."""
    return [re.sub(r"^\d.*? \[\d+\] ", "", line.strip()) for line in words.splitlines()]


def explain(words: str, layout: Layout) -> str:
    """Make a sentence for people of what PostgreSQL said when it gave up."""
    lines = _lines(words)
    telling = [line for line in lines if re.search(TELLING_WORDS, line)]
    said = (telling or [*filter(None, lines), "nothing"])[0]
    advice = next((each for part, each in REASONS.items() if part in words), "")
    return f"PostgreSQL cannot run in {layout.home}. {advice} It said: {said} (log: {layout.log})"
