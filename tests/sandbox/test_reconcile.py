"""From the close of a day to its file, with a processor in a process of its own."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from closing_support import HEADER, act, close, sale
from conftest import gate_values
from paybatch.cli.app import app
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import find_place
from paybatch.settings import Settings
from paybatch.store import directory
from sandbox_support import Outside


def test_a_day_is_closed_and_its_file_agrees(
    engine: Engine,
    sandbox: Outside,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = replace(engine, clock=lambda: datetime.now(UTC))  # calls leave by the sandbox's time
    shop = f"{sandbox.url}/closing"
    gate = gate_values("far", connector="sandbox_http", settings=json.dumps({"url": shop}))
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate)
    rows = [sale(f"r{n}", 100 + n, gate="far") for n in range(30)]
    rows += [sale("h", 900, "authorize", gate="far"), act("capture", "h", "400")]
    rows += [act("refund", "r1", "1"), act("void", "r2"), close("far")]
    text = HEADER + "".join(f"{each}\n" for each in rows)
    request = Request(file_name="far.csv", dialect="native", again=True)
    done = batches.run(engine, find_place(engine, "local"), [text.encode()], request)
    assert done.state == "completed", done.pause_reason
    ((number, account),) = [
        (each["id"], each["account"]) for each in json.loads(sandbox.asked("closing/settlements"))
    ]
    assert account == "closing"
    file = tmp_path / "far.csv"
    file.write_bytes(sandbox.asked(f"closing/settlements/{number}.csv"))
    monkeypatch.setenv("PAYBATCH_DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("PAYBATCH_HOME", str(settings.home))
    found = CliRunner().invoke(app, ["reconcile", "far", str(file), "--json"])
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)
    assert (told["state"], told["matched"], told["differences"]) == ("agrees", 33, [])
    (sums,) = [each for each in told["sums"] if each["currency"] == "USD"]
    assert sums["there_sale_minor"] == sums["here_sale_minor"] == sum(range(100, 130)) - 102 + 400
    assert sums["there_refund_minor"] == sums["here_refund_minor"] == 1
    assert told["matched_minor"]["USD"] == sums["there_sale_minor"] - 1
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:-1], ""]))
    found = CliRunner().invoke(app, ["reconcile", "far", str(file)])
    assert found.exit_code == 4
    assert "1 differ" in found.output
    assert "missing_there" in found.output
    assert "USD: the file comes to sales" in found.output
