"""Tables in and out of the database."""

import threading
import time
from collections.abc import Iterator

import polars as pl
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from paybatch.store.database import (
    FEW_ROWS,
    Connection,
    Database,
    DatabaseBusyError,
    DatabaseGoneError,
    Row,
    _csv,
    run_each,
)

AWKWARD = pl.DataFrame(
    {
        "text": ['a,"b', "line\nend", "", None, "\\N", "tab\t", "null"],
        "number": [1, None, 3, 4, 5, 6, 7],
        "flag": [True, False, None, True, True, False, None],
    }
)


@pytest.mark.parametrize("copies", [1, FEW_ROWS])
def test_csv_is_read_by_postgresql_as_it_was_meant(database_url: str, copies: int) -> None:
    frame = pl.concat([AWKWARD] * copies)
    database = Database(database_url)
    with database.transaction() as connection:
        connection.execute("CREATE TEMP TABLE t (text text, number int, flag boolean)")
        with connection.cursor().copy("COPY t FROM STDIN (FORMAT csv)") as copy:
            copy.write(_csv(frame))
        found = connection.execute("SELECT text, number, flag FROM t").fetchall()
    database.close()
    assert found == frame.rows()


def test_a_few_rows_without_empty_texts_are_written_the_same() -> None:
    frame = AWKWARD.filter(pl.col("text") != "")
    many = pl.concat([frame] * FEW_ROWS)
    few = bytes(_csv(frame)).decode().replace("True", "true").replace("False", "false")
    assert bytes(_csv(many)).decode() == few * FEW_ROWS


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    with opened.transaction() as connection:
        connection.execute("CREATE TABLE pair (id int PRIMARY KEY, value int)")
        connection.execute("INSERT INTO pair VALUES (1, 0), (2, 0)")
    yield opened
    opened.close()


def test_a_deadlock_is_told_as_what_it_is(database: Database) -> None:
    """One of two goes through; the other one was rolled back, and may do it again."""
    barrier = threading.Barrier(2)
    ends: list[str] = []

    def change(first: int, second: int) -> None:
        try:
            with database.transaction() as connection:
                connection.execute("SET LOCAL deadlock_timeout = '50ms'")
                connection.execute("UPDATE pair SET value = value + 1 WHERE id = %s", [first])
                barrier.wait()
                connection.execute("UPDATE pair SET value = value + 1 WHERE id = %s", [second])
            ends.append("done")
        except DatabaseBusyError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=change, args=each) for each in ((1, 2), (2, 1))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    told = "The database gave this step up (deadlock detected): others were in its way. "
    assert sorted(ends, key=len) == [
        "done", told + "Nothing of the step was done; the same again may go through."
    ]  # fmt: skip
    with database.transaction() as connection:
        assert connection.execute("SELECT value FROM pair").fetchall() == [(1,), (1,)]


@pytest.mark.parametrize(
    ("error", "is_gone"),
    [
        (psycopg.errors.SerializationFailure("x"), False),
        (psycopg.errors.LockNotAvailable("x"), False),
        (psycopg.errors.QueryCanceled("x"), False),
        (psycopg.errors.AdminShutdown("x"), True),
        (psycopg.errors.DiskFull("x"), True),
        (psycopg.OperationalError("x"), True),
    ],
)
def test_only_a_server_that_is_gone_does_not_answer(
    database: Database, error: psycopg.Error, *, is_gone: bool
) -> None:
    with (
        pytest.raises(DatabaseGoneError if is_gone else DatabaseBusyError),
        database.transaction(),
    ):
        raise error


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_a_transaction_that_stands_still_is_ended(database_url: str, rows: int) -> None:
    """So that nobody waits for the locks of a host that was stopped."""
    short = make_conninfo(database_url, options="-c idle_in_transaction_session_timeout=300")
    database, other = Database(short), Database(database_url)

    def stand_still(connection: Connection[Row]) -> None:
        connection.execute("CREATE TEMP TABLE t (a int)")
        run_each(connection, "INSERT INTO t VALUES (%(a)s)", [{"a": 1}] * rows)
        pid = connection.info.backend_pid
        query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
        until = time.monotonic() + 60
        with other.session() as asked:
            while asked.execute(query, [pid]).fetchone() == (1,) and time.monotonic() < until:
                time.sleep(0.05)
        connection.execute("SELECT 1")

    with pytest.raises(DatabaseGoneError, match="idle"), database.transaction() as connection:
        stand_still(connection)
    with database.transaction() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    database.close()
    other.close()


def test_what_the_address_says_of_looks_holds(database_url: str) -> None:
    told = make_conninfo(database_url, keepalives_idle=7, application_name="host-1")
    database = Database(told)
    assert (database.parts["keepalives_idle"], database.parts["tcp_user_timeout"]) == ("7", "30000")
    with database.transaction() as connection:
        asked = connection.execute("SHOW application_name").fetchone()
        assert (asked, connection.execute("SHOW timezone").fetchone()) == (("host-1",), ("UTC",))
    database.close()


def test_a_session_has_no_transaction_and_gives_its_connection_back(database: Database) -> None:
    with database.session() as connection:
        connection.execute("UPDATE pair SET value = 5 WHERE id = 1")
        assert connection.info.transaction_status.name == "IDLE"
        with database.transaction() as other:
            assert other.execute("SELECT value FROM pair WHERE id = 1").fetchone() == (5,)
    with pytest.raises(ZeroDivisionError), database.session() as connection:
        raise ZeroDivisionError
    with database.transaction() as connection:
        connection.execute("UPDATE pair SET value = 6 WHERE id = 1")
        connection.rollback()
        assert connection.execute("SELECT value FROM pair WHERE id = 1").fetchone() == (5,)
