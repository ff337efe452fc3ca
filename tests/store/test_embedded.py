"""The embedded PostgreSQL with real processes: started, shared, killed, and closed to others."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from paybatch.store import embedded, embedded_programs
from paybatch.store.embedded import EmbeddedError
from paybatch.store.embedded_cluster import DEFAULT_SETTINGS, explain, socket_folder, write_settings
from paybatch.store.embedded_home import Layout, server_user
from paybatch.store.embedded_server import forget_dead_postmaster, orphans, postmaster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as other users")

STARTS = """
import os, sys
from pathlib import Path
from paybatch.store import embedded
print(embedded.start(Path(sys.argv[1])), flush=True)
os.kill(os.getpid(), int(sys.argv[2]))
"""

STARTS_AS_USER = """
import os, sys
import encodings.idna, multiprocessing, platform, random, secrets  # before they are out of reach
from pathlib import Path
import psutil, psycopg
from paybatch.store import embedded
os.setgroups([])
os.setgid(int(sys.argv[3]))
os.setuid(int(sys.argv[2]))
home = Path(sys.argv[1])
with psycopg.connect(embedded.start(home)) as connection:
    connection.execute("SELECT 1")
print(embedded.status(home).pid, flush=True)
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder that every user may pass through: pytest's own is closed."""
    folder = Path(tempfile.mkdtemp(prefix="paybatch-test-")).resolve()
    folder.chmod(0o711)
    yield folder
    for log in [*folder.glob("*/postgres.log"), *folder.glob("*/*/postgres.log")]:
        embedded.stop(log.parent)
    shutil.rmtree(folder)


def run_python(script: str, *arguments: object) -> subprocess.Popen[str]:
    """Start another process with a script."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def mode_of(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def setting(conninfo: str, name: str) -> str:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
        assert row is not None
        return str(row[0])


def write_row(conninfo: str) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def read_row(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT answer FROM kept").fetchone()
        assert row is not None
        return int(row[0])


def kill_postmaster(home: Path) -> int:
    pid = embedded.status(home).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_starts_once_and_is_quick_when_up(base: Path) -> None:
    home, sentences = base / "home", list[str]()
    conninfo = embedded.start(home, progress=sentences.append)
    first = embedded.status(home)
    began = time.perf_counter()
    assert embedded.start(home, progress=sentences.append) == conninfo
    assert time.perf_counter() - began < 0.05
    assert embedded.status(home) == first
    assert first.state == "up"
    assert sentences == [
        "Creating the PostgreSQL database; this is done once.",
        "PostgreSQL is starting.",
    ]


def test_is_safe_quick_and_closed_by_its_settings(base: Path) -> None:
    conninfo = embedded.start(base / "home", settings={"work_mem": "8MB", "search_path": "a'b"})
    expected = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
    expected |= {"listen_addresses": "", "work_mem": "8MB", "search_path": "a'b"}
    expected |= {"max_wal_size": DEFAULT_SETTINGS["max_wal_size"], "jit": "off"}
    expected |= {"server_encoding": "UTF8", "max_connections": "100"}
    assert {name: setting(conninfo, name) for name in expected} == expected
    assert mode_of(base / "home/postgres") == 0o700
    assert mode_of(base / "home/run") == 0o700
    assert mode_of(base / "home/postgres.log") == 0o600


def test_settings_are_written_at_each_start(base: Path) -> None:
    home = base / "home"
    embedded.start(home, settings={"work_mem": "8MB"})
    embedded.stop(home)
    assert setting(embedded.start(home), "work_mem") == DEFAULT_SETTINGS["work_mem"]


def test_a_wrong_setting_is_told(base: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"A setting is wrong.*work_mem"):
        embedded.start(base / "home", settings={"work_mem": "much"})
    embedded.start(base / "home")


@pytest.mark.parametrize(
    "settings",
    [{"fsync": "off"}, {"listen_addresses": "*"}, {"work_mem": "1MB\nfsync = off"}, {"a b": "1"}],
)
def test_safety_cannot_be_set_aside(base: Path, settings: dict[str, str]) -> None:
    layout = Layout(base)
    user = server_user(layout)
    with pytest.raises(EmbeddedError):
        write_settings(layout, user, settings)


def test_several_processes_start_at_once(base: Path) -> None:
    home = base / "home"
    processes = [run_python(STARTS, home, 0) for _ in range(3)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert {answer[0].strip() for answer in answers} == {embedded.start(home)}
    assert len(list(home.glob("postgres.new-*"))) == 0


def test_outlives_the_process_that_started_it(base: Path) -> None:
    home = base / "home"
    process = run_python(STARTS, home, signal.SIGKILL.value)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    state = embedded.status(home)
    assert state.state == "up"
    assert state.pid is not None
    assert os.getsid(state.pid) == state.pid


def test_recovers_when_the_postmaster_was_killed(base: Path) -> None:
    home, sentences = base / "home", list[str]()
    write_row(embedded.start(home))
    pid = kill_postmaster(home)
    conninfo = embedded.start(home, progress=sentences.append)
    assert read_row(conninfo) == 42
    assert embedded.status(home).pid != pid
    assert "PostgreSQL is recovering after a crash." in sentences


def test_recovers_when_all_of_it_was_killed(base: Path) -> None:
    home = base / "home"
    write_row(embedded.start(home))
    for pid in [*orphans(Layout(home)), kill_postmaster(home)]:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    assert read_row(embedded.start(home)) == 42


def test_waits_for_backends_that_outlive_the_postmaster(base: Path) -> None:
    home, sentences = base / "home", list[str]()
    with psycopg.connect(embedded.start(home)) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        kill_postmaster(home)
        waker = run_python(f"import os, time; time.sleep(2); os.kill({backend}, {signal.SIGCONT})")
        began = time.monotonic()
        embedded.start(home, progress=sentences.append)
        assert time.monotonic() - began > 1
        waker.communicate(timeout=10)
    assert "Waiting for the processes of a killed PostgreSQL to end." in sentences


@pytest.mark.parametrize("stranger", ["alive", "zombie"])
def test_a_stale_pid_file_does_not_fool_it(base: Path, stranger: str) -> None:
    home = base / "home"
    write_row(embedded.start(home))
    layout = Layout(home)
    user = server_user(layout)
    pid = kill_postmaster(home)
    wait_until(lambda: not orphans(layout) and not embedded.is_up(home))
    seconds = "20" if stranger == "alive" else "0"
    with subprocess.Popen(["sleep", seconds], user=user.name) as other:  # the server's own user
        wait_until(lambda: stranger == "alive" or psutil.Process(other.pid).status() == "zombie")
        for path in [layout.pid_file, socket_folder(layout) / ".s.PGSQL.5432.lock"]:
            path.write_text(path.read_text().replace(str(pid), str(other.pid), 1))
        assert embedded.status(home) == embedded.Status("down", None)
        embedded.stop(home)
        assert read_row(embedded.start(home)) == 42
        assert embedded.status(home).pid != other.pid
        other.kill()


def test_a_dying_server_is_waited_for(base: Path) -> None:
    home = base / "home"
    conninfo = embedded.start(home)
    with psycopg.connect(conninfo):
        pid = embedded.status(home).pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)  # "smart": it refuses newcomers and waits for us to go
        wait_until(lambda: not embedded.is_up(home))
        assert embedded.status(home) == embedded.Status("starting", pid)
    embedded.start(home)
    assert embedded.status(home).pid != pid


def test_a_server_that_lost_its_socket_is_restarted(base: Path) -> None:
    home = base / "home"
    embedded.start(home)
    (home / "run/.s.PGSQL.5432").unlink()
    assert embedded.status(home).state == "starting"
    embedded.start(home)
    assert embedded.is_up(home)


def test_leftovers_of_a_killed_initdb_are_swept_away(base: Path) -> None:
    home = base / "home"
    process = run_python(STARTS, home, 0)
    wait_until(lambda: any(home.glob("postgres.new-*/PG_VERSION")))
    process.kill()
    process.communicate(timeout=10)
    for each in psutil.process_iter(["cmdline"]):
        if "initdb" in " ".join(each.info["cmdline"] or ()) and str(home) == _folder_of(each):
            each.kill()
    assert not (home / "postgres").exists()
    embedded.start(home)
    assert not list(home.glob("postgres.new-*"))


def _folder_of(process: psutil.Process) -> str:
    try:
        return process.cwd()
    except psutil.Error:
        return ""


def test_a_long_home_has_its_socket_elsewhere(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelter = base / "shelter"
    shelter.mkdir()
    shelter.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(shelter))
    home = base / "it's $HOME" / ("x" * 120)
    conninfo = embedded.start(home)
    (folder,) = shelter.glob("paybatch-*")
    assert f"host={folder} " in conninfo
    assert mode_of(folder) == 0o700
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    assert embedded.start(home) == conninfo
    embedded.stop(home)
    shutil.rmtree(shelter)


@as_root
def test_a_planted_socket_folder_is_not_used(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(base))
    home = base / ("x" * 120)
    embedded.start(home)
    planted = socket_folder(Layout(home))
    embedded.stop(home)
    shutil.rmtree(planted)
    planted.mkdir(mode=0o700)
    os.chown(planted, 65534, 65534)
    embedded.start(home)
    assert socket_folder(Layout(home)) != planted
    assert not list(planted.iterdir())


def test_stop_stops_and_may_be_repeated(base: Path) -> None:
    home = base / "home"
    embedded.stop(home)
    assert embedded.status(home) == embedded.Status("down", None)
    embedded.start(home)
    embedded.stop(home)
    embedded.stop(home)
    assert not embedded.is_up(home)
    assert embedded.status(home) == embedded.Status("down", None)
    assert postmaster(Layout(home)) is None
    assert not Layout(home).pid_file.exists()
    assert not forget_dead_postmaster(Layout(home), server_user(Layout(home)))


def test_a_home_that_is_not_ours_to_use_is_refused(base: Path) -> None:
    (base / "open").mkdir()
    (base / "open").chmod(0o777)
    with pytest.raises(EmbeddedError, match="Everybody may write"):
        embedded.start(base / "open")
    (base / "strange/postgres").mkdir(parents=True)
    if os.geteuid() == 0:
        with pytest.raises(EmbeddedError, match="belongs to root"):
            embedded.start(base / "strange")
        shutil.chown(base / "strange/postgres", server_user(Layout(base)).user_id)
    with pytest.raises(EmbeddedError, match="not a PostgreSQL cluster"):
        embedded.start(base / "strange")


def test_another_version_is_refused(base: Path) -> None:
    home = base / "home"
    embedded.start(home)
    embedded.stop(home)
    (home / "postgres/PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 17, this is 18"):
        embedded.start(home)


@as_root
def test_a_closed_parent_is_told_and_keeps_its_mode(base: Path) -> None:
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match=f"may not pass through {closed}. Choose"):
        embedded.start(closed / "home")
    assert mode_of(closed) == 0o700
    assert mode_of(base) == 0o711


@as_root
def test_programs_out_of_reach_are_copied(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = embedded.bin_path().parents[1]
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    shutil.copytree(package.parent / f"{package.name}.libs", closed / f"{package.name}.libs")
    hidden = closed / package.name / "pginstall18"
    shutil.copytree(package / "pginstall18", hidden)
    monkeypatch.setattr(embedded_programs, "bin_path", lambda: hidden / "bin")
    home = base / "home"
    embedded.start(home)
    pid = embedded.status(home).pid
    assert psutil.Process(pid).exe().startswith(str(home / "postgres-18"))
    assert mode_of(closed) == 0o700


@as_root
def test_another_user_cannot_connect(base: Path) -> None:
    home = base / "home"
    conninfo = embedded.start(home)
    psql = [str(embedded.bin_path() / "psql"), conninfo, "-c", "SELECT 1"]
    assert subprocess.run(psql, check=False, capture_output=True).returncode == 0
    answers = {}
    for name in ["nobody", pwd.getpwuid((home / "postgres").stat().st_uid).pw_name]:
        done = subprocess.run(
            psql, check=False, capture_output=True, text=True, user=name, extra_groups=[], cwd="/"
        )
        assert done.returncode != 0
        answers[name] = done.stderr
    assert "Permission denied" in answers.pop("nobody")
    assert "Peer authentication failed" in answers.popitem()[1]


@as_root
def test_works_for_an_ordinary_user_and_not_for_root_in_its_home(base: Path) -> None:
    user = pwd.getpwnam("nobody")
    parent = base / "theirs"
    parent.mkdir(mode=0o700)
    os.chown(parent, user.pw_uid, user.pw_gid)
    if not _can_read_wheel(user.pw_name):
        pytest.skip("the virtual environment is closed to other users")
    home = parent / "home"
    process = run_python(STARTS_AS_USER, home, user.pw_uid, user.pw_gid)
    words, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    server = psutil.Process(int(words))
    try:
        assert server.username() == "nobody"
        assert mode_of(home) == 0o700
        with pytest.raises(EmbeddedError, match="belongs to another user"):
            embedded.start(home)
        assert not embedded.is_up(home)
    finally:
        server.send_signal(signal.SIGINT)
        wait_until(lambda: not (home / "postgres/postmaster.pid").exists())
        (home / "postgres.log").unlink()


def _can_read_wheel(user_name: str) -> bool:
    command = [str(embedded.bin_path() / "psql"), "--version"]
    try:
        return subprocess.run(command, check=False, user=user_name, cwd="/").returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ('FATAL:  could not write file "a": No space left on device', "The disk is full. Free"),
        ("FATAL:  could not map anonymous shared memory: x", "too little memory"),
        ("", "It said: nothing"),
    ],
)
def test_reasons_are_explained(words: str, sentence: str) -> None:
    assert sentence in explain(words, Layout(Path("/var/lib/paybatch")))


def test_programs_are_those_of_the_wheel() -> None:
    names = {program.name for program in embedded.bin_path().iterdir()}
    assert {"postgres", "psql", "pgbench", "initdb", "pg_ctl"} <= names
