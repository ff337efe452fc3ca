"""A batch that a breaker paused says why, and when it goes on."""

import pytest

from cli_support import Cli, File
from outside_support import CARD, HEADER, Model
from paybatch import registry


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model(is_busy=True)
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0, 0.0))
    monkeypatch.setenv("PAYBATCH_PATIENCE_SECONDS", "0")
    return found


def test_why_a_batch_is_paused_is_told(cli: Cli, file: File, model: Model) -> None:
    rows = "".join(f"sale,{amount},USD,{CARD},,\n" for amount in range(1, 31))
    ran = cli("run", file(HEADER + rows), "--json")
    assert (ran.code, ran.json["state"]) == (1, "paused")
    assert ran.json["reason"].startswith("The processor of gate sandbox did not answer 20 calls")
    assert ran.json["resume_at"] is not None
    shown = cli("batch", "show", ran.json["id"]).out
    assert "A worker goes on with it from" in shown
    assert cli("batch", "pause", ran.json["id"]).code == 0
    assert cli("batch", "show", ran.json["id"], "--json").json["resume_at"] is None
    model.is_busy = False
    assert cli("batch", "resume", ran.json["id"], "--json").json["state"] == "completed"
    assert model.done == 30
