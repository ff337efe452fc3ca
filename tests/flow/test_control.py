"""Control: a batch can be stopped wherever it stands, and what is told is true."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from paybatch.domain.lifecycle import BatchState
from paybatch.flow import batch as batches
from paybatch.flow import control, worker
from paybatch.flow.engine import Engine, load_batch, move
from paybatch.flow.intake import accept as accepting
from paybatch.flow.intake.receive import Request, receive
from paybatch.flow.place import Place
from paybatch.store import batches as stored
from paybatch.store import chunks

HEADER = "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference,payment\n"
CARD = "4111111111111111,12/39"
CONTENT = [(HEADER + "".join(f"sale,{100 + n},USD,{CARD},123,r{n},\n" for n in range(3))).encode()]
REQUEST = Request(file_name="stop.csv")
Reengine = Callable[..., Engine]


def rows_of(engine: Engine, sql: str) -> list[Any]:
    with engine.database.transaction() as connection:
        return connection.execute(sql).fetchall()


def outcomes(engine: Engine) -> list[Any]:
    return rows_of(engine, "SELECT state, count(*) FROM outcome GROUP BY state ORDER BY state")


def nothing_is_left(engine: Engine, batch_id: int) -> bool:
    """Tell whether a batch sent nothing, keeps no key, secret or upload, and lets its bytes go."""
    secrets = rows_of(engine, "SELECT count(*) FROM secret_block")
    [batch] = rows_of(
        engine, f"SELECT wrapped_key IS NULL, holds_content FROM batch WHERE id = {batch_id}"
    )
    uploads = engine.blobs.listed("upload")
    payments = rows_of(engine, "SELECT count(*) FROM payment")
    return (secrets, batch, uploads, payments) == ([(0,)], (True, False), [], [(0,)])


def ready(engine: Engine, place: Place) -> int:
    """Give a batch that is accepted and not released."""
    batch_id = receive(engine, place, CONTENT, REQUEST)
    batches._accepted(engine, batch_id, place, batches.Listener())
    return batch_id


@pytest.mark.parametrize("state", [BatchState.RECEIVED, BatchState.CHECKING])
def test_a_batch_that_is_not_read_yet_can_be_cancelled(
    engine: Engine, place: Place, state: BatchState
) -> None:
    batch_id = receive(engine, place, CONTENT, REQUEST)
    move(engine, batch_id, state)
    done = control.cancel(engine, load_batch(engine, batch_id), "test")
    assert done.state == "cancelled"
    assert nothing_is_left(engine, batch_id)
    worker.take_on_left(engine)
    assert batches.go_on(engine, batch_id).state == "cancelled"
    assert outcomes(engine) == []
    assert batches.run(engine, place, CONTENT, REQUEST).state == "completed"


def test_a_batch_that_is_being_read_can_be_cancelled(
    place: Place, with_settings: Reengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process cancels when a block is stored; the reader sees it at the next one."""
    engine = with_settings(chunk_rows=1, threads=1)
    batch_id = receive(engine, place, CONTENT, REQUEST)
    real, blocks = accepting._store, []

    def store(connection: Any, load: Any, number: int, **frames: Any) -> None:
        if number == 2:
            move(engine, batch_id, BatchState.CANCELLING)  # what `cancel` does first
        blocks.append(number)
        real(connection, load, number, **frames)

    monkeypatch.setattr(accepting, "_store", store)
    assert batches.go_on(engine, batch_id).state == "cancelled"
    assert blocks[-1] < 4
    assert outcomes(engine) == [("cancelled", 1)]
    assert nothing_is_left(engine, batch_id)


def test_only_one_process_reads_a_file(engine: Engine, place: Place) -> None:
    batch_id = receive(engine, place, CONTENT, REQUEST)
    with engine.database.session() as one, engine.database.session() as other:
        with stored.reading(one, batch_id), stored.reading(other, batch_id, waits=False) as ours:
            assert not ours
        with stored.reading(other, batch_id, waits=False) as ours:
            assert ours, "it is let go with the block"


def test_a_batch_that_is_released_meanwhile_is_cancelled_all_the_same(
    engine: Engine, place: Place
) -> None:
    """A worker releases it between the look at its state and the cancelling."""
    batch_id = ready(engine, place)
    stale = load_batch(engine, batch_id)
    batches.approve(engine, stale)
    assert control.cancel(engine, stale, "test").state == "cancelled"
    assert outcomes(engine) == [("cancelled", 3)]
    assert nothing_is_left(engine, batch_id)


def test_nothing_is_cancelled_where_cancelling_is_refused(engine: Engine, place: Place) -> None:
    batch_id = ready(engine, place)
    stale = load_batch(engine, batch_id)
    assert batches.go_on(engine, batch_id).state == "completed"
    with pytest.raises(control.NotNowError, match="is completed; it cannot be cancelled"):
        control.cancel(engine, stale, "test")
    assert outcomes(engine) == [("approved", 3)]


@pytest.mark.parametrize("again", ["cancel", "go_on", "sweep"])
def test_a_cancelling_that_was_killed_is_taken_on(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    batch_id = ready(engine, place)
    with monkeypatch.context() as patch:
        patch.setattr(control, "cancel_rows", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            control.cancel(engine, load_batch(engine, batch_id), "test")
    assert load_batch(engine, batch_id).state == "cancelling"
    if again == "cancel":
        control.cancel(engine, load_batch(engine, batch_id), "test")
    elif again == "go_on":
        batches.go_on(engine, batch_id)
    else:
        worker.take_on_left(engine)
    assert load_batch(engine, batch_id).state == "cancelled"
    assert outcomes(engine) == [("cancelled", 3)]
    assert nothing_is_left(engine, batch_id)
    assert rows_of(engine, "SELECT count(*) FROM audit WHERE action = 'batch.cancelled'") == [(1,)]


def test_a_refusal_that_was_killed_stays_one(
    place: Place, with_settings: Reengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of its rows is cancelled; then what was wrong with the others is put right."""
    engine = with_settings(chunk_rows=1)
    held = [(HEADER + f"authorize,100,USD,{CARD},,held,\n").encode()]
    assert batches.run(engine, place, held, REQUEST).state == "completed"
    text = HEADER + f"sale,100,USD,{CARD},,a,\nrefund,5,,,,,,held\n"
    batch_id = receive(engine, place, [text.encode()], replace(REQUEST, policy="all-or-none"))
    real = chunks.cancel_chunk
    cancelled: list[Any] = []

    def cancel_one(*chunk: Any) -> None:
        if cancelled:
            raise KeyboardInterrupt
        cancelled.append(chunk)
        real(*chunk)

    with monkeypatch.context() as patch:
        patch.setattr(chunks, "cancel_chunk", cancel_one)
        with pytest.raises(KeyboardInterrupt):
            batches.go_on(engine, batch_id)
    captured = [(HEADER + "capture,100,,,,,,held\n").encode()]
    assert batches.run(engine, place, captured, REQUEST).state == "completed"
    done = batches.go_on(engine, batch_id)
    assert (done.state, done.refusal is not None) == ("refused", True)
    assert rows_of(engine, "SELECT captured, refunded FROM payment") == [(100, 0)]


def test_no_chunk_is_taken_after_a_pause(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The statement that takes a chunk began before the pause was told."""
    batch_id = ready(engine, place)
    batches.approve(engine, load_batch(engine, batch_id))
    real = chunks._chunks

    def slow(connection: Any, name: str, parameters: Any) -> Any:
        found = real(connection, name, parameters)
        if name == "take_chunk":
            assert found
            move(engine, batch_id, BatchState.PAUSING)
        return found

    monkeypatch.setattr(chunks, "_chunks", slow)
    with engine.database.transaction() as connection:
        assert chunks.take_chunk(connection, batch_id, engine.clock()) is None
    assert control.calm(engine, batch_id).state == "paused"
    assert outcomes(engine) == []


def test_a_lock_of_a_file_ends_no_transaction(engine: Engine, place: Place) -> None:
    """While a file is read no transaction stands open and idle."""
    batch_id = receive(engine, place, CONTENT, REQUEST)
    idle = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE state LIKE 'idle in%' AND datname = current_database()"
    )
    seen: list[Any] = []

    @contextmanager
    def watched(connection: Any, number: int, **options: Any) -> Any:
        with real(connection, number, **options) as is_ours:
            seen.append(rows_of(engine, idle))
            yield is_ours

    real = stored.reading
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "reading", watched)
        batches.go_on(engine, batch_id)
    assert seen == [[(0,)]]
