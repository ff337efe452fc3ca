"""The walls: what passes one is made smaller, in its shape and not only in its lines.

A wall that would make the code worse is moved in ARCHITECTURE.md with its reason, and then here.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

# Folder -> ending -> lines. The longest folder that fits counts.
WALLS = {
    "src": {".py": 400, ".sql": 300, ".html": 120},
    "src/paybatch/kinds": {".py": 120},
    "src/paybatch/dialects": {".py": 250},
    "src/paybatch/connectors": {".py": 300},
    "tests": {".py": 600},
    "bench": {".py": 400},
    "docs": {".py": 400},
}
NO_WALL = "src/paybatch/store/schema/"  # the schema is one whole; a release adds a file
ADVICE = {
    ".py": "move one noun of it, with its functions, to a module of its own",
    ".sql": "give one of its nouns a file of its own",
    ".html": "move a part of it to a template that it includes",
}
COLUMNS = 100
PRAGMA = re.compile(r"\s+# (?:noqa|type: ignore)\b.*$")  # its reason may go over, as for ruff
FUNCTION_LINES = 50
POSITIONAL = 5
NESTING = 2


def wall_of(name: str) -> int | None:
    """Give the lines that a file may have."""
    ending = Path(name).suffix
    if name.startswith(NO_WALL):
        return None
    folders = [each for each in WALLS if name.startswith(each + "/") and ending in WALLS[each]]
    return WALLS[max(folders, key=len)][ending] if folders else None


def test_files_stand_inside_their_walls(repository: Any) -> None:
    wrong = []
    for file in repository.files:
        wall, lines = wall_of(file.name), file.text.count("\n")
        if wall is not None and lines > wall:
            advice = ADVICE[Path(file.name).suffix]
            wrong.append(f"{file.name} has {lines} lines, the wall is {wall}: {advice}")
    assert not wrong, "\n".join(wrong)


def body_lines(function: ast.FunctionDef) -> int:
    """Count a function's lines without its decorators and its docstring."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_functions_are_short(repository: Any) -> None:
    wrong = [
        f"{file.name}:{each.lineno} {each.name} has {body_lines(each)} lines, the wall is "
        f"{FUNCTION_LINES}: keep the control flow, move what it decides to pure functions"
        for file in repository.python
        for each in file.functions()
        if body_lines(each) > FUNCTION_LINES
    ]
    assert not wrong, "\n".join(wrong)


def positional(function: ast.FunctionDef) -> int:
    """Count the parameters that may be given by place, without ``self`` and ``cls``."""
    names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    return len([each for each in names if each not in {"self", "cls"}])


def test_functions_take_few_parameters_by_place(repository: Any) -> None:
    wrong = [
        f"{file.name}:{each.lineno} {each.name} takes {positional(each)} parameters by place, the "
        f"wall is {POSITIONAL}: put `*,` before the others, or make one value of what belongs "
        "together"
        for file in repository.python
        for each in file.functions()
        # A test's and a command's parameters are filled in by name.
        if positional(each) > POSITIONAL
        and not each.name.startswith("test_")
        and not file.name.startswith("src/paybatch/cli/")
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("ending", [".py", ".sql", ".html"])
def test_lines_are_at_most_100_columns(repository: Any, ending: str) -> None:
    wrong = [
        f"{file.name}:{number} has {len(line)} columns, the wall is {COLUMNS}: break the line"
        for file in repository.files
        if file.name.endswith(ending)
        for number, line in enumerate(file.text.splitlines(), 1)
        if len(PRAGMA.sub("", line)) > COLUMNS
    ]
    assert not wrong, "\n".join(wrong)


def test_packages_are_not_nested_deeply(repository: Any) -> None:
    wrong = [
        f"{file.name} stands {depth} packages deep, the wall is {NESTING}: move its package up"
        for file in repository.source
        if (depth := len(Path(file.name).parts) - 3) > NESTING
    ]
    assert not wrong, "\n".join(wrong)
