"""Duplicates: the same bytes once, the same key once, equal rows as often as they stand there."""

import gzip
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import polars as pl
import pytest

from paybatch.domain.lifecycle import BatchState
from paybatch.flow import batch as batches
from paybatch.flow import control
from paybatch.flow.engine import Engine, load_batch, move
from paybatch.flow.intake.receive import Request, SeenBeforeError, receive
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.flow.report import report
from paybatch.store import directory, ledger
from paybatch.store.batches import Batch

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,idempotency_key,payment\n"
SALE = "sale,100,USD,4111111111111111,12/39,,,"
WRONG = "sale,0,USD,4111111111111111,12/39,,,"
CAPTURE = "capture,40,USD,,,,cap,auth"
Reengine = Callable[..., Engine]


def sale(key: str, amount: int = 100, reference: str = "") -> str:
    return f"sale,{amount},USD,4111111111111111,12/39,{reference},{key},"


def file_of(*rows: str) -> list[bytes]:
    return [(HEADER + "\n".join(rows) + "\n").encode()]


def request(**options: object) -> Request:
    return replace(Request(file_name="same.csv"), **options)  # type: ignore[arg-type]  # its options


def result_of(engine: Engine, place: Place, done: Batch) -> pl.DataFrame:
    """Give the result of a batch as a table of text; the books must be right."""
    target = io.BytesIO()
    report(engine, done, place, target)
    with engine.database.transaction() as connection:
        assert not ledger.broken_balances(connection) + ledger.broken_laws(connection)
    return pl.read_csv(target.getvalue(), infer_schema=False)


def run(engine: Engine, place: Place, *rows: str, again: bool = False) -> pl.DataFrame:
    done = batches.run(engine, place, file_of(*rows), request(again=again))
    assert done.state == "completed"
    return result_of(engine, place, done)


def payments(engine: Engine) -> int:
    """Count the payments there are."""
    with engine.database.transaction() as connection:
        row = connection.execute("SELECT count(*) FROM payment").fetchone()
    assert row is not None
    return int(row[0])


def test_the_same_bytes_are_refused_with_the_earlier_batch(engine: Engine, place: Place) -> None:
    first = batches.run(engine, place, file_of(SALE), request())
    with pytest.raises(SeenBeforeError) as caught:
        batches.run(engine, place, file_of(SALE), request())
    assert (caught.value.batch_id, caught.value.state) == (first.id, "completed")
    assert payments(engine) == 1
    run(engine, place, SALE, SALE)  # other bytes
    assert payments(engine) == 3


def test_an_unfinished_batch_is_named_with_its_state(engine: Engine, place: Place) -> None:
    first = receive(engine, place, file_of(SALE), request())
    with pytest.raises(SeenBeforeError) as caught:
        receive(engine, place, file_of(SALE), request())
    assert (caught.value.batch_id, caught.value.state) == (first, "received")
    assert not engine.blobs.exists(f"upload/{first + 1}")


def test_of_two_at_once_exactly_one_wins(engine: Engine, place: Place) -> None:
    barrier = Barrier(2)

    def hand_in(content: list[bytes]) -> int | SeenBeforeError:
        barrier.wait()
        try:
            return receive(engine, place, content, request())
        except SeenBeforeError as seen:
            return seen

    for number in range(5):
        content = file_of(sale(f"k{number}"))
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(hand_in, [content, content]))
        won = [each for each in found if isinstance(each, int)]
        lost = [each for each in found if isinstance(each, SeenBeforeError)]
        assert len(won) == len(lost) == 1
        assert lost[0].batch_id == won[0]


def test_again_overrides_and_is_audited(engine: Engine, place: Place) -> None:
    first = batches.run(engine, place, file_of(SALE), request())
    second = batches.run(engine, place, file_of(SALE), request(again=True))
    third = batches.run(engine, place, file_of(SALE), request(again=True))
    assert payments(engine) == 3
    with engine.database.transaction() as connection:
        events = connection.execute(
            "SELECT action, subject, (detail ->> 'earlier')::bigint FROM audit "
            "WHERE action LIKE 'batch.received%' ORDER BY id"
        ).fetchall()
        assert directory.broken_seals(connection) == []
    assert events == [
        ("batch.received", f"batch:{first.id}", None),
        ("batch.received_again", f"batch:{second.id}", first.id),
        ("batch.received_again", f"batch:{third.id}", second.id),
    ]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET actor = 'somebody else' WHERE id = 2",
        "UPDATE audit SET detail = detail || '{\"earlier\": null}' WHERE id = 2",
        "UPDATE audit SET at = at + interval '1 second' WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
    ],
)
def test_a_changed_audit_event_is_found(engine: Engine, place: Place, change: str) -> None:
    batches.run(engine, place, file_of(SALE), request())
    batches.run(engine, place, file_of(SALE), request(again=True))
    with engine.database.transaction() as connection:
        assert directory.broken_seals(connection) == []
        connection.execute(change)
        assert len(directory.broken_seals(connection)) == 1


def test_a_refused_batch_does_not_hold_its_content(engine: Engine, place: Place) -> None:
    rows = file_of(SALE, WRONG)
    first = batches.run(engine, place, rows, request(policy="all-or-none"))
    assert (first.state, payments(engine)) == ("refused", 0)
    second = batches.run(engine, place, rows, request())
    assert (second.state, payments(engine)) == ("completed", 1)


def test_a_cancelled_batch_holds_its_content_when_it_sent_something(
    engine: Engine, place: Place
) -> None:
    early = receive(engine, place, file_of(SALE), request())
    move(engine, early, BatchState.CHECKING)
    move(engine, early, BatchState.READY)
    control.cancel(engine, load_batch(engine, early), "test")
    batches.run(engine, place, file_of(SALE), request())
    with pytest.raises(SeenBeforeError):
        receive(engine, place, file_of(SALE), request())


def test_equal_rows_of_one_file_are_both_carried_out(engine: Engine, place: Place) -> None:
    result = run(engine, place, SALE, SALE, SALE)
    assert result["outcome"].to_list() == ["approved"] * 3
    assert result["result_payment"].n_unique() == 3


def test_a_key_of_an_earlier_file_is_replayed(engine: Engine, place: Place) -> None:
    first = run(engine, place, sale("a"), sale("b"))
    later = run(engine, place, SALE, sale("a"), sale("b", 101), sale("c"))
    assert later["outcome"].to_list() == ["approved", "replayed", "rejected", "approved"]
    assert later["reason"].to_list() == [None, None, "key_conflict", None]
    assert later["result_payment"][1] == first["result_payment"][0]
    assert payments(engine) == 4


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("4111111111111111", "5555555555554444"),
        ("12/39", "11/39"),
        ("sale", "authorize"),
        ("USD", "EUR"),
        (",first,", ",second,"),
    ],
)
def test_a_key_with_other_values_is_a_conflict(
    engine: Engine, place: Place, old: str, new: str
) -> None:
    """Not a replay: the caller would take the answer for that of the new values."""
    many = find_place(engine, "local", "demo", "many")
    run(engine, many, sale("a", reference="first"))
    result = run(engine, many, sale("a", reference="first").replace(old, new))
    assert result["reason"].to_list() == ["key_conflict"]
    assert payments(engine) == 1


def test_a_key_of_a_follow_up_is_replayed_with_its_payment(engine: Engine, place: Place) -> None:
    authorize = "authorize,100,USD,4111111111111111,12/39,auth,,"
    first = run(engine, place, authorize, CAPTURE, CAPTURE)
    assert first["outcome"].to_list() == ["approved", "approved", "replayed"]
    later = run(engine, place, CAPTURE, CAPTURE.replace("40", "41"))
    assert later["outcome"].to_list() == ["replayed", "rejected"]
    assert later["result_payment"][0] == first["result_payment"][0]


@pytest.mark.parametrize("chunk_rows", [1, 2, 50_000])
def test_a_key_twice_in_one_file_belongs_to_the_earlier_line(
    place: Place, with_settings: Reengine, chunk_rows: int
) -> None:
    rows = [sale("x", 100, "first"), sale("y"), sale("x", 100, "first"), sale("y", 5), sale("x", 7)]
    result = run(with_settings(chunk_rows=chunk_rows, threads=4), place, *rows)
    assert result["outcome"].to_list() == [
        *["approved"] * 2,
        "replayed",
        *["rejected"] * 2,
    ]
    assert result["reason"].to_list() == [None, None, None, "key_conflict", "key_conflict"]
    # Nobody knew yet what becomes of the first line: the third only names it.
    assert result["message"][2] == (
        f"line 2 ({result['operation'][0]}) has the same idempotency key: "
        "its outcome stands for this one too"
    )
    assert result["result_payment"][2] is None


def test_every_earlier_line_wins_however_blocks_are_loaded(
    place: Place, with_settings: Reengine
) -> None:
    rows = [sale(f"key{n % 40}", 100, "r") for n in range(200)]
    result = run(with_settings(chunk_rows=3, threads=8), place, *rows)
    assert result["outcome"].to_list() == ["approved"] * 40 + ["replayed"] * 160


def test_a_key_of_a_running_batch_is_refused(engine: Engine, place: Place) -> None:
    waiting = receive(engine, place, file_of(sale("busy")), request())
    batch = load_batch(engine, waiting)
    batches._accepted(engine, batch.id, place, batches.Listener())
    result = run(engine, place, SALE, sale("busy"))
    assert result["reason"].to_list() == [None, "key_running"]
    batches.go_on(engine, waiting)
    result = run(engine, place, sale("busy"), SALE)
    assert result["outcome"].to_list() == ["replayed", "approved"]


def test_keys_of_rows_that_were_never_sent_are_free_again(engine: Engine, place: Place) -> None:
    refused = batches.run(engine, place, file_of(sale("a"), WRONG), request(policy="all-or-none"))
    assert refused.state == "refused"
    cancelled = receive(engine, place, file_of(sale("b")), request())
    batches._accepted(engine, cancelled, place, batches.Listener())
    control.cancel(engine, load_batch(engine, cancelled), "test")
    result = run(engine, place, sale("a", 7), sale("b"))
    assert result["outcome"].to_list() == ["approved", "approved"]
    result = run(engine, place, sale("a", 7), SALE)
    assert result["outcome"].to_list() == ["replayed", "approved"]


@pytest.mark.parametrize("amount", [100, 50_200])  # approved, declined
def test_a_replay_carries_the_first_answer(engine: Engine, place: Place, amount: int) -> None:
    first = run(engine, place, sale("a", amount))
    later = run(engine, place, SALE, sale("a", amount))
    name, state = first["operation"][0], first["outcome"][0]
    assert later["outcome"][1] == "replayed"
    assert later["message"][1] == f"done before as {name}: {state}"
    same = ["result_payment", "processor_code", "approval_code"]
    assert later[same].rows()[1] == first[same].rows()[0]
    with engine.database.transaction() as connection:
        summed = connection.execute(
            "SELECT state, sum(approved_minor) FROM tally WHERE batch_id = 2 GROUP BY state"
        ).fetchall()
    assert dict(summed)["replayed"] == 0  # no money moved here


def test_keys_of_rows_that_their_payment_refused_are_free_again(
    engine: Engine, place: Place
) -> None:
    early = file_of(CAPTURE)
    for policy in ("valid-rows", "all-or-none"):
        batches.run(engine, place, early, request(policy=policy, again=True))
    assert payments(engine) == 0
    run(engine, place, "authorize,100,USD,4111111111111111,12/39,auth,,")
    above = batches.run(engine, place, file_of(CAPTURE.replace("40", "150")), request())
    assert result_of(engine, place, above)["reason"].to_list() == ["amount_above_left"]
    result = result_of(engine, place, batches.run(engine, place, early, request(again=True)))
    assert result["outcome"].to_list() == ["approved"]
    again = run(engine, place, CAPTURE, again=True)
    assert again["outcome"].to_list() == ["replayed"]


def test_a_row_behind_one_that_was_cancelled_says_so(with_settings: Reengine, place: Place) -> None:
    engine = with_settings(stop_chunk_rows=1, threads=1)
    rows = file_of(sale("declined", 50_200), sale("a"), sale("a"))
    done = batches.run(engine, place, rows, request(policy="stop-after=1"))
    result = result_of(engine, place, done)
    # A replay is no fault: it does not stop a batch.
    assert result["outcome"].to_list() == ["declined", "cancelled", "replayed"]
    assert result["message"][2].startswith(f"line 3 ({result['operation'][1]}) has the same")
    assert result["result_payment"].to_list()[1:] == [None, None]
    assert run(engine, place, sale("a"))["outcome"].to_list() == ["approved"]


def test_a_key_of_a_later_batch_that_runs_is_refused(engine: Engine, place: Place) -> None:
    earlier = receive(engine, place, file_of(SALE, sale("busy")), request())
    later = receive(engine, place, file_of(sale("busy")), request())
    batches._accepted(engine, later, place, batches.Listener())
    result = result_of(engine, place, batches.go_on(engine, earlier))
    assert result["reason"].to_list() == [None, "key_running"]


def test_the_same_file_is_the_same_however_it_is_packed(engine: Engine, place: Place) -> None:
    """Gzip writes its time into the file: packed again, the same export has other bytes."""
    plain = file_of(SALE)[0]
    packed = [gzip.compress(plain, mtime=1), gzip.compress(plain, mtime=2)]
    assert packed[0] != packed[1]
    first = batches.run(engine, place, [packed[0]], request())
    for content in (packed[1], plain):
        with pytest.raises(SeenBeforeError) as caught:
            batches.run(engine, place, [content], request())
        assert caught.value.batch_id == first.id
        assert preview(engine, place, [content], request()).earlier == [first.id]
    assert payments(engine) == 1
