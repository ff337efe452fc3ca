"""What can be seen of an embedded PostgreSQL: its answer, its processes and its log.

Its answer is what counts. Its processes and files are looked at only where there is none, to tell
a server that starts or stops from one that is gone.
"""

import os
from contextlib import suppress

import psutil
import psycopg
from psycopg.conninfo import make_conninfo

from paybatch.store.embedded_cluster import DATABASE, PORT, ROLE, socket_folder
from paybatch.store.embedded_home import (
    EmbeddedError,
    Layout,
    ServerUser,
    give_to,
    user_of,
    write_file,
)
from paybatch.store.statements import statements

_SQL = statements("server")

ANSWER_SECONDS_MAX = 5
LOG_BYTES_MAX = 16 << 20
MAINTENANCE_DATABASE = "postgres"
UNUSED_PID = 2**31 - 2  # above the largest process id of every system
IDENTITY_REFUSALS = ("authentication failed", "no pg_hba.conf entry", "requirepeer")


def conninfo(layout: Layout, database: str = DATABASE) -> str:
    """Give libpq's connection string; raises OSError where there is no cluster.

    It names the server's user too, so that no other user's server can pass for it.
    """
    return make_conninfo(
        host=str(socket_folder(layout)),
        port=PORT,
        user=ROLE,
        dbname=database,
        requirepeer=user_of(layout.data.stat().st_uid).name,
    )


def refusal(layout: Layout, database: str) -> str | None:
    """Ask the server for an answer: None if it gave one, else what was said instead."""
    try:
        with psycopg.connect(
            conninfo(layout, database), connect_timeout=ANSWER_SECONDS_MAX, autocommit=True
        ) as connection:
            connection.execute(_SQL["answer"])
    except (OSError, EmbeddedError, psycopg.Error) as problem:
        return " ".join(str(problem).split())
    return None


def check_identity(refused: str, layout: Layout) -> None:
    """Raise EmbeddedError where the server is there and does not know this process's user."""
    if any(part in refused for part in IDENTITY_REFUSALS):
        raise EmbeddedError(
            f"PostgreSQL in {layout.home} lets only the user in who started it. "
            f"Run paybatch as that user. It said: {refused}"
        )


def ensure_database(layout: Layout) -> None:
    """Make the database if it is missing, in a server that answers. Call under the lock."""
    with psycopg.connect(conninfo(layout, MAINTENANCE_DATABASE), autocommit=True) as connection:
        found = connection.execute(_SQL["find_database"], {"name": DATABASE})
        if found.rowcount == 0:
            connection.execute(_SQL["create_database"])


def postmaster(layout: Layout) -> psutil.Process | None:
    """Find the server's first process, alive and of this cluster; None if there is none.

    A dead process that nobody has reaped, and a stranger with its old number, do not count.
    """
    with suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(_noted_pid(layout))
        # The command line, because a container's root may see nothing else of another user's.
        if f"cluster_name={layout.mark()}" in process.cmdline():
            return process
    return None


def _noted_pid(layout: Layout) -> int:
    """Process id that PostgreSQL noted; raises OSError or ValueError where there is none."""
    return int(layout.pid_file.read_text().split("\n", 1)[0])


def has_lost_socket(layout: Layout) -> bool:
    """Whether a server is done with starting, yet its socket was deleted: nobody can reach it."""
    with suppress(OSError):
        state = layout.pid_file.read_text().splitlines()[7:8]
        return (
            "".join(state).strip() == "ready"
            and not (socket_folder(layout) / f".s.PGSQL.{PORT}").exists()
        )
    return False


def orphans(layout: Layout) -> list[int]:
    """Ids of processes that outlived a killed server: they still hold its shared memory."""
    title = f"postgres: {layout.mark()}: "
    found = psutil.process_iter(["cmdline"])
    return [each.pid for each in found if " ".join(each.info["cmdline"] or ()).startswith(title)]


def forget_dead_postmaster(layout: Layout, user: ServerUser) -> bool:
    """Free the cluster of a dead server's locks; True if it crashed. Call only while it is down.

    PostgreSQL believes a stale file whose process id is in use again, or is a zombie's. The id is
    replaced rather than the file removed: the other lines name the shared memory of the dead
    server, and by them PostgreSQL sees whether processes of it are still there.
    """
    (socket_folder(layout) / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)
    if not layout.pid_file.exists():
        return False
    first, _, rest = layout.pid_file.read_text().partition("\n")
    with suppress(ValueError):
        if psutil.pid_exists(int(first)):
            write_file(layout.pid_file, f"{UNUSED_PID}\n{rest}", user)
    return True


def prepare_log(layout: Layout, user: ServerUser) -> int:
    """Make the log, mode 0600, for the server's user; a long one is set aside. Gives its bytes."""
    with suppress(FileNotFoundError):
        if layout.log.stat().st_size > LOG_BYTES_MAX:
            layout.log.rename(layout.log.with_suffix(".log.1"))
    descriptor = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        give_to(descriptor, user)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def log_after(layout: Layout, offset_bytes: int) -> str:
    """Give what the server wrote into its log after an offset."""
    with layout.log.open("rb") as log:
        log.seek(offset_bytes)
        return log.read().decode(errors="replace")
