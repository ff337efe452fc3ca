"""What deploy/ and docs/machines.md name is there: settings, commands, files, statements."""

import configparser
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from paybatch.cli.app import app
from paybatch.flow.engine import Engine
from paybatch.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = sorted((ROOT / "deploy").iterdir())
MACHINES = ROOT / "docs" / "machines.md"
PAGES = [*DEPLOY, MACHINES]
UNITS = [each for each in DEPLOY if each.suffix in {".service", ".container"}]
PROGRAM = "/opt/paybatch/.venv/bin/paybatch"
# A command as it is typed: in backticks, behind an indent, in a unit. Words in capitals are values.
COMMAND = re.compile(
    r"(?:`|^ {4}|\.\.\. |ExecStart=|bin/)(?:\S*/)?paybatch ([^`\n|]+)", re.MULTILINE
)


def test_every_variable_is_a_setting() -> None:
    known = {f"PAYBATCH_{name.upper()}" for name in Settings.model_fields}
    for page in [*PAGES, ROOT / "README.md"]:
        named = set(re.findall(r"\bPAYBATCH_[A-Z_]+\b", page.read_text("utf-8")))
        assert named <= known, f"{page.name} names what is no setting: {named - known}"


def test_the_table_of_settings_is_that_of_the_code() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_machines.py"))["page"]()
    assert MACHINES.read_text("utf-8") == made, "run `make docs` (python docs/make_machines.py)"


def test_every_command_is_one() -> None:
    found = []
    for page in PAGES:
        for words in COMMAND.findall(page.read_text("utf-8")):
            found.append(words)
            command = typer.main.get_command(app)
            for word in words.split():
                inner = getattr(command, "commands", {})
                if word in inner:
                    command = inner[word]
                elif word.startswith("--"):
                    options = {name for each in command.params for name in each.opts}
                    assert word in options, f"{page.name}: paybatch {words}"
                else:
                    assert not inner, f"{page.name}: there is no command {word!r} in {words!r}"
    assert len(found) > 8, found


def test_every_file_is_there() -> None:
    for page in PAGES:
        for name in re.findall(
            r"\b((?:deploy|docs|src|tests)/[\w@./-]*\w)", page.read_text("utf-8")
        ):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
    named = MACHINES.read_text("utf-8")
    assert [each.name for each in DEPLOY if f"deploy/{each.name}" not in named] == []


def test_the_metrics_port_is_the_same_everywhere() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
    assert re.search(r"^EXPOSE 9108$", text, re.MULTILINE)
    assert "http://127.0.0.1:9108/health" in text
    assert '"--port", "9108"' in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda each: each.name)
def test_units_can_be_read(unit: Path, tmp_path: Path) -> None:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]  # names have capitals
    read.read_string(unit.read_text("utf-8"))
    assert {"Unit"} < set(read.sections())
    if unit.suffix == ".container":
        assert read["Container"]["EnvironmentFile"] == "/etc/paybatch/paybatch.env"
        return
    service = read["Service"]
    assert service["User"] == "paybatch"
    assert service["ExecStart"].startswith(f"{PROGRAM} ")
    if shutil.which("systemd-analyze"):
        name = unit.name.replace("@.", "@9108.")
        here = tmp_path / name
        here.write_text(unit.read_text("utf-8").replace(PROGRAM, sys.executable), "utf-8")
        environment = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
        words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(here)]
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        told = [each for each in done.stderr.splitlines() if "paybatch" in each]
        assert (done.returncode, told) == (0, []), done.stderr


def test_the_container_runs_nothing_as_root_and_takes_nothing_unchecked() -> None:
    text = (ROOT / "deploy" / "Containerfile").read_text("utf-8")
    lines = [each for each in text.replace("\\\n", " ").splitlines() if each and each[0] != "#"]
    words = [each.split(maxsplit=1) for each in lines]
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK"}
    assert {each[0] for each in words} == known | {"ENTRYPOINT", "CMD"}
    assert {each[1].split()[0] for each in words if each[0] == "FROM"} == {"python:3.11-slim"}
    assert [each[1] for each in words if each[0] == "USER"] == ["10001:10001"]
    for name in (each[1] for each in words if each[0] == "COPY"):
        if not name.startswith("--from"):
            assert all((ROOT / source).exists() for source in name.split()[:-1]), name
    for command in (each[1] for each in words if each[0] == "RUN"):
        for part in command.split("&&"):
            if "pip " in part:
                checked = "--require-hashes" in part or "--no-index" in part or "--no-deps" in part
                assert checked, part
    ignored = (ROOT / ".containerignore").read_text("utf-8").split()
    assert {f"!{each}" for each in ("requirements.lock", "pyproject.toml", "src")} < set(ignored)


def test_the_statement_for_a_restore_leaves_numbers_out(engine: Engine) -> None:
    (statement,) = re.findall(r"```sql\n(.*?)```", MACHINES.read_text("utf-8"), re.DOTALL)
    with engine.database.transaction() as connection:
        before = connection.execute("SELECT nextval('batch_number')").fetchone()
        connection.execute(statement)
        after = connection.execute("SELECT nextval('batch_number')").fetchone()
    assert before is not None
    assert after is not None
    assert after[0] - before[0] > 1_000_000
