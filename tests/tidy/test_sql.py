"""SQL stays SQL: it stands in ``store/<noun>.sql``, named, with a sentence, used in one place."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from paybatch.store import statements

STATEMENT = re.compile(
    r"^\s*(?:SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+(?:AS\s+\w+\s+)?SET\s|DELETE\s+FROM\s|"
    r"COPY\s*[(\w]|WITH\s+\w+\s+AS\s*\(|(?:CREATE|ALTER|DROP|TRUNCATE|LOCK)\s+"
    r"(?:TEMPORARY\s+|UNIQUE\s+)?(?:TABLE|INDEX|DATABASE|ROLE|SEQUENCE|VIEW|SCHEMA)\b)"
)
BLOCK = re.compile(r"^-- name: (?P<name>\w+)\n(?P<comment>(?:--.*\n)*)", re.MULTILINE)


def test_sql_stands_in_sql_files_only(repository: Any) -> None:
    wrong = [
        f"{file.name}:{text.lineno} holds SQL ({text.value.strip()[:40]!r}): name it in "
        'store/<noun>.sql and take it from statements("<noun>")'
        for file in repository.source
        for text in file.texts()
        if STATEMENT.match(text.value)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_pattern_knows_sql_from_sentences() -> None:
    assert all(
        STATEMENT.match(text)
        for text in (
            "SELECT 1",
            "\n  INSERT INTO batch (id) VALUES (1)",
            "UPDATE payment AS p SET captured = 1",
            "COPY (SELECT 1) TO STDOUT",
            "WITH a AS (SELECT 1) SELECT * FROM a",
        )
    )
    assert not any(
        STATEMENT.match(text)
        for text in ("Select a gate", "Update paybatch.", "COPY", "Create a merchant first")
    )


def test_every_block_has_a_sentence(repository: Any) -> None:
    wrong = []
    for file in repository.under("src/paybatch/store", ".sql"):
        for block in BLOCK.finditer(file.text):
            sentence = " ".join(line[2:].strip() for line in block["comment"].splitlines())
            if not re.match(r"[A-Z].*\.$", sentence):
                wrong.append(
                    f"{file.name}: block {block['name']} wants a sentence in comments below its "
                    "name, with a capital and a full stop"
                )
    assert not wrong, "\n".join(wrong)


def test_every_block_is_read(repository: Any) -> None:
    for file in repository.under("src/paybatch/store", ".sql"):
        noun = file.name.rsplit("/", 1)[-1].removesuffix(".sql")
        if "/schema/" not in file.name:
            names = [block["name"] for block in BLOCK.finditer(file.text)]
            assert names == list(statements.statements(noun)), f"{file.name}: a name stands twice"


def nouns_of(file: Any) -> Iterator[str]:
    """Give the nouns whose statements a module takes."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "statements":
            (noun,) = node.args
            if isinstance(noun, ast.Constant):
                yield str(noun.value)


def uses(file: Any) -> Iterator[tuple[str, str]]:
    """Give (noun, block) for each function of a module that names a block of its nouns."""
    blocks = {noun: set(statements.statements(noun)) for noun in nouns_of(file)}
    for function in file.functions():
        texts = {each.value for each in ast.walk(function) if isinstance(each, ast.Constant)}
        for noun, names in blocks.items():
            yield from ((noun, name) for name in names if name in texts)


def test_every_block_is_used_by_exactly_one_function(repository: Any) -> None:
    found = Counter(use for file in repository.under("src/paybatch/store") for use in uses(file))
    wrong = []
    for noun in statements.nouns():
        for name in statements.statements(noun):
            count = found[noun, name]
            if count != 1:
                advice = "delete it" if count == 0 else "let the others call one typed function"
                wrong.append(f"{noun}.sql: {count} functions name block {name}: {advice}")
    assert not wrong, "\n".join(wrong)


def test_every_sql_file_has_one_owner(repository: Any) -> None:
    owners = Counter(
        noun for file in repository.under("src/paybatch/store") for noun in set(nouns_of(file))
    )
    wrong = [f"{noun}.sql has {owners[noun]} modules" for noun in statements.nouns()
             if owners[noun] != 1]  # fmt: skip
    assert not wrong, "\n".join([*wrong, "one module of the store speaks for one .sql file"])
