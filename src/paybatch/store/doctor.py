"""What a database says of itself, for ``paybatch doctor``: read only, also where it is foreign."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import psycopg

from paybatch.store import directory
from paybatch.store.database import ANSWER_SECONDS_MAX, Connection, DatabaseGoneError, Row
from paybatch.store.directory import Schema
from paybatch.store.statements import statements

_SQL = statements("doctor")
Clock = Callable[[], datetime]

SETTINGS = (
    *("server_version", "server_version_num", "fsync", "synchronous_commit", "full_page_writes"),
    *("server_encoding", "max_connections"),
)


@dataclass(frozen=True, kw_only=True)
class DatabaseFacts:
    """What a database says of itself.

    Attributes:
        settings: ``SETTINGS`` by name.
        schema: The engine's tables; version 0 = there are none.
        key_set_id: The key set that it belongs with; None = with none yet.
        blob_store_id: The same for the blob store.
        size_bytes: What it takes on the server's disk.
        broken_seals: Events of the audit trail that do not fit their chain.
        connectors: Those that gates name.
        clock_apart_seconds: How far its clock and this machine's are apart.
    """

    settings: dict[str, str]
    schema: Schema
    key_set_id: str | None = None
    blob_store_id: str | None = None
    size_bytes: int = 0
    broken_seals: int = 0
    connectors: tuple[str, ...] = ()
    clock_apart_seconds: float = 0.0


def examine(url: str, clock: Clock) -> DatabaseFacts:
    """Ask a database what it is; ``clock`` is this machine's.

    Raises:
        DatabaseGoneError: It does not answer, or refuses a question; the text is what it says.
    """
    options = "-c timezone=UTC"  # the seals of the audit trail are over times in UTC
    try:
        with psycopg.connect(
            url, connect_timeout=ANSWER_SECONDS_MAX, options=options
        ) as connection:
            return _facts(connection, clock)
    except psycopg.Error as error:
        raise DatabaseGoneError(" ".join(str(error).split())) from error


def _facts(connection: Connection[Row], clock: Clock) -> DatabaseFacts:
    rows = connection.execute(_SQL["settings"], {"names": list(SETTINGS)}).fetchall()
    settings = {str(row[0]): str(row[1]) for row in rows}
    schema = directory.find_schema(connection)
    if schema.version == 0:
        return DatabaseFacts(settings=settings, schema=schema)
    key_set_id, blob_store_id = connection.execute(_SQL["bound"]).fetchall()[0]
    return DatabaseFacts(
        settings=settings,
        schema=schema,
        key_set_id=key_set_id,
        blob_store_id=blob_store_id,
        size_bytes=int(connection.execute(_SQL["room"]).fetchall()[0][0]),
        broken_seals=len(directory.broken_seals(connection)),
        clock_apart_seconds=_clock_apart(connection, clock),
        connectors=tuple(str(row[0]) for row in connection.execute(_SQL["connectors"]).fetchall()),
    )


def _clock_apart(connection: Connection[Row], clock: Clock) -> float:
    """Give how far the clocks are apart at least: the answer was on its way for a while."""
    before = clock()
    (told,) = connection.execute(_SQL["clock"]).fetchall()[0]
    apart: float = max((before - told).total_seconds(), (told - clock()).total_seconds())
    return max(0.0, apart)
