"""Every block of SQL is prepared against the migrated schema."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.pq import ExecStatus

from paybatch.store.statements import nouns, statements

PARAMETER = re.compile(r"%\((\w+)\)s")
COPY_OUT = re.compile(r"^COPY \((?P<query>.*)\) TO STDOUT \(FORMAT csv\)$", re.DOTALL)
COPY_IN = re.compile(
    r"^COPY (?P<table>\w+) \((?P<columns>[\w,\s]+)\)\s+FROM STDIN \(FORMAT csv\)$", re.DOTALL
)
TEMPORARY = "CREATE TEMPORARY TABLE"
BLOCKS = [
    pytest.param(statement, id=f"{noun}.{name}")
    for noun in nouns()
    for name, statement in statements(noun).items()
]


@pytest.fixture(scope="module")
def connection(server: str) -> Iterator[psycopg.Connection]:
    """Give a connection in which every temporary table of the blocks is there."""
    with psycopg.connect(server) as opened:
        for noun in nouns():
            for statement in statements(noun).values():
                if statement.startswith(TEMPORARY):
                    opened.execute(statement)
        yield opened
        opened.rollback()


def inner(statement: str) -> str:
    """Give what PostgreSQL can prepare of a block: for a COPY, the query that it stands for."""
    if found := COPY_OUT.match(statement):
        return found["query"]
    if found := COPY_IN.match(statement):
        return f"SELECT {found['columns']} FROM {found['table']}"
    assert not statement.startswith("COPY"), "a COPY of another form: name its columns, FORMAT csv"
    return statement


def numbered(statement: str) -> str:
    """Write the parameters as $1, $2 and so on."""
    names = list(dict.fromkeys(PARAMETER.findall(statement)))
    return PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement)


@pytest.mark.parametrize("statement", BLOCKS)
def test_block_can_be_prepared(connection: psycopg.Connection, statement: str) -> None:
    query = numbered(inner(statement))
    result = connection.pgconn.prepare(b"", query.encode())
    if result.status != ExecStatus.COMMAND_OK:
        message = result.error_message.decode()
        connection.rollback()
        pytest.fail(f"{message}\n{query}")


@pytest.mark.parametrize("statement", BLOCKS)
def test_block_is_one_statement_with_named_parameters(statement: str) -> None:
    assert ";" not in statement
    assert not re.search(r"%(?!\(\w+\)s)", statement), "name the parameter: %(name)s"


def test_a_wrong_block_is_noticed(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        wrong = connection.pgconn.prepare(b"", b"SELECT nothing FROM batch")
        assert wrong.status == ExecStatus.FATAL_ERROR
