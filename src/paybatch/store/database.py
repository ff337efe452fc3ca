"""The connection to PostgreSQL: a pool, transactions, and tables in and out by ``COPY``."""

import csv
import io
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, LiteralString

import polars as pl
import psycopg
from psycopg import Connection, IsolationLevel
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool, PoolTimeout

__all__ = [
    "GONE",
    "Connection",  # psycopg's own: other layers name it in signatures and take it from here
    "ConstraintError",
    "Database",
    "DatabaseBusyError",
    "DatabaseGoneError",
    "Parameters",
    "Row",
    "copy_in",
    "copy_out",
    "parts_of_url",
    "run_each",
    "why_no_answer",
]

Row = tuple[Any, ...]
Parameters = Mapping[str, Any]

POOL_CONNECTIONS_MAX = 40
FEW_ROWS = 64
CONNECT_TIMEOUT_SECONDS = 15
ANSWER_SECONDS_MAX = 5
# A host that is cut off says nothing: each side looks whether the other is there, so that a worker
# does not wait for ever, and the server ends its transactions and lets go of its locks. A worker
# that stands still is there; the last of these ends a transaction that it had begun.
LOOKS = {
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
OPTIONS = (
    "-c timezone=UTC -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 "
    "-c tcp_keepalives_count=3 -c tcp_user_timeout=30000 "
    "-c idle_in_transaction_session_timeout=300000 -c idle_session_timeout=0"
)
# What the driver raises when the server does not answer.
GONE = (
    psycopg.OperationalError,
    psycopg.errors.IdleInTransactionSessionTimeout,
    PoolTimeout,
)
# The server answers, and has rolled the transaction back.
_GIVEN_UP = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
)

# The driver's own words would come between ours: what it cannot do ends as DatabaseGoneError.
logging.getLogger("psycopg").addHandler(logging.NullHandler())


class DatabaseGoneError(Exception):
    """The database does not answer or broke off; what was committed stands."""


class DatabaseBusyError(Exception):
    """The database gave a transaction up for the sake of others; nothing of it was done."""


class ConstraintError(Exception):
    """A rule of the database refused a write; ``constraint`` names the rule."""

    def __init__(self, constraint: str, sentence: str) -> None:
        super().__init__(sentence)
        self.constraint = constraint


def parts_of_url(url: str) -> dict[str, str]:
    """Take a database's address apart: ``host``, ``port``, ``dbname``, ``user`` and so on.

    Raises:
        DatabaseGoneError: It is not an address. It is not shown: it may hold a password.
    """
    try:
        return {key: str(value) for key, value in conninfo_to_dict(url).items() if value}
    except psycopg.Error:
        raise DatabaseGoneError(
            "PAYBATCH_DATABASE_URL is not an address such as postgresql://user@host:5432/name."
        ) from None


def why_no_answer(url: str) -> str | None:
    """Ask a database for a connection: None if it gives one, else what it says, in one line."""
    try:
        psycopg.connect(url, connect_timeout=ANSWER_SECONDS_MAX).close()
    except psycopg.Error as error:
        return " ".join(str(error).split())
    return None


class Database:
    """A pool of connections to one PostgreSQL database; ``url`` and ``parts`` lead to it."""

    def __init__(self, url: str) -> None:
        parts = parts_of_url(url)  # a wrong address is said at once, not tried again and again
        self.url = url
        usual = {"application_name": "paybatch", **LOOKS}
        options = f"{OPTIONS} {parts.get('options', '')}".strip()
        # What the address says holds.
        self.parts = {name: parts.get(name, value) for name, value in usual.items()}
        self.parts["options"] = options
        self._pool: ConnectionPool[Connection[Row]] = ConnectionPool(
            url,
            min_size=0,
            max_size=POOL_CONNECTIONS_MAX,
            timeout=CONNECT_TIMEOUT_SECONDS,
            kwargs=self.parts,
            check=None,
            open=True,
            reconnect_timeout=1,
        )

    @contextmanager
    def transaction(self, wait_seconds: float | None = None) -> Iterator[Connection[Row]]:
        """Run a block in one transaction; committed at its end, rolled back when it raises.

        ``wait_seconds``: how long a connection is waited for, where that is less than usual.

        Raises:
            DatabaseGoneError: The server does not answer, is out of disk, or broke off.
            DatabaseBusyError: It gave the transaction up: a deadlock, a lock or time limit.
            ConstraintError: A named rule of the database refused a write.
        """
        with self._told(), self._pool.connection(wait_seconds) as connection:
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection[Row]]:
        """Give a connection on which each statement is a transaction of its own.

        For locks that are held while other connections work: an open transaction would keep the
        server from cleaning up, and a limit on idle transactions would end it.

        Raises:
            As `transaction`.
        """
        with self._told(), self._pool.connection() as connection:
            connection.autocommit = True
            try:
                yield connection
            finally:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    connection.autocommit = False  # the connection goes back to the pool
                else:
                    connection.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell the driver's errors in our words."""
        try:
            yield
        except psycopg.errors.IntegrityError as error:
            name = error.diag.constraint_name or "unnamed"
            raise ConstraintError(name, str(error)) from error
        except psycopg.errors.DiskFull as error:
            raise DatabaseGoneError(
                "The database's disk is full. Make room, then resume: nothing is lost."
            ) from error
        except _GIVEN_UP as error:
            reason = str(error).strip().splitlines()[0]
            raise DatabaseBusyError(
                f"The database gave this step up ({reason}): others were in its way. "
                "Nothing of the step was done; the same again may go through."
            ) from error
        except GONE as error:
            said = why_no_answer(self.url) if isinstance(error, PoolTimeout) else None
            reason = said or str(error).strip().splitlines()[0]
            raise DatabaseGoneError(
                f"The database does not answer ({reason}). "
                "See `paybatch doctor`; what was committed stands, resume when it is back."
            ) from error

    @contextmanager
    def snapshot(self) -> Iterator[Connection[Row]]:
        """Read in one transaction in which every statement sees the same moment.

        Raises:
            DatabaseGoneError: The server does not answer or broke off.
        """
        with self.transaction() as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            try:
                yield connection
            finally:
                connection.rollback()
                connection.isolation_level = None  # the connection goes back to the pool

    def forget(self) -> None:
        """Let go of connections that wait in the pool: the server that they led to went away."""
        self._pool.drain()

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


def run_each(
    connection: Connection[Row], statement: LiteralString, rows: Iterable[Parameters]
) -> None:
    """Run a statement for each of a few rows, one after the other.

    The driver's own way for many (a pipeline) ends with a message behind which PostgreSQL 16 to 18
    forget to watch for a transaction that stands still, until the next statement.
    """
    for row in rows:
        connection.execute(statement, row)


def copy_in(connection: Connection[Row], statement: LiteralString, frame: pl.DataFrame) -> None:
    """Send a frame as CSV to a ``COPY ... FROM STDIN (FORMAT csv)`` statement. Null = empty."""
    if frame.is_empty():
        return
    with connection.cursor().copy(statement) as copy:
        copy.write(_csv(frame))


def _csv(frame: pl.DataFrame) -> bytes | memoryview:
    """Write a frame as CSV; a few rows without the cost of a plan."""
    rows = frame.rows() if frame.height <= FEW_ROWS else []
    # Python's writer cannot tell an empty text from null.
    if rows and not any("" in row for row in rows):
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue().encode()
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=False)
    return buffer.getbuffer()


def copy_out(
    connection: Connection[Row],
    statement: LiteralString,
    parameters: Parameters,
    schema: Mapping[str, pl.DataType],
) -> pl.DataFrame:
    """Read a ``COPY (...) TO STDOUT (FORMAT csv)`` statement into a frame of this schema."""
    with connection.cursor().copy(statement, parameters) as copy:
        data = b"".join(bytes(piece) for piece in copy)
    if not data:
        return pl.DataFrame(schema=dict(schema))
    booleans = [name for name, kind in schema.items() if kind == pl.Boolean()]
    read = {name: pl.String() if name in booleans else kind for name, kind in schema.items()}
    frame = pl.read_csv(data, has_header=False, new_columns=list(schema), schema=read)
    return frame.with_columns_seq((pl.col(name) == "t").alias(name) for name in booleans)
