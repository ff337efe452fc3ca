"""Makes docs/tour.md: the commands of the tour with what they really print.

    python docs/make_tour.py            # in an empty home, on the embedded database

`tests/cli/test_tour.py` runs the same commands and holds their output against the page.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tour.md"

COMMANDS: tuple[tuple[str, str], ...] = (
    ("A merchant with sandbox gates, to try things with.", "paybatch demo"),
    ("What would the file do? Nothing is written.", "paybatch check examples/payments.csv"),
    (
        "Carry it out. Three rows are wrong on purpose; one declines, one is approved in part.",
        "paybatch run examples/payments.csv --results payments.results.csv",
    ),
    (
        "The same bytes are not carried out twice by mistake.",
        "paybatch run examples/payments.csv",
    ),
    (
        "An authorization, its captures and a refund in one file, by your own reference.",
        "paybatch run examples/chain.csv --results chain.results.csv",
    ),
    ("One payment, and what was done to it.", "paybatch payment show chain-1"),
    ("The books.", "paybatch ledger balance"),
    ("The batches.", "paybatch batch list"),
)

INTRODUCTION = """# A tour

Made by `docs/make_tour.py` from a real run; `tests/cli/test_tour.py` keeps it current. Ids, times
and speeds differ from run to run.
"""

CHANGING = (
    (re.compile(r"\b(bat|pay|op|card|bank)_[0-9a-v]{20,36}"), r"\1_" + "0" * 20),
    (re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?"), "DATE"),
    (re.compile(r"[\d.,]+ s, [\d,]+ rows/s"), "SECONDS"),
    (re.compile(r" +"), " "),
    (re.compile(r"[ \n]*\n"), "\n"),
)


def run(command: str, home: Path, environment: dict[str, str]) -> str:
    """Run a command of the tour and give all that it prints, errors too."""
    arguments = [sys.executable, "-m", *command.split()]
    done = subprocess.run(  # noqa: S603 - the commands stand above
        arguments,
        cwd=home,
        env={**environment, "COLUMNS": "120", "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout.rstrip()


def page(home: Path, environment: dict[str, str]) -> str:
    """Make the page in an empty folder that has the examples."""
    (home / "examples").symlink_to(ROOT / "examples")
    parts = [INTRODUCTION]
    for sentence, command in COMMANDS:
        printed = run(command, home, environment)
        lines = "\n".join(line.rstrip() for line in printed.splitlines())
        parts.append(f"{sentence}\n\n```console\n$ {command}\n{lines}\n```\n")
    return "\n".join(parts)


def lasting(text: str) -> str:
    """Take out of a page what differs from run to run."""
    for pattern, instead in CHANGING:
        text = pattern.sub(instead, text)
    return text


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        house = {**os.environ, "PAYBATCH_HOME": str(Path(folder) / "home")}
        run("paybatch migrate", Path(folder), house)
        PAGE.write_text(page(Path(folder), house), "utf-8")
        run("paybatch stop", Path(folder), house)


if __name__ == "__main__":
    main()
