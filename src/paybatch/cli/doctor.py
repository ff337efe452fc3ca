"""``paybatch doctor``: is this installation well, and what is to be done where it is not?"""

from dataclasses import asdict

import typer

from paybatch.cli.output import out, printable, show_json
from paybatch.cli.run import Json
from paybatch.flow.doctor import Finding, examined
from paybatch.settings import Settings

COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def doctor(*, as_json: Json = False) -> None:
    """Look at database, home folder, keys, blobs, limits and versions; exit 1 if any fails.

    It changes nothing, and works when the database is down.
    """
    found = []
    for each in examined(Settings()):
        found.append(each)
        if not as_json:
            _show(each)
    if as_json:
        show_json([asdict(each) for each in found])
    if any(each.state == "fail" for each in found):
        raise typer.Exit(1)


def _show(finding: Finding) -> None:
    out.print(f"{finding.state:<4}", style=COLOURS[finding.state], end="  ")
    out.print(f"{finding.id:<18}{printable(finding.found)}", markup=False, soft_wrap=True)
    if finding.advice:
        out.print(" " * 24 + printable(finding.advice), markup=False, soft_wrap=True)
