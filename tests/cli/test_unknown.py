"""``paybatch unknown``: what is listed, how it is decided, and what wrong words are told."""

import pytest

from cli_support import Cli, File
from outside_support import CARD, HEADER, Model
from paybatch import registry


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model(loses=True, is_deaf=True)
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    monkeypatch.setenv("PAYBATCH_PATIENCE_SECONDS", "0")
    return found


def test_unknown_calls_are_listed_and_decided(cli: Cli, file: File, model: Model) -> None:
    assert cli("unknown", "list").out == "Unknown: none.\n"
    ran = cli("run", file(f"{HEADER}sale,1250,USD,{CARD},a,\n"), "--json")
    (row,) = cli("unknown", "list", "--json").json
    assert {name: row[name] for name in ("gate", "kind", "reference", "state", "asked")} == {
        "gate": "sandbox",
        "kind": "sale",
        "reference": "a",
        "state": "unknown",
        "asked": 0,
    }
    assert (row["amount_minor"], row["currency"], row["masked"]) == (
        1250,
        "USD",
        "411111******1111",
    )
    assert (row["batch"], row["payment"][:4], row["next"] > row["since"]) == (
        ran.json["id"],
        "pay_",
        True,
    )
    shown = cli("unknown", "list").out
    assert "asked about" in shown
    assert "12.50" in shown
    assert cli("unknown", "look").out == "0 became known; 1 still unknown.\n"
    told = cli("unknown", "decide", row["id"], "--approved", "--note", "on their page", "--json")
    assert told.json["state"] == "approved"
    assert (told.json["approved_minor"], told.json["batch"]) == (1250, ran.json["id"])
    assert cli("batch", "resume", ran.json["id"], "--json").json["state"] == "completed"
    assert cli("payment", "show", "a", "--json").json["state"] == "captured"


def test_wrong_words_are_told(cli: Cli, file: File, model: Model) -> None:
    cli("run", file(f"{HEADER}sale,1250,USD,{CARD},a,\n"))
    (row,) = cli("unknown", "list", "--json").json
    decide = ("unknown", "decide", row["id"], "--note", "x")
    for words in (decide, (*decide, "--approved", "--failed")):
        assert cli(*words).code == 2
    assert "--approved only" in cli(*decide, "--failed", "--amount-minor", "5").err
    wrong = cli("unknown", "decide", "op_4111111111111111", "--note", "x", "--failed")
    assert wrong.code == 1
    assert "411111******1111" in wrong.err
