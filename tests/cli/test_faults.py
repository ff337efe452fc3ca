"""What the machine refuses: files, folders, disks and pipes. Each ends as a sentence."""

import fcntl
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli_support import GOOD, Cli, Done, File
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.store import embedded
from paybatch.store.database import DatabaseGoneError

DENIED = PermissionError(13, "Permission denied")


def test_a_file_that_may_not_be_read(
    bare: Cli, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = file(GOOD)

    def refused(*_: object, **__: object) -> None:
        raise DENIED

    for way in ("open", "is_file"):
        with monkeypatch.context() as patched:
            patched.setattr(Path, way, refused)
            for command in ("run", "check"):
                done = bare(command, name)
                assert (done.code, done.out) == (2, "")
                assert "file.csv cannot be read (Permission denied)." in done.err


def test_a_file_that_breaks_off(cli: Cli) -> None:
    for words in (["check"], ["run", "--results", "r.csv"]):
        done = cli(*words, "/proc/self/mem")
        assert (done.code, done.out) == (2, "")
        assert "/proc/self/mem cannot be read (Input/output error). Nothing was done." in done.err
    assert cli("batch", "list", "--json").json == []


def test_no_standard_input(cli: Cli) -> None:
    words = [sys.executable, "-m", "paybatch", "check", "-"]
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *words]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no standard input." in done.stderr


def test_a_folder_for_results_that_may_not_be_entered(
    bare: Cli, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = file(GOOD)

    def refused(*_: object, **__: object) -> None:
        raise DENIED

    monkeypatch.setattr(Path, "is_dir", refused)
    done = bare("run", name, "--results", "shut/y.csv")
    assert (done.code, done.out) == (2, "")
    assert "The result cannot be written to shut/y.csv (Permission denied)." in done.err


def test_a_folder_that_takes_no_result_is_told_before_anything_is_sent(
    cli: Cli, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = file(GOOD)
    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda *_: False)
        done = cli("run", name)
    assert done.code == 2
    assert "cannot be written to. Say with --results where the result goes." in done.err
    Path("file.results.csv").mkdir()
    done = cli("run", name)
    assert (done.code, "file.results.csv is a folder" in done.err) == (2, True)


def test_parts_that_killed_writers_left_are_dropped(cli: Cli, file: File) -> None:
    name = file(GOOD)
    old, new, locked, other = (
        Path(f"file.results.csv.{word}.part") for word in ("0123abcd", "1" * 8, "2" * 8, "mine")
    )
    for each in (old, new, locked, other):
        each.touch()
    for each in (old, locked, other):
        os.utime(each, (time.time() - 100, time.time() - 100))
    with locked.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert cli("run", name).code == 0
    assert [each.exists() for each in (old, new, locked, other)] == [False, True, True, True]
    assert cli("run", name, "--again").code == 0
    assert [each.exists() for each in (new, locked, other)] == [True, False, True]


def test_a_full_disk_is_named_when_it_happens(
    cli: Cli, file: File, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = engine.settings.home / "postgres.log"
    log.write_text("1 [2] PANIC:  could not write: No space left on device, long ago\n")
    url = str(engine.settings.database_url)
    monkeypatch.delenv("PAYBATCH_DATABASE_URL")
    monkeypatch.setattr(embedded, "start", lambda *_, **__: url)

    def dies(*words: object) -> None:
        words[-1].received(1)  # type: ignore[attr-defined]
        with log.open("a") as more:
            more.write(words_of_the_log)
        raise DatabaseGoneError("The database does not answer.")

    monkeypatch.setattr(batches, "run", dies)
    words_of_the_log = "2026-11-21 12:00:00.000 UTC [7] PANIC:  could not write to file: "
    words_of_the_log += "No space left on device\n"
    done = cli("run", file(GOOD))
    said = "PostgreSQL said: PANIC:  could not write to file: No space left on device (log: "
    assert done.code == 1
    assert f"paybatch: The disk is full. Free some space, then start again. {said}" in done.err
    assert "The database does not answer. Batch bat_" in done.err
    words_of_the_log = "2026-11-21 12:00:01.000 UTC [8] LOG:  shutting down\n"
    done = cli("run", file(GOOD))
    assert (done.code, "disk" in done.err) == (1, False), "what is older is no reason"


def test_the_driver_keeps_its_words_to_itself() -> None:
    code = "import logging, paybatch.store.database; logging.getLogger('psycopg').warning('noise')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert logging.getLogger("psycopg").propagate, "who asks for its log gets it"


def piped(words: str, reader: str) -> Done:
    """Run the program with its output into a reader; give its own exit code."""
    program = f"{sys.executable} -m paybatch {words}"
    script = f"{{ {program}; echo $? >&3; }} 3>code | {reader}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    return Done(int(Path("code").read_text("utf-8")), done.stdout, done.stderr)


@pytest.mark.parametrize("options", ["", "--json"])
def test_a_reader_that_goes_away_changes_nothing(cli: Cli, file: File, options: str) -> None:
    done = piped(f"run {file(GOOD)} {options}", "true")
    assert (done.code, done.err) == (0, "")
    assert Path("file.results.csv").exists()


@pytest.mark.parametrize("words", ["ledger balance", "ledger balance --json", "sample sale"])
def test_output_that_cannot_be_written_is_a_sentence(cli: Cli, words: str) -> None:
    command = [sys.executable, "-m", "paybatch", *words.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        "paybatch: What was to be printed here cannot be written (No space left on device).\n"
    )


def test_a_home_that_is_a_file(bare: Cli, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYBATCH_HOME", file(GOOD))
    for words in (["batch", "list"], ["migrate"]):
        done = bare(*words)
        assert (done.code, done.out) == (1, "")
        assert "PAYBATCH_HOME is wrong: file.csv is not a folder." in done.err
    done = bare("doctor")
    assert (done.code, "file.csv is not a folder" in done.out) == (1, True)


def test_doctor_tells_of_a_home_that_it_may_not_look_at(
    bare: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise DENIED

    monkeypatch.setattr(Path, "exists", refused)
    found = {each["id"]: each for each in bare("doctor", "--json").json}
    for name in ("home.folder", "keys.folder", "blobs.store"):
        assert found[name]["state"] == "fail"
        assert "cannot be looked at (Permission denied)" in found[name]["found"]
