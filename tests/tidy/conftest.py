"""The repository as the tidy tests look at it: its files, and its Python files as trees."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_FOLDERS = ("src", "tests", "bench", "docs", "examples", ".ci")
_ROOT_FILES = ("*.md", "*.toml", "Makefile")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class File:
    """One text file of the repository; ``name`` is its path from the root."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The file's syntax tree (Python files only)."""
        return ast.parse(self.text)

    @cached_property
    def module(self) -> str:
        """The dotted name under ``src``."""
        parts = Path(self.name).with_suffix("").parts[1:]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def functions(self) -> Iterator[Function]:
        """Give every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def texts(self) -> Iterator[ast.Constant]:
        """Give every string literal, also the plain parts of f-strings, but no docstring."""
        documents = {id(each) for each in _documents(self.tree)}
        for node in ast.walk(self.tree):
            if not isinstance(node, ast.Constant) or id(node) in documents:
                continue
            if isinstance(node.value, str):
                yield node

    def imports(self) -> Iterator[tuple[int, str]]:
        """Give line and dotted name of all that is imported, wherever it is."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, each.name) for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name}: import by the full name"
                yield node.lineno, node.module or ""
                yield from ((node.lineno, f"{node.module}.{each.name}") for each in node.names)


def _documents(tree: ast.Module) -> Iterator[ast.Constant]:
    """Give the docstrings, and the strings that stand below a field to describe it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value


@dataclass(frozen=True)
class Repository:
    """Every text file that is ours."""

    files: tuple[File, ...]

    def under(self, folder: str, ending: str = ".py") -> list[File]:
        """Give the files of a folder with this ending."""
        return [each for each in self.files if each.name.startswith(folder + "/")
                and each.name.endswith(ending)]  # fmt: skip

    @property
    def source(self) -> list[File]:
        """The Python files of the package."""
        return self.under("src")

    @property
    def python(self) -> list[File]:
        """All Python files."""
        return [each for each in self.files if each.name.endswith(".py")]


def _paths() -> Iterator[Path]:
    for pattern in _ROOT_FILES:
        yield from ROOT.glob(pattern)
    for folder in _FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def repository() -> Repository:
    """Give the repository's files; what is not text, and what tools leave behind, is not in it."""
    files = []
    for path in sorted(set(_paths())):
        if "__pycache__" in path.parts or path.suffix in {".pyc", ".so"}:
            continue
        try:
            files.append(File(path.relative_to(ROOT).as_posix(), path.read_text("utf-8")))
        except UnicodeDecodeError:
            continue  # an example in another encoding, or a packed one
    return Repository(tuple(files))
