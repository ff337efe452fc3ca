"""Plug-ins: a module is named as its plug-in, and says what it is, since when and by whom."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paybatch import registry

PLUGINS: list[tuple[str, Mapping[str, Any]]] = [
    ("kinds", registry.kinds()),
    ("dialects", registry.dialects()),
    ("connectors", registry.connectors()),
]
EACH = [
    pytest.param(folder, name, plugin, id=f"{folder}/{name}")
    for folder, found in PLUGINS
    for name, plugin in found.items()
]


@pytest.mark.parametrize(("folder", "name", "plugin"), EACH)
def test_plugin_has_its_modules_name(folder: str, name: str, plugin: Any) -> None:
    assert plugin.name == name, f"{folder}/{name}.py: give name={name!r}, or rename the module"
    assert plugin.title, f"{folder}/{name}.py: give it a title for people"


@pytest.mark.parametrize(("folder", "name", "plugin"), EACH)
def test_plugin_has_a_manual_page_with_its_source(folder: str, name: str, plugin: Any) -> None:
    first, *rest = plugin.document.strip().splitlines()
    words = name.replace("_", " ").capitalize()
    assert first.startswith(f"{words}: "), (
        f"{folder}/{name}.py: begin the docstring with '{words}: ' and what it does"
    )
    assert first.endswith("."), f"{folder}/{name}.py: the docstring's first line is a sentence"
    assert any(rest), f"{folder}/{name}.py: say below the first line when it is used, and how"
    assert re.search(r"^Sources?: ", plugin.document, re.MULTILINE), (
        f"{folder}/{name}.py: end the docstring with 'Source: ' and where it is published"
    )


@pytest.mark.parametrize("name", registry.kinds())
def test_kind_says_when_and_has_samples(name: str) -> None:
    kind = registry.kinds()[name]
    assert "\nWhen: " in kind.document, f"kinds/{name}.py: say in the docstring when it is used"
    assert kind.samples, f"kinds/{name}.py: give at least one sample row"


@pytest.mark.parametrize("name", registry.dialects())
def test_dialect_has_a_source_and_kinds_that_exist(name: str) -> None:
    dialect = registry.dialects()[name]
    assert dialect.source, f"dialects/{name}.py: say where the format is published"
    wrong = (dialect.sample_kinds or frozenset()) - set(registry.kinds())
    assert not wrong, f"dialects/{name}.py: there are no kinds {sorted(wrong)}"


@pytest.mark.parametrize("name", registry.dialects())
def test_dialect_has_golden_files(name: str, repository: Any) -> None:
    found = repository.under(f"tests/golden/{name}", ".csv")
    assert found, f"write a request to tests/golden/{name}/ and run `make golden`"


@pytest.mark.parametrize("name", registry.kinds())
def test_kind_stands_in_a_golden_file(name: str, repository: Any) -> None:
    found = [
        file
        for file in repository.under("tests/golden/native", ".csv")
        if re.search(rf"^{name},", file.text, re.MULTILINE)
    ]
    assert found, f"put rows of kind {name} into a file of tests/golden/native/"


def test_no_file_of_a_plugin_folder_is_passed_over(repository: Any) -> None:
    for folder, found in PLUGINS:
        files = {Path(each.name).stem for each in repository.under(f"src/paybatch/{folder}")}
        assert files - {"__init__"} == set(found), f"{folder}: every module is one plug-in"
