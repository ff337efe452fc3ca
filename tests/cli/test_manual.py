"""``paybatch kinds``, ``dialects``, ``sample`` and ``--help``: made from the declarations."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli_support import Cli
from paybatch import registry
from paybatch.cli.app import app
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place
from paybatch.flow.sample import sample
from paybatch.flow.summary import summarize
from tests_support import idle_here

LISTING = {"list", "show", "kinds", "dialects", "doctor", "balance", "run", "check", "results"}


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give every command with the words that call it."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = [
    pytest.param(words, command, id=" ".join(words))
    for words, command in commands(typer.main.get_command(app))
]


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_every_command_and_option_has_help(words: tuple[str, ...], command: Any) -> None:
    assert command.help, f"`paybatch {' '.join(words)}` says nothing of itself"
    for parameter in command.params:
        assert parameter.help, f"`paybatch {' '.join(words)}`: {parameter.name} has no help"


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_every_listing_takes_json(words: tuple[str, ...], command: Any) -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    if words[-1] in LISTING or words[-1] == "add":
        assert "--json" in options


def test_help_names_every_command(bare: Cli) -> None:
    done = bare("--help")
    assert done.code == 0
    for words, _ in commands(typer.main.get_command(app)):
        assert words[0] in done.out


def test_kinds_are_listed(bare: Cli) -> None:
    listed = bare("kinds", "--json").json
    assert [each["id"] for each in listed] == list(registry.kinds())
    assert all(each["state"] == "active" for each in listed)
    assert "gives money away" in bare("kinds").out


@pytest.mark.parametrize("name", registry.kinds())
def test_every_kind_has_a_page(bare: Cli, name: str) -> None:
    kind = registry.kinds()[name]
    page = bare("kinds", name).out
    for field in kind.fields:
        assert field.name in page
        assert field.type.allowed in page
    assert kind.document.splitlines()[0] in page
    assert all(word in page for word in (kind.amount.value, kind.permission, kind.risk.value))
    told = bare("kinds", name, "--json").json
    assert (told["id"], told["state"], told["opposite"]) == (name, "active", kind.opposite)


def test_a_page_says_what_is_required_and_allowed(bare: Cli) -> None:
    capture = bare("kinds", "capture", "--json").json
    required = {each["name"]: each["required"] for each in capture["columns"]}
    assert required["payment"] == "yes"
    assert capture["statuses"] == ["authorized", "partially_captured", "partially_refunded"]
    sale = {
        each["name"]: each["required"] for each in bare("kinds", "sale", "--json").json["columns"]
    }
    assert sale["card_number"] == sale["customer"] == "one means"
    assert sale["card_expiry"] == "with card_number"


def test_dialects_are_listed(bare: Cli) -> None:
    listed = bare("dialects", "--json").json
    assert [each["id"] for each in listed] == list(registry.dialects())
    assert all(each["source"] and each["marks"] and each["state"] for each in listed)
    assert "transaction_type" in bare("dialects").out


@pytest.mark.parametrize("command", ["kinds", "sample"])
def test_a_wrong_name_ends_with_2_and_the_known_names(bare: Cli, command: str) -> None:
    done = bare(command, "nothing")
    assert (done.code, done.out) == (2, "")
    assert ", authorize, " in done.err
    assert ", capture, " in done.err
    assert ("filebatch, native" in done.err) == (command == "sample")


@pytest.mark.usefixtures("customer")
@pytest.mark.parametrize("name", [*registry.kinds(), *registry.dialects()])
def test_every_row_of_a_sample_is_approved(engine: Engine, place: Place, name: str) -> None:
    text = sample(name)
    done = batches.run(engine, place, [text.encode()], Request(file_name=f"{name}.csv"))
    assert done.dialect == (name if name in registry.dialects() else "native")
    idle = {"rejected"} if name in idle_here() else set()
    assert set(summarize(engine, done)) == {"approved"} | idle
    assert done.row_count == len(text.splitlines()) - 1


def test_a_sample_goes_through_a_pipe(cli: Cli) -> None:
    printed = cli("sample", "refund").out
    assert printed.splitlines()[0].startswith("kind,")
    assert cli("run", "-", "--strict", stdin=printed).code == 0
