"""The embedded PostgreSQL's home folder and the operating system's user that its server runs as.

Root may add the system user ``paybatch-pg``; apart from that nothing outside home is touched, and
the mode of a folder that was there before is never changed. For Linux and macOS.
"""

import os
import pwd
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SYSTEM_USERS = ("paybatch-pg", "postgres")  # the first is added by us, the second is a fallback
SYSTEM_USER_TRIES = 10


class EmbeddedError(Exception):
    """The embedded PostgreSQL cannot be used: what is wrong, where, and what to do about it."""


@dataclass(frozen=True)
class Layout:
    """Where things are below home (an absolute path without links)."""

    home: Path

    @property
    def data(self) -> Path:
        """The folder of the cluster; it appears complete, by a rename."""
        return self.home / "postgres"

    @property
    def log(self) -> Path:
        """What the server writes."""
        return self.home / "postgres.log"

    @property
    def lock(self) -> Path:
        """Held while a process makes, starts or stops the server."""
        return self.home / "postgres.lock"

    @property
    def pid_file(self) -> Path:
        """PostgreSQL's own lock file; a crash leaves it behind."""
        return self.data / "postmaster.pid"

    @property
    def socket_note(self) -> Path:
        """Holds the path of the socket's folder where home's own path is too long for a socket."""
        return self.home / "socket-folder"

    def mark(self) -> str:
        """Give the word in the server's command line that tells this cluster from every other."""
        found = self.data.stat()
        return f"paybatch-{found.st_dev:x}-{found.st_ino:x}"


@dataclass(frozen=True)
class ServerUser:
    """The operating system's user that the server runs as; never root."""

    name: str
    user_id: int
    group_id: int

    def run(
        self, command: list[str], *, folder: Path, timeout_seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, away from the terminal; its words are in ``stdout``.

        The words pass through a file: a pipe would stay open for as long as a server lives.
        Raises OSError where the program cannot be run, TimeoutExpired where it takes too long.
        """
        changes = os.geteuid() != self.user_id
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as words:
            done = subprocess.run(  # noqa: S603 - our own programs, and no shell
                command,
                check=False,
                cwd=folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                timeout=timeout_seconds,
                user=self.user_id if changes else None,
                group=self.group_id if changes else None,
                extra_groups=[] if changes else None,
            )
            words.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, words.read())


def _environment() -> dict[str, str]:
    """Leave out what would point PostgreSQL's programs elsewhere or change their language."""
    kept = {name: os.environ[name] for name in os.environ if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "LANG": "C"}


def user_of(user_id: int) -> ServerUser:
    """Look a user up by number; raises EmbeddedError for one without a name."""
    try:
        entry = pwd.getpwuid(user_id)
    except KeyError as problem:
        raise EmbeddedError(
            f"User number {user_id} has no name, and PostgreSQL needs one. "
            "Add it to /etc/passwd, or set PAYBATCH_DATABASE_URL to use a database server."
        ) from problem
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def server_user(layout: Layout) -> ServerUser:
    """Say who runs the server: the caller or, as PostgreSQL refuses root, a system user.

    A cluster that root made before keeps its user. Raises EmbeddedError where there is none.
    """
    if os.geteuid() != 0:
        return user_of(os.geteuid())
    if not layout.data.exists():
        return _system_user()
    owner_id = layout.data.stat().st_uid
    if owner_id == 0:
        raise EmbeddedError(
            f"{layout.data} belongs to root, and PostgreSQL refuses to run as root. "
            f"Give it back with: chown -R {_system_user().name}: {layout.data}"
        )
    return user_of(owner_id)


def _system_user() -> ServerUser:
    """Find the system user for the server, or add it (root only)."""
    ours = SYSTEM_USERS[0]
    command = ["useradd", "--system", "--user-group", "--no-create-home"]
    command += ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", ours]
    for _ in range(SYSTEM_USER_TRIES):
        with suppress(KeyError):
            return user_of(pwd.getpwnam(ours).pw_uid)
        with suppress(OSError):
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603 - fixed words
        time.sleep(0.1)  # another process may be adding a user: only one at a time can
    with suppress(KeyError):
        return user_of(pwd.getpwnam(SYSTEM_USERS[1]).pw_uid)
    raise EmbeddedError(
        f"PostgreSQL refuses to run as root, and the user {ours} could not be added. "
        f"Run paybatch as an ordinary user, or add it yourself: {' '.join(command)}"
    )


def make_home(home: Path) -> Layout:
    """Make home where it is missing and check that it is ours; says where things are in it.

    Home is made with mode 0711 for root (the system user must pass through) and 0700 for others.
    Raises EmbeddedError for a home of another user, or one that everybody may write to.
    """
    home = home.expanduser().resolve()
    home_mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        for folder in [*reversed(home.parents), home]:
            if not folder.exists():
                _make_folder(folder, home_mode if folder == home else 0o755)
        found = home.stat()
    except OSError as problem:
        raise EmbeddedError(
            f"The folder {home} cannot be made ({problem.strerror}). "
            "Choose another one with PAYBATCH_HOME."
        ) from problem
    if found.st_uid != os.geteuid():
        raise EmbeddedError(
            f"The folder {home} belongs to another user (number {found.st_uid}). "
            "Run paybatch as that user, or choose another folder with PAYBATCH_HOME."
        )
    if found.st_mode & 0o002:
        raise EmbeddedError(
            f"Everybody may write to the folder {home}. Close it with: chmod o-w {home}"
        )
    return Layout(home)


def _make_folder(folder: Path, mode: int) -> None:
    """Make a folder that has its mode, whatever the umask, from the moment it can be seen."""
    fresh = Path(tempfile.mkdtemp(prefix=".paybatch-", dir=folder.parent))
    fresh.chmod(mode)
    try:
        fresh.rename(folder)
    except OSError:  # another process made it first, and has put something into it
        fresh.rmdir()
        if not folder.is_dir():
            raise


def check_passage(layout: Layout, user: ServerUser) -> None:
    """Raise EmbeddedError where the server's user cannot reach home through its parents."""
    if os.geteuid() == user.user_id:
        return
    for folder in [*reversed(layout.home.parents), layout.home]:
        found = folder.stat()
        if found.st_uid == user.user_id:
            may_pass = found.st_mode & 0o100
        elif found.st_gid == user.group_id:
            may_pass = found.st_mode & 0o010
        else:
            may_pass = found.st_mode & 0o001
        if not may_pass:
            raise EmbeddedError(
                f"PostgreSQL runs as user {user.name}, who may not pass through {folder}. "
                "Choose another folder with PAYBATCH_HOME (for root: /var/lib/paybatch), "
                f"or open this one yourself: chmod o+x {folder}"
            )


def write_file(path: Path, text: str, user: ServerUser) -> None:
    """Write a file whole and synced, mode 0600, owned by the user.

    Root writes into a lesser user's folder here: a new name and a rename follow no link.
    """
    descriptor, fresh = tempfile.mkstemp(prefix=f"{path.name}.new-", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        give_to(written.fileno(), user)
        os.fsync(written.fileno())
    Path(fresh).rename(path)


def give_to(place: int | Path, user: ServerUser) -> None:
    """Make the user the owner of a new file (by its descriptor) or folder; only root needs to."""
    if os.geteuid() != user.user_id:
        os.chown(place, user.user_id, user.group_id)


def sync_folder(folder: Path) -> None:
    """Put the names in a folder onto the disk, so that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
