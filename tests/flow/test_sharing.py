"""Workers share batches: none waits for what another one has."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from outside_support import CARD, Model, hand_in
from paybatch import registry
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.worker import take_on
from paybatch.store import chunks

ROWS = "".join(f"sale,{i},USD,{CARD},,\n" for i in range(1, 61))
HOLDER = 4711
TODO = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND queueing_lock = %s"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    found = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", found.connector())
    return found


@contextmanager
def another_has_a_chunk(engine: Engine, batch_id: int) -> Iterator[int]:
    """Be another worker that has a chunk of a batch under way, and lives; gives its rows."""
    with engine.database.session() as session:
        chunks.hold_as_worker(session, HOLDER)
        with engine.database.transaction() as connection:
            taken = chunks.take_chunk(connection, batch_id, engine.clock())
            assert taken is not None
            until = engine.clock().replace(year=2099)
            chunks.lease_chunk(connection, batch_id, taken.number, HOLDER, until)
        yield taken.row_count
        chunks.leave_as_worker(session, HOLDER)


def took_on(engine: Engine, batch_id: int) -> bool:
    """Take a batch on as a worker does; tell whether that came to an end."""
    taking = threading.Thread(target=take_on, args=(engine, batch_id), daemon=True)
    taking.start()
    taking.join(60)
    return not taking.is_alive()


def test_a_worker_leaves_to_another_one_what_that_has(engine: Engine, model: Model) -> None:
    engine = replace(engine, settings=engine.settings.model_copy(update={"chunk_rows": 20}))
    engine.stopping.set()
    batch = hand_in(engine, ROWS)
    engine.stopping.clear()

    def later() -> int:
        with engine.database.transaction() as connection:
            found = connection.execute(TODO, [f"later {batch.id}"]).fetchone()
        return int(found[0]) if found else 0

    with another_has_a_chunk(engine, batch.id) as held:
        assert took_on(engine, batch.id), "it waits for the other one"
        assert (load_batch(engine, batch.id).state, later()) == ("running", 1)
        assert model.done == 60 - held
        assert took_on(engine, batch.id)
        assert later() == 1, "one is enough"
    assert took_on(engine, batch.id)
    assert (load_batch(engine, batch.id).state, model.done) == ("completed", 60)
