"""The command line in this process, on a fresh database with a demo merchant."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cli_support import Cli, Done, File
from paybatch.cli.app import run_app
from paybatch.flow.engine import Engine


@pytest.fixture
def bare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Cli]:
    """Give a function that runs a command as the program does; there is no database.

    Commands work in a folder of their own, and with no setting of the person who runs the tests.
    """
    for name in [name for name in os.environ if name.startswith("PAYBATCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAYBATCH_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("PAYBATCH_HOME", str(tmp_path / "bare"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*words: str, stdin: str = "") -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["paybatch", *words])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        with pytest.raises(SystemExit) as ended:
            run_app()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    yield run
    structlog.reset_defaults()  # a command says where logs go


@pytest.fixture
def cli(bare: Cli, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Give the same on a fresh database, with the home that belongs to it."""
    monkeypatch.setenv("PAYBATCH_DATABASE_URL", str(engine.settings.database_url))
    monkeypatch.setenv("PAYBATCH_HOME", str(engine.settings.home))
    return bare


@pytest.fixture
def file(bare: Cli) -> File:
    """Give a function that writes a file and gives its name."""

    def write(text: str, name: str = "file.csv") -> str:
        Path(name).write_text(text, encoding="utf-8")
        return name

    return write
