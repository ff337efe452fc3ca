"""A connector that breaks its contract: a sentence, and a batch that is taken on later."""

from dataclasses import replace

import pytest

from cli_support import GOOD, Cli, File
from paybatch import registry


def test_a_broken_connector_is_a_sentence_and_the_batch_is_kept(
    cli: Cli, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = registry.connectors()["sandbox"]
    silent = replace(good, send=lambda _: iter([]))
    monkeypatch.setitem(registry.connectors(), "sandbox", silent)
    done = cli("run", file(GOOD))
    said = " ".join(done.err.split())
    assert done.code == 1
    assert "Connector sandbox was asked" in said
    assert "without an answer" in said
    [batch] = cli("batch", "list", "--json").json
    assert f"`paybatch batch resume {batch['id']}` takes it on" in said
    monkeypatch.setitem(registry.connectors(), "sandbox", good)
    assert cli("batch", "resume", batch["id"]).code == 0


def test_no_gate_is_made_with_a_connector_that_is_not_inline(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = replace(registry.connectors()["sandbox"], inline=False)
    monkeypatch.setitem(registry.connectors(), "sandbox", outside)
    done = cli("gate", "add", "demo", "out", "--connector", "sandbox")
    assert (done.code, "has an effect outside" in done.err) == (1, True)
