"""docs/operations.md and examples/kinds are what the kinds declare, and the examples run."""

import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from paybatch import registry
from tests_support import idle_here

ROOT = Path(__file__).parents[2]
MADE = runpy.run_path(str(ROOT / "docs" / "make_operations.py"))


def test_the_page_is_current() -> None:
    kept = (ROOT / "docs" / "operations.md").read_text("utf-8")
    assert kept == MADE["page"](), "run `make docs` (python docs/make_operations.py)"


def test_the_examples_are_current() -> None:
    folder = ROOT / "examples" / "kinds"
    kept = {file.name: file.read_text("utf-8") for file in folder.glob("*.csv")}
    assert kept == MADE["examples"](), "run `make docs` (python docs/make_operations.py)"


@pytest.mark.parametrize("name", registry.kinds())
def test_an_example_runs(name: str, run: Any) -> None:
    example = (ROOT / "examples" / "kinds" / f"{name}.csv").read_bytes()
    result = run("native", example)
    refused = result.filter(pl.col("outcome") != "approved", ~pl.col("kind").is_in(idle_here()))
    assert refused.is_empty(), str(refused.select("kind", "outcome", "reason", "message"))
    assert result["kind"].to_list()[-1] == name
