"""The embedded PostgreSQL: one server for each home folder, shared by all processes that use it.

``start`` gives a connection string, whatever state it finds: no cluster, a stopped server, one
that was killed, one that another process is starting. The server belongs to nobody: it lives on
when the process that started it ends, until ``stop``. It counts as up when it answers a
connection, never because a process id or a file is there.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
import psycopg
from filelock import FileLock, Timeout

from paybatch.store.embedded_cluster import (
    DATABASE,
    ensure_cluster,
    explain,
    trouble,
    write_settings,
)
from paybatch.store.embedded_home import (
    EmbeddedError,
    Layout,
    check_passage,
    make_home,
    server_user,
)
from paybatch.store.embedded_programs import bin_path, reachable_programs
from paybatch.store.embedded_server import (
    MAINTENANCE_DATABASE,
    check_identity,
    conninfo,
    ensure_database,
    forget_dead_postmaster,
    has_lost_socket,
    log_after,
    orphans,
    postmaster,
    prepare_log,
    refusal,
)

__all__ = [
    "EmbeddedError",
    "Status",
    "bin_path",
    "is_up",
    "log_bytes",
    "make_home",
    "start",
    "status",
    "stop",
    "why_gone",
]

WAIT_SECONDS_MAX = 120
ANSWER_SECONDS_MAX = 5
PAUSE_SECONDS = 0.1
RECOVERING = "PostgreSQL is recovering after a crash."
PASSING_TROUBLES = ("is still in use", "already exists", "did not start in time")

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """How the server of a home is: its state, and its process id where it has one.

    ``starting`` is every server that is alive and does not answer: also one that recovers or stops.
    """

    state: Literal["up", "down", "starting"]
    pid: int | None


def start(
    home: Path, *, progress: Progress | None = None, settings: Mapping[str, str] | None = None
) -> str:
    """Give the connection string of database ``paybatch`` in home; starts what is not running.

    ``progress`` is called with a sentence for each thing that is waited for. ``settings`` change
    those of PostgreSQL, where they take effect at the next real start. Raises EmbeddedError.
    """
    layout = _layout(home)
    if refusal(layout, DATABASE) is None:
        return conninfo(layout)
    starter = _Starter(make_home(home), settings or {}, progress or (lambda _sentence: None))
    with _troubles_told(layout), _locked(layout, starter.say):
        starter.start()
    return conninfo(layout)


def stop(home: Path) -> None:
    """Stop the server of a home and wait for it; nothing happens where none is running.

    Open transactions of all its users are undone. Raises EmbeddedError if it takes too long.
    """
    layout = _layout(home)
    with _troubles_told(layout):
        if layout.data.exists():
            with _locked(layout, lambda _sentence: None):
                _stop_postmaster(layout)


def _stop_postmaster(layout: Layout) -> None:
    """Ask the server to end and wait until it has; the lock is held."""
    process = postmaster(layout)
    if process is None and refusal(layout, DATABASE) is None:
        raise EmbeddedError(
            f"PostgreSQL in {layout.home} runs where this process cannot see it, for example in "
            "another container. Stop it there."
        )
    if process is not None:
        _ask_to_end(process)
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while process is not None and postmaster(layout) is not None:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"PostgreSQL in {layout.home} (process {process.pid}) is still stopping after "
                f"{WAIT_SECONDS_MAX} seconds. Wait for it; its log is {layout.log}."
            )
        time.sleep(PAUSE_SECONDS)


def _ask_to_end(process: psutil.Process) -> None:
    """Send what PostgreSQL takes for a fast shutdown: clients are sent away, nothing is lost."""
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGINT)


def status(home: Path) -> Status:
    """Say how the server of a home is, by asking it; a home that is not there has none."""
    layout = _layout(home)
    answers = refusal(layout, DATABASE) is None
    process = postmaster(layout)
    if process is None:
        return Status("up" if answers else "down", None)
    return Status("up" if answers else "starting", process.pid)


def is_up(home: Path) -> bool:
    """Whether database ``paybatch`` of a home answers a connection of this process's user."""
    return refusal(_layout(home), DATABASE) is None


def log_bytes(home: Path) -> int:
    """Give how long the server's log is now."""
    try:
        return _layout(home).log.stat().st_size
    except OSError:
        return 0


def why_gone(home: Path, since_bytes: int) -> str | None:
    """Say why the server of a home went, if it wrote that into its log after a length of it."""
    layout = _layout(home)
    try:
        return trouble(log_after(layout, since_bytes), layout)
    except OSError:
        return None


def _layout(home: Path) -> Layout:
    """Where things are in a home, which need not exist."""
    return Layout(home.expanduser().resolve())


@contextmanager
def _troubles_told(layout: Layout) -> Iterator[None]:
    """Turn what the machine or PostgreSQL refuses into an EmbeddedError."""
    try:
        yield
    except (OSError, subprocess.TimeoutExpired, psycopg.Error) as problem:
        raise EmbeddedError(explain(f"error: {problem}", layout)) from problem


@contextmanager
def _locked(layout: Layout, say: Progress) -> Iterator[None]:
    """Hold the lock of a home: no two processes make, start or stop its server at once.

    Raises EmbeddedError if another process keeps it too long.
    """
    # Closed to other users: whoever can open the file could hold the lock for ever.
    lock = FileLock(layout.lock, mode=0o600)
    try:
        with suppress(Timeout):
            lock.acquire(timeout=0)
        if not lock.is_locked:
            say("Waiting for another process that starts or stops PostgreSQL.")
            lock.acquire(timeout=WAIT_SECONDS_MAX)
    except Timeout as problem:
        raise EmbeddedError(
            f"Another process has been starting or stopping PostgreSQL in {layout.home} for more "
            f"than {WAIT_SECONDS_MAX} seconds. See its log {layout.log}, then try again."
        ) from problem
    try:
        yield
    finally:
        lock.release()


@dataclass
class _Starter:
    """One call of ``start`` that found no answer; works while it holds the lock."""

    layout: Layout
    settings: Mapping[str, str]
    progress: Progress
    said: str = ""

    def say(self, sentence: str) -> None:
        """Show what is waited for, each sentence once."""
        if sentence != self.said:
            self.said = sentence
            self.progress(sentence)

    def start(self) -> None:
        """Ask, start and wait until the server answers and has the database."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while (refused := refusal(self.layout, MAINTENANCE_DATABASE)) is not None:
            check_identity(refused, self.layout)
            if time.monotonic() > deadline:
                raise EmbeddedError(self._too_late(refused))
            process = postmaster(self.layout)
            if process is None and "FATAL:" not in refused:  # nobody is there to refuse
                self._launch(deadline)
            else:
                self._wait_for(process, refused)
            time.sleep(PAUSE_SECONDS)
        ensure_database(self.layout)

    def _wait_for(self, process: psutil.Process | None, refused: str) -> None:
        """Say what a living server is doing; one that nobody can reach is stopped."""
        self.say(RECOVERING if "recovery" in refused else "PostgreSQL is starting or stopping.")
        if process is not None and has_lost_socket(self.layout):
            _ask_to_end(process)

    def _launch(self, deadline: float) -> None:
        """Start the server, which is down. Returns too when that failed and may work later."""
        layout = self.layout
        user = server_user(layout)
        check_passage(layout, user)
        programs = reachable_programs(layout, user)
        if not layout.data.exists():
            self.say("Creating the PostgreSQL database; this is done once.")
        ensure_cluster(layout, user, programs)
        write_settings(layout, user, self.settings)
        crashed = forget_dead_postmaster(layout, user)
        self.say(RECOVERING if crashed else "PostgreSQL is starting.")
        log_bytes = prepare_log(layout, user)
        wait_seconds = max(1, int(deadline - time.monotonic()))
        command = [str(programs / "pg_ctl"), "start", "-w", "-t", str(wait_seconds)]
        # Names within home, because pg_ctl hands them to a shell.
        command += ["-D", layout.data.name, "-l", layout.log.name]
        command += ["-o", f"-c cluster_name={layout.mark()}"]
        done = user.run(command, folder=layout.home, timeout_seconds=wait_seconds + 10)
        words = log_after(layout, log_bytes) + done.stdout
        if done.returncode == 0:
            return
        if not any(trouble in words for trouble in PASSING_TROUBLES):
            raise EmbeddedError(explain(words, layout))
        self.say("Waiting for the processes of a killed PostgreSQL to end.")

    def _too_late(self, refused: str) -> str:
        """Give the sentence for a server that did not come up in time."""
        left = ", ".join(map(str, orphans(self.layout)))
        reason = f"Processes of a killed server are left; end them: {left}." if left else refused
        return (
            f"PostgreSQL in {self.layout.home} did not answer within {WAIT_SECONDS_MAX} seconds. "
            f"{reason} If it is recovering, try again later; its log is {self.layout.log}."
        )
