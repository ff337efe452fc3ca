"""The command line in this process, on a fresh database with a demo merchant."""

import io
import os
import sys
from pathlib import Path

import pytest

from cli_support import Cli, Done, File
from paybatch.cli.app import run_app
from paybatch.flow.engine import Engine


@pytest.fixture
def environment(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point commands at the test's database and home; they work in a folder of their own."""
    for name in [name for name in os.environ if name.startswith("PAYBATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAYBATCH_DATABASE_URL", str(engine.settings.database_url))
    monkeypatch.setenv("PAYBATCH_HOME", str(engine.settings.home))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def cli(
    environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Cli:
    """Give a function that runs a command as the program does: sentences for errors, exit code."""

    def run(*words: str, stdin: str = "") -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["paybatch", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as ended:
            run_app()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def file(environment: None) -> File:
    """Give a function that writes a file and gives its name."""

    def write(text: str, name: str = "file.csv") -> str:
        Path(name).write_text(text, encoding="utf-8")
        return name

    return write
