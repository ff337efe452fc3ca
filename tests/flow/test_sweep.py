"""Sweep: what killed processes left is taken on or deleted, and nothing is kept too long."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import PermissionDeniedError
from structlog.testing import capture_logs

from paybatch.domain.lifecycle import BatchState
from paybatch.flow import batch as batches
from paybatch.flow import control, sweep, worker
from paybatch.flow.engine import Engine, load_batch, move
from paybatch.flow.intake.receive import Request, SeenBeforeError, receive
from paybatch.flow.place import Place
from paybatch.store.blobs import BlobsError
from paybatch.store.database import Connection, Database, DatabaseGoneError, Row
from paybatch.store.public_ids import Shape
from tests_support import laws_hold

HEADER = "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference\n"
CARD = "4111111111111111,12/39"
REQUEST = Request(file_name="swept.csv")
Reengine = Callable[..., Engine]


def file_of(amount: int = 100, cvv: str = "123", rows: int = 2) -> list[bytes]:
    """Give a file; without a CVV it has no column for them either."""
    text = HEADER + "".join(f"sale,{amount},USD,{CARD},{cvv},r{n}\n" for n in range(rows))
    return [(text if cvv else text.replace("card_cvv,", "").replace(",,", ",")).encode()]


def rows_of(engine: Engine, sql: str) -> list[Any]:
    with engine.database.transaction() as connection:
        return connection.execute(sql).fetchall()


def uploads(engine: Engine) -> list[str]:
    return sorted(name for name, _ in engine.blobs.listed("upload"))


def keys_and_secrets(engine: Engine) -> tuple[int, int]:
    [(keys,)] = rows_of(engine, "SELECT count(*) FROM batch WHERE wrapped_key IS NOT NULL")
    [(secrets,)] = rows_of(engine, "SELECT count(*) FROM secret_block")
    return keys, secrets


def later(engine: Engine, hours: float) -> Engine:
    """Give the engine of another process, some hours later."""
    now = engine.clock() + timedelta(hours=hours)
    return replace(engine, clock=lambda: now, known_numbers=set(), accounts={})


def paused(engine: Engine, place: Place) -> int:
    """Give a batch that is paused with all its CVVs."""
    batch_id = receive(engine, place, file_of(), REQUEST)
    batches._accepted(engine, batch_id, place, batches.Listener())
    batches.approve(engine, load_batch(engine, batch_id))
    control.pause(engine, load_batch(engine, batch_id), "test")
    return batch_id


class LossyDatabase(Database):
    """Commits what is asked for, and once loses the answer: the connection breaks off."""

    loses: Callable[[Connection[Row]], bool] | None = None

    @contextmanager
    def transaction(self) -> Iterator[Connection[Row]]:
        with super().transaction() as connection:
            yield connection
            is_lost = self.loses is not None and self.loses(connection)
        if is_lost:
            self.loses = None
            raise DatabaseGoneError("server closed the connection unexpectedly")


@pytest.fixture
def lossy(engine: Engine) -> Iterator[Engine]:
    """Give an engine that loses the answer to the commit of the batch's row."""
    database = LossyDatabase(engine.database.url)
    database.loses = lambda connection: bool(
        connection.execute("SELECT count(*) FROM batch").fetchone() != (0,)
    )
    yield replace(engine, database=database)
    database.close()


def test_a_received_batch_keeps_its_upload_when_the_answer_is_lost(
    engine: Engine, place: Place, lossy: Engine
) -> None:
    with pytest.raises(DatabaseGoneError):
        batches.run(lossy, place, file_of(), REQUEST)
    with pytest.raises(SeenBeforeError) as seen:
        batches.run(engine, place, file_of(), REQUEST)
    done = batches.go_on(engine, seen.value.batch_id)
    assert (done.state, uploads(engine)) == ("completed", [])
    assert rows_of(engine, "SELECT state FROM outcome") == [("approved",)] * 2


@pytest.mark.parametrize("is_stored", [True, False])
def test_an_interrupted_receive_keeps_its_upload_only_with_a_batch(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, *, is_stored: bool
) -> None:
    from paybatch.flow.intake import receive as receiving  # noqa: PLC0415 - the module

    real = receiving._insert

    def interrupted(*values: Any, **options: Any) -> None:
        if is_stored:
            real(*values, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(receiving, "_insert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        receive(engine, place, file_of(), REQUEST)
    assert uploads(engine) == (["upload/1"] if is_stored else [])


def test_a_batch_whose_upload_is_gone_is_refused(engine: Engine, place: Place) -> None:
    batch_id = receive(engine, place, file_of(), REQUEST)
    engine.blobs.delete(f"upload/{batch_id}")
    done = batches.go_on(engine, batch_id)
    assert (done.state, done.refusal) == ("refused", "Its upload is gone. Hand it in again.")
    assert batches.run(engine, place, file_of(), REQUEST).state == "completed"


def test_a_batch_that_cannot_go_on_stops_no_other_one(
    engine: Engine, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its upload was changed by somebody: a person must look."""
    paused(engine, place)
    broken = receive(engine, place, file_of(3, ""), REQUEST)
    path = Path(engine.settings.home) / "blobs" / "upload" / str(broken)
    path.write_bytes(path.read_bytes()[:-1])
    younger = receive(engine, place, file_of(4, ""), REQUEST)
    worker.take_on_left(later(engine, 25))
    assert load_batch(engine, younger).state == "completed"
    assert keys_and_secrets(engine) == (1, 0)
    assert load_batch(engine, broken).state == "checking"
    said = capsys.readouterr().out
    assert "was changed or cut off" in said
    assert "Traceback" not in said
    assert control.cancel(engine, load_batch(engine, broken), "test").state == "cancelled"


def test_a_database_that_is_gone_ends_the_sweep(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise DatabaseGoneError("gone")

    receive(engine, place, file_of(), REQUEST)
    monkeypatch.setattr(batches, "go_on", gone)
    with pytest.raises(DatabaseGoneError):
        worker.take_on_left(engine)


@pytest.mark.parametrize("sweeper", ["run", "resume", "worker"])
def test_old_cvvs_and_their_keys_are_dropped_by_whoever_comes(
    engine: Engine, place: Place, sweeper: str
) -> None:
    waiting = paused(engine, place)
    assert keys_and_secrets(engine) == (1, 1)
    other = receive(engine, place, file_of(7, ""), REQUEST)
    soon, late = later(engine, 23), later(engine, 25)
    batches.run(soon, place, file_of(8, ""), REQUEST)
    assert keys_and_secrets(engine) == (2, 1), "of the paused one, and of the one received"
    if sweeper == "run":
        batches.run(late, place, file_of(9, ""), REQUEST)
    elif sweeper == "resume":
        batches.go_on(late, other)
    else:
        worker.take_on_left(late)
    assert keys_and_secrets(engine) == (1 if sweeper == "run" else 0, 0)
    assert load_batch(engine, waiting).state == "paused"
    control.resume(late, load_batch(engine, waiting), "test")
    assert batches.go_on(late, waiting).state == "completed"
    assert rows_of(engine, "SELECT DISTINCT cvv_result FROM outcome") == [(None,)]


def test_the_key_goes_with_the_last_secret(engine: Engine, place: Place) -> None:
    """A batch without CVVs needs none once it was read."""
    batch_id = receive(engine, place, file_of(cvv=""), REQUEST)
    sweep.forget_old_secrets(engine)
    assert keys_and_secrets(engine) == (1, 0), "its file is still to be read"
    batches._accepted(engine, batch_id, place, batches.Listener())
    sweep.forget_old_secrets(engine)
    assert keys_and_secrets(engine) == (0, 0)
    assert batches.go_on(engine, batch_id).state == "completed"


@pytest.mark.parametrize("state", [BatchState.RECEIVED, BatchState.CHECKING])
@pytest.mark.parametrize("resumed", ["itself", "worker", "another run"])
def test_a_file_with_cvvs_that_was_not_read_in_time_is_refused(
    engine: Engine, place: Place, state: BatchState, resumed: str
) -> None:
    batch_id = receive(engine, place, file_of(cvv="200"), REQUEST)
    move(engine, batch_id, state)
    late = later(engine, 25)
    if resumed == "itself":
        batches.go_on(late, batch_id)
    elif resumed == "worker":
        worker.take_on_left(late)
    else:
        batches.run(late, place, file_of(7, ""), REQUEST)
    done = load_batch(engine, batch_id)
    assert done.state == "refused"
    assert done.refusal == (
        "It was not read within 24 hours, and CVVs are not kept longer. Hand it in again."
    )
    assert (uploads(engine), keys_and_secrets(engine)) == ([], (0, 0))
    assert rows_of(engine, "SELECT count(*) FROM outcome WHERE cvv_result IS NOT NULL") == [(0,)]
    assert batches.run(late, place, file_of(cvv="200"), REQUEST).state == "completed"


def test_a_file_without_cvvs_may_wait(engine: Engine, place: Place) -> None:
    text = "kind,amount_minor,currency,card_number,card_expiry\n" + f"sale,100,USD,{CARD}\n"
    batch_id = receive(engine, place, [text.encode()], REQUEST)
    late = later(engine, 100)
    assert sweep.drop_uploads(late) == []
    assert batches.go_on(late, batch_id).state == "completed"


def test_a_file_that_is_being_read_is_left_alone(engine: Engine, place: Place) -> None:
    from paybatch.store import batches as stored  # noqa: PLC0415 - the name is taken by the flow

    batch_id = receive(engine, place, file_of(), REQUEST)
    late = later(engine, 25)
    with engine.database.session() as session, stored.reading(session, batch_id):
        assert sweep.drop_uploads(late) == []
    assert load_batch(engine, batch_id).state == "received"


def test_cvvs_are_as_old_as_their_file(
    place: Place, with_settings: Reengine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is read for the second time has its CVVs since it came."""
    engine = with_settings(chunk_rows=1)
    batch_id = receive(engine, place, file_of(), REQUEST)
    soon = later(engine, 23)
    batches._accepted(soon, batch_id, place, batches.Listener())
    assert rows_of(engine, "SELECT DISTINCT created_at FROM secret_block") == [(engine.clock(),)]
    sweep.forget_old_secrets(later(engine, 24.5))
    assert keys_and_secrets(engine) == (0, 0)


def test_uploads_without_a_batch_are_dropped_after_a_day(engine: Engine, place: Place) -> None:
    waiting = receive(engine, place, file_of(cvv=""), REQUEST)
    key = engine.keys.new_data_key()
    real_now = replace(engine, clock=lambda: datetime.now(UTC))
    for name in ("upload/7", "upload/8", "upload/other", "document/9"):
        engine.blobs.put_encrypted(name, [b"x"], key)
    folder = Path(engine.settings.home) / "blobs" / "upload"
    (folder / "9#1").write_bytes(b"half of a blob whose writer was killed")
    (folder / "10#1").write_bytes(b"half of a blob that is being written")
    long_ago = real_now.clock().timestamp() - 25 * 3600
    for name in ("7", "9#1"):
        os.utime(folder / name, (long_ago, long_ago))
    assert sweep.drop_uploads(real_now) == [7]
    kept = {path.name for path in folder.iterdir()}
    assert kept == {str(waiting), "8", "10#1", "other"}
    assert engine.blobs.exists("document/9")


@pytest.mark.parametrize("end", ["refused", "cancelled", "completed"])
def test_with_the_final_state_go_key_and_secrets(engine: Engine, place: Place, end: str) -> None:
    """In one transaction; the upload is noise from then on, and is swept."""
    batch_id = paused(engine, place)
    engine.blobs.put_encrypted(f"upload/{batch_id}", [b"x"], engine.keys.new_data_key())
    by_way_of = {
        "refused": [],
        "cancelled": [BatchState.CANCELLING],
        "completed": [BatchState.RUNNING],
    }
    if end == "refused":
        with engine.database.transaction() as connection:
            connection.execute("UPDATE batch SET state = 'checking'")
    for state in [*by_way_of[end], BatchState(end)]:
        assert keys_and_secrets(engine) == (1, 1)
        assert move(engine, batch_id, state)
    assert keys_and_secrets(engine) == (0, 0)
    assert sweep.drop_uploads(engine) == [batch_id]


def test_a_store_that_does_not_list_stops_no_batch(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any, **__: Any) -> Any:
        raise PermissionDeniedError("ListBucket")

    monkeypatch.setattr("paybatch.store.blobs.obstore.list", denied)
    with pytest.raises(BlobsError, match="upload cannot be listed: ListBucket"):
        sweep.drop_uploads(engine)
    assert batches.run(engine, place, file_of(), REQUEST).state == "completed"


def test_the_worker_folds_the_balances(with_settings: Reengine, place: Place) -> None:
    engine = with_settings(chunk_rows=1)
    for amount in (1, 2):
        batches.run(engine, place, file_of(amount, rows=3), REQUEST)
    deltas = "SELECT count(*), count(DISTINCT account_id), sum(debit_minor) FROM balance_delta"
    [(before, accounts, debits)] = rows_of(engine, deltas)
    assert before > accounts
    worker.take_on_left(engine)
    assert rows_of(engine, deltas) == [(accounts, accounts, debits)]
    assert laws_hold(engine)


def test_the_worker_tells_what_changed_by_public_ids(engine: Engine, place: Place) -> None:
    batch_id = receive(engine, place, file_of(), REQUEST)
    name = engine.public_ids.encode_one(batch_id, "bat", Shape.NATIVE)
    for expected in ([{"batch": name, "state": "completed"}], []):
        with capture_logs() as told:
            worker.take_on(engine, batch_id)  # the second time a job comes too late
        assert [{each: line[each] for each in ("batch", "state")} for line in told] == expected
