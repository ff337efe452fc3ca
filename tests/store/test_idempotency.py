"""Idempotency keys: one holder, also between transactions that wait for each other."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import polars as pl
import pytest

from paybatch.store import idempotency, operations
from paybatch.store.database import Connection, Database, Row
from paybatch.store.operations import OUTCOME_COLUMNS

SECONDS = 10


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def keep(connection: Connection[Row], operation_id: int) -> list[dict[str, Any]]:
    key = {"merchant_id": 1, "face": "call", "key": "k", "values_hash": "v", "id": operation_id}
    return idempotency.keep_keys(connection, pl.DataFrame([key]))


def end(connection: Connection[Row], operation_id: int, state: str) -> None:
    outcome = dict.fromkeys(OUTCOME_COLUMNS) | {
        "merchant_id": 1,
        "id": operation_id,
        "state": state,
        "settled_at": "2026-11-21T12:00:00Z",
    }
    operations.copy_outcomes(connection, pl.DataFrame([outcome]))


@pytest.mark.parametrize(
    ("state", "holder"), [("approved", 1), ("declined", 1), ("rejected", 2), ("cancelled", 2)]
)
def test_a_key_under_which_nothing_was_sent_is_free(
    database: Database, state: str, holder: int
) -> None:
    with database.transaction() as connection:
        assert keep(connection, 1) == []
        end(connection, 1, state)
    with database.transaction() as connection:
        taken = keep(connection, 2)
    assert [(row["first_id"], row["state"]) for row in taken] == [(1, state)] * (holder == 1)
    with database.transaction() as connection:
        assert [row["first_id"] for row in keep(connection, 3)] == [holder]


def test_a_key_that_is_freed_while_somebody_waits_for_it_is_theirs(database: Database) -> None:
    """The statement that waited does not see the outcome that frees the key."""
    asks = Event()

    def second() -> list[dict[str, Any]]:
        with database.transaction() as connection:
            asks.set()
            return keep(connection, 2)

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as connection:
            keep(connection, 1)
            waiting: Future[list[dict[str, Any]]] = pool.submit(second)
            asks.wait(SECONDS)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
            end(connection, 1, "rejected")
        assert waiting.result(SECONDS) == []
