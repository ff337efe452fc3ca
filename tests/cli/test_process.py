"""The real program: its own process, pipes and exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli_support import GOOD, Cli, File


def paybatch(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the program in this folder."""
    return subprocess.run(
        [sys.executable, "-m", "paybatch", *words],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.usefixtures("cli", "customer")
def test_a_sample_runs_through_pipes() -> None:
    sample = paybatch("sample", "native").stdout
    done = paybatch("run", "-", "--json", "--strict", stdin=sample)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["outcomes"]["approved"]["count"] == len(sample.splitlines()) - 1
    assert paybatch("ledger", "balance").returncode == 0


def test_exit_codes_and_no_traceback(cli: Cli, file: File) -> None:
    file("a,b\n1,2\n", "bad.csv")
    for words, code in (("run none.csv", 2), ("run bad.csv", 3), ("batch show x", 1)):
        done = paybatch(*words.split())
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_an_interrupted_run_says_how_it_goes_on(cli: Cli, file: File) -> None:
    lines = GOOD.splitlines()
    rows = [lines[1].replace(",A,", f",r{number},") for number in range(30_000)]
    name = file("\n".join([lines[0], *rows]) + "\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "paybatch", "run", name],
        env={**os.environ, "PAYBATCH_CHUNK_ROWS": "1000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and "running" not in paybatch("batch", "list").stdout:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode in {0, 130}
    if process.returncode == 130:
        assert "Interrupted: what is under way is finished first." in said, "at once"
        assert "paybatch batch resume bat_" in said
        batch = said.split("Batch ")[1].split()[0]
        assert paybatch("batch", "resume", batch, "--results", "r.csv").returncode == 0
        assert len(Path("r.csv").read_text(encoding="utf-8").splitlines()) == 30_001


def test_two_runs_at_once_write_to_the_same_path(cli: Cli, file: File) -> None:
    lines = GOOD.splitlines()
    rows = [lines[1].replace(",A,", f",r{number},") for number in range(3_000)]
    name = file("\n".join([lines[0], *rows]) + "\n")
    words = [sys.executable, "-m", "paybatch", "run", name, "--again", "--results", "same.csv"]
    both = [
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=60)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert len(Path("same.csv").read_text("utf-8").splitlines()) == len(rows) + 1
    assert not list(Path().glob("same.csv.*"))
