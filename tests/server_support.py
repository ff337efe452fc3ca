"""A PostgreSQL server reached by TCP, with the roles of ``deploy/roles.sql``, for tests."""

import os
import secrets
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from paybatch.store.embedded_home import Layout, give_to, server_user
from paybatch.store.embedded_programs import reachable_programs

ROLES = Path(__file__).parents[1] / "deploy" / "roles.sql"
OWNER, WORKER, ADMIN = "paybatch_owner", "paybatch", "postgres"
SECONDS_MAX = 120
_SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "200",
    "unix_socket_directories": "",
    "lc_messages": "C",
}


def free_port() -> int:
    """Give a port that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Server:
    """A server in a folder that its own user can reach.

    ``inside`` are the words that run a program elsewhere, such as in a network namespace.
    """

    def __init__(self, folder: Path, hosts: Sequence[str] = ("127.0.0.1",), *inside: str) -> None:
        self.folder, self.hosts, self.inside = folder, tuple(hosts), list(inside)
        folder.mkdir(mode=0o711)
        layout = Layout(folder)
        self.user = server_user(layout)
        self.programs = reachable_programs(layout, self.user)
        self.data, self.port = folder / "data", free_port()
        self.passwords = {each: secrets.token_hex(8) for each in (OWNER, WORKER, ADMIN)}
        self._make()
        self.start()

    def _make(self) -> None:
        self.data.mkdir(mode=0o700)
        give_to(self.data, self.user)
        first = self.folder / "first-password"
        first.write_text(self.passwords[ADMIN])
        give_to(first, self.user)
        words = ["initdb", "-D", str(self.data), "-U", ADMIN, "--pwfile", str(first)]
        self._run(*words, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        settings = _SETTINGS | {"listen_addresses": ",".join(self.hosts), "port": str(self.port)}
        with (self.data / "postgresql.conf").open("a") as written:
            written.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        with (self.data / "pg_hba.conf").open("a") as written:
            written.write("host all all samenet scram-sha-256\n")
        self.pass_file = self.folder / "pgpass"
        self.pass_file.write_text(
            "".join(f"*:*:*:{name}:{word}\n" for name, word in self.passwords.items())
        )
        self.pass_file.chmod(0o600)

    def _run(self, program: str, *words: str) -> None:
        command = [*self.inside, str(self.programs / program), *words]
        if self.inside:  # root enters there, and becomes the server's user then
            user = ["setpriv", f"--reuid={self.user.user_id}", f"--regid={self.user.group_id}"]
            command = [*self.inside, *user, "--clear-groups", str(self.programs / program), *words]
            done = subprocess.run(
                command,
                check=False,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS_MAX,
            )
            assert done.returncode == 0, command
            return
        told = self.user.run(command, folder=self.folder, timeout_seconds=SECONDS_MAX)
        assert told.returncode == 0, told.stdout

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.data / "server.log"
        self._run("pg_ctl", "start", "-w", "-t", "100", "-D", str(self.data), "-l", str(log))
        until = time.monotonic() + SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.url(ADMIN, dbname="postgres"), connect_timeout=5).close()
            except psycopg.OperationalError:
                assert time.monotonic() < until, "it does not answer"
                time.sleep(0.1)
            else:
                return

    def stop(self, mode: str = "immediate") -> None:
        """Stop it in one of PostgreSQL's ways."""
        self._run("pg_ctl", "stop", "-w", "-t", "100", "-m", mode, "-D", str(self.data))

    def url(self, role: str, **parts: Any) -> str:
        """Give the address for a role; the password stands in a file, as on a host."""
        usual = {"host": self.hosts[-1], "port": self.port, "user": role, "dbname": "paybatch"}
        return make_conninfo("", **{**usual, "passfile": str(self.pass_file), **parts})

    def set_up(self) -> None:
        """Make database and roles as an administrator does."""
        words = [str(self.programs / "psql"), "-X", "-v", "ON_ERROR_STOP=1", "-q", "-f", str(ROLES)]
        words += ["-h", self.hosts[-1], "-p", str(self.port), "-U", ADMIN, "postgres"]
        environment = {**os.environ, "PGPASSFILE": str(self.pass_file)}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        with self.admin() as connection:
            for role in (OWNER, WORKER):
                word = self.passwords[role]
                connection.execute(f"ALTER ROLE {role} PASSWORD '{word}'")

    def admin(self, dbname: str = "paybatch") -> psycopg.Connection[Any]:
        """Connect as the administrator."""
        return psycopg.connect(self.url(ADMIN, dbname=dbname), autocommit=True)
