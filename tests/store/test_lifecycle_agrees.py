"""The lifecycle's tables, the database's CHECKs, the guarded update and the document agree."""

import re
import runpy
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest

from paybatch.domain import lifecycle
from paybatch.domain.lifecycle import BatchState, OperationState
from paybatch.store import batches, directory
from paybatch.store.database import Database

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
DOCS = Path(__file__).parents[2] / "docs"
LIVES = [
    pytest.param(
        lifecycle.OPERATION_ARROWS, OperationState, lifecycle.OPERATION_FINAL, id="operation"
    ),
    pytest.param(lifecycle.BATCH_ARROWS, BatchState, lifecycle.BATCH_FINAL, id="batch"),
]


@pytest.mark.parametrize(("arrows", "states", "final"), LIVES)
def test_table_of_arrows_is_whole(arrows: Any, states: Any, final: frozenset[str]) -> None:
    known = {each.value for each in states}
    sources = {source for source, _ in arrows if source is not None}
    targets = {target for _, target in arrows}
    assert targets == known, "every state can be reached, and there are no others"
    assert sources == known - final, "a final state is left by no arrow, every other one by some"
    assert all(source != target for source, target in arrows)
    assert all(not when[0].isupper() and not when.endswith(".") for when in arrows.values())


@pytest.mark.parametrize(("arrows", "states", "final"), LIVES)
def test_every_life_can_end(arrows: Any, states: Any, final: frozenset[str]) -> None:
    ends = set(final)
    while grown := {source for source, target in arrows if source and target in ends} - ends:
        ends |= grown
    assert ends == {each.value for each in states}


def checks(url: str, table: str) -> list[set[str]]:
    """Give the words that each CHECK about a table's state allows."""
    query = """
        SELECT pg_get_constraintdef(oid) FROM pg_constraint
        WHERE conrelid = %s::regclass AND contype = 'c' ORDER BY conname
    """
    with psycopg.connect(url) as connection:
        found = [str(row[0]) for row in connection.execute(query, [table])]
    return [set(re.findall(r"'(\w+)'::text", each)) for each in found if "state = ANY" in each]


def test_database_knows_the_batch_states(server: str) -> None:
    with_end, states = sorted(checks(server, "batch"), key=len)
    assert states == {each.value for each in BatchState}
    assert with_end == lifecycle.BATCH_FINAL, "finished_at stands in final states only"


def test_database_knows_the_outcomes(server: str) -> None:
    assert checks(server, "outcome") == [set(lifecycle.OPERATION_FINAL)]


def test_database_knows_the_states_of_an_attempt(server: str) -> None:
    (states,) = checks(server, "attempt")
    assert states - {each.value for each in OperationState} == {"known", "person"}


def insert(connection: Any) -> int:
    """Write a batch in the state ``received``."""
    sender_id = directory.add_sender(connection, "somebody")
    directory.add_merchant(connection, "shop", "Shop", "somebody")
    merchant_id = directory.merchants_of_sender(connection, sender_id)["shop"]
    number = batches.next_number(connection)
    values = {
        "id": number,
        "sender_id": sender_id,
        "merchant_id": merchant_id,
        "gate_id": 1,
        "dialect": "native",
        "kind": None,
        "file_name": "a.csv",
        "content_hash": "0",
        "occurrence": 0,
        "byte_count": 1,
        "shape": {},
        "columns": ["kind"],
        "policy": "valid-rows",
        "nonce": b"0",
        "wrapped_key": None,
        "created_at": AT,
    }
    batches.insert_batch(connection, values)
    return number


def put(connection: Any, batch_id: int, state: str) -> None:
    """Put a batch into a state, whatever arrows there are."""
    ended = AT if state in lifecycle.BATCH_FINAL else None
    connection.execute(
        "UPDATE batch SET state = %s, finished_at = %s WHERE id = %s", [state, ended, batch_id]
    )


def test_a_batch_moves_along_the_arrows_only(database_url: str) -> None:
    database = Database(database_url)
    wrong = []
    with database.transaction() as connection:
        batch_id = insert(connection)
        for source, target in product(BatchState, BatchState):
            put(connection, batch_id, source.value)
            moved = batches.move_batch(connection, batch_id, target, AT)
            batch = batches.get_batch(connection, batch_id)
            assert batch is not None
            allowed = (source.value, target.value) in lifecycle.BATCH_ARROWS
            is_right = moved == allowed and batch.state == (target if allowed else source)
            ended = (batch.finished_at is not None) == (batch.state in lifecycle.BATCH_FINAL)
            if not (is_right and ended):
                wrong.append(f"{source} -> {target}: moved {moved}, allowed {allowed}, {batch}")
    database.close()
    assert not wrong, "\n".join(wrong)


def test_the_document_is_current() -> None:
    made = runpy.run_path(str(DOCS / "make_lifecycle.py"))["page"]()
    assert (DOCS / "lifecycle.md").read_text("utf-8") == made, (
        "run `make docs` (python docs/make_lifecycle.py)"
    )
    assert lifecycle.diagram(lifecycle.BATCH_ARROWS) in made
