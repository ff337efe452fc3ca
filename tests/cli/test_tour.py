"""The tour and the README's commands, run as they stand."""

import importlib.util
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tour_is_what_the_commands_print(tmp_path: Path, database_url: str) -> None:
    spec = importlib.util.spec_from_file_location("make_tour", ROOT / "docs" / "make_tour.py")
    assert spec is not None
    assert spec.loader is not None
    make_tour = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_tour)
    house = {
        **os.environ,
        "PAYBATCH_DATABASE_URL": database_url,
        "PAYBATCH_HOME": str(tmp_path / "home"),
    }
    made = make_tour.page(tmp_path, house)
    kept = make_tour.PAGE.read_text("utf-8")
    assert make_tour.lasting(made) == make_tour.lasting(kept), "run `make docs`"


def test_every_command_of_the_readme_is_in_the_tour_or_has_help() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    tour = (ROOT / "docs" / "tour.md").read_text("utf-8")
    named = set(re.findall(r"^\$ \.venv/bin/(paybatch .*)$", readme, re.MULTILINE))
    assert named
    for command in named:
        assert command.removesuffix(" --again") in tour
