"""The worked examples of CONTRIBUTING.md, carried out as they stand."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"^```python file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TILL = (
    "Action;Cents;Card;Expires;Receipt\n"
    "SALE;500;4111111111111111;12/39;R1\n"
    "GIVE BACK;5000;4111111111111111;12/39;R2\n"
    "sale;500;4111111111111111;12/39;R3\n"
)


@pytest.fixture
def house(tmp_path: Path, database_url: str) -> dict[str, str]:
    """Give the environment of a copy of the house with the examples built in."""
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    examples = EXAMPLE.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert [Path(path).parent.name for path, _ in examples] == ["kinds", "dialects", "connectors"]
    for path, text in examples:
        (tmp_path / path).write_text(text, "utf-8")
    return {
        **os.environ,
        "PYTHONPATH": str(tmp_path / "src"),
        "PAYBATCH_DATABASE_URL": database_url,
        "PAYBATCH_HOME": str(tmp_path / "home"),
    }


def paybatch(house: dict[str, str], *arguments: str, text: str = "") -> str:
    """Run the command of that house and give what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "paybatch", *arguments],
        env=house,
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_kind_is_one_file(house: dict[str, str], tmp_path: Path) -> None:
    paybatch(house, "demo")
    assert "Courtesy" in paybatch(house, "kinds", "courtesy")
    sample = paybatch(house, "sample", "courtesy")
    path = str(tmp_path / "result.csv")
    done = json.loads(paybatch(house, "run", "-", "--json", "--results", path, text=sample))
    assert set(done["outcomes"]) == {"approved"}
    assert "courtesy" in Path(path).read_text("utf-8")


def test_a_dialect_and_a_connector_are_one_file_each(house: dict[str, str], tmp_path: Path) -> None:
    paybatch(house, "demo")
    paybatch(house, "gate", "add", "demo", "penny", "--connector", "pennywise")
    path = str(tmp_path / "result.csv")
    arguments = ("run", "-", "--gate", "penny", "--json", "--results", path)
    done = json.loads(paybatch(house, *arguments, text=TILL))
    assert done["dialect"] == "till"
    counts = {state: outcome["count"] for state, outcome in done["outcomes"].items()}
    assert counts == {"approved": 1, "declined": 1, "rejected": 1}
    lines = Path(path).read_text("utf-8").splitlines()
    assert lines[0] == "Action,Cents,Expires,Receipt,Card,State,Message"
    assert lines[1].startswith("SALE,500,12/39,R1,411111******1111,approved")
