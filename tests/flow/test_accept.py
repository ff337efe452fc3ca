"""Accept: chunks as small as the policy wants, months of texts, and the limit of lines."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place
from paybatch.store import operations

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
CARD = "4111111111111111,12/39"
Reengine = Callable[..., Engine]


def run(engine: Engine, place: Place, *rows: str, policy: str = "valid-rows") -> str:
    """Run a file; give the batch's state and, where it is refused, why."""
    content = [(HEADER + "".join(f"{row}\n" for row in rows)).encode()]
    request = Request(file_name="rows.csv", policy=policy)
    done = batches.run(engine, place, content, request)
    return f"{done.state}: {done.refusal}" if done.refusal else done.state


def rows_of(engine: Engine, sql: str) -> list[Any]:
    with engine.database.transaction() as connection:
        return connection.execute(sql).fetchall()


def test_stop_after_stops_follow_ups_too(place: Place, with_settings: Reengine) -> None:
    """Every authorization declines; all rows of one payment are in flight together."""
    engine = with_settings(stop_chunk_rows=20, threads=2)
    pairs = [(f"authorize,50200,USD,{CARD},r{n},", f"capture,,,,,,r{n}") for n in range(200)]
    rows = [row for pair in pairs for row in pair]
    assert run(engine, place, *rows, policy="stop-after=1") == "cancelled"
    counts = dict(rows_of(engine, "SELECT state, count(*) FROM outcome GROUP BY state"))
    assert 20 <= counts["declined"] <= 60, "a chunk, or one in each thread"
    assert counts["cancelled"] == 400 - counts["declined"] - counts["rejected"]


def test_a_clock_that_passes_the_end_of_a_month_stops_nothing(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)]
    real = operations.make_text_month

    def slow(connection: Any, day: date) -> None:
        real(connection, day)
        now[0] += timedelta(seconds=1)

    monkeypatch.setattr(operations, "make_text_month", slow)
    ticking = replace(engine, clock=lambda: now[0])
    for amount in (100, 200, 300):
        assert run(ticking, place, f"sale,{amount},USD,{CARD},,") == "completed"
    assert rows_of(engine, "SELECT count(*) FROM row_text_default") == [(0,)]
    assert rows_of(engine, "SELECT count(*) FROM row_text_2026_11") == [(1,)]
    assert rows_of(engine, "SELECT count(*) FROM row_text_2026_12") == [(2,)]


def test_the_next_month_is_made_too(engine: Engine) -> None:
    with engine.database.transaction() as connection:
        operations.make_text_month(connection, date(2031, 12, 31))
    made = "SELECT count(*) FROM pg_class WHERE relname IN ('row_text_2031_12', 'row_text_2032_01')"
    assert rows_of(engine, made) == [(2,)]


@pytest.mark.parametrize("year", [2031, 2032, 2033])
def test_several_processes_meet_in_the_first_batch_of_a_month(engine: Engine, year: int) -> None:
    barrier, errors = threading.Barrier(4), []

    def make() -> None:
        try:
            with engine.database.transaction() as connection:
                barrier.wait()
                operations.make_text_month(connection, date(year, 1, 1))
        except BaseException as error:  # noqa: BLE001 - told below, by the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []


@pytest.mark.parametrize(("lines", "is_read"), [(9, True), (10, False), (11, False)])
def test_a_file_has_fewer_lines_than_a_batch_has_ids(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, lines: int, *, is_read: bool
) -> None:
    """Line 10 would have the id of an operation that a row makes."""
    monkeypatch.setattr(operations, "FILE_LINES_MAX", 10)
    rows = [f"sale,{n},USD,{CARD},," for n in range(1, lines)]
    small = replace(engine, settings=engine.settings.model_copy(update={"chunk_rows": 3}))
    told = run(small, place, *rows)
    if is_read:
        assert told == "completed"
    else:
        assert told.startswith("refused: The file has 10 lines or more; the limit is one less.")
        assert rows_of(engine, "SELECT DISTINCT state FROM outcome") == [("cancelled",)]
