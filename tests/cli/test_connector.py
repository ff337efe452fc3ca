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


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        ([], 1, "The settings that connector 'sandbox' wants: url: where it is."),
        (["port=80"], 1, "The settings that connector 'sandbox' wants: url: where it is."),
        (["url=http://there", "port=80"], 1, "wants: url: where it is."),
        (["url="], 1, "'url' is not a setting as name=value."),
        (["url=http://there"], 0, ""),
    ],
)
def test_a_gate_tells_a_connector_that_is_outside_what_it_wants_and_nothing_else(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, told: list[str], code: int, said: str
) -> None:
    outside = replace(
        registry.connectors()["sandbox"], inline=False, settings={"url": "where it is"}
    )
    monkeypatch.setitem(registry.connectors(), "sandbox", outside)
    settings = [part for each in told for part in ("--setting", each)]
    done = cli("gate", "add", "demo", "out", "--connector", "sandbox", *settings)
    assert done.code == code
    assert said in " ".join(done.err.split())
