"""Named SQL: the statements of a noun stand in ``<noun>.sql`` and are read from there.

A file is a list of blocks. A block begins with ``-- name: the_name``, then a sentence in comments,
then one statement with ``%(named)s`` parameters. No SQL text stands anywhere else.
"""

import re
from functools import cache
from importlib import resources
from typing import LiteralString

_BLOCK = re.compile(
    r"^-- name: (?P<name>[a-z_0-9]+)\n(?P<body>.*?)(?=^-- name: |\Z)", re.MULTILINE | re.DOTALL
)


@cache
def statements(noun: str) -> dict[str, LiteralString]:
    """Read the statements of ``<noun>.sql`` by their names."""
    text = resources.files("paybatch.store").joinpath(f"{noun}.sql").read_text("utf-8")
    found: dict[str, LiteralString] = {}
    for match in _BLOCK.finditer(text):
        lines = match["body"].splitlines()
        statement = "\n".join(line for line in lines if not line.startswith("--")).strip()
        found[match["name"]] = statement.rstrip(";")
    return found


def nouns() -> list[str]:
    """Name every noun that has a file of statements."""
    folder = resources.files("paybatch.store")
    return sorted(each.name[:-4] for each in folder.iterdir() if each.name.endswith(".sql"))
