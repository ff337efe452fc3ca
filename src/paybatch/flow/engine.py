"""The engine: everything that the steps of a batch need, opened once in a process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

from paybatch.domain.lifecycle import BatchState
from paybatch.flow.schema import SCHEMA_VERSION, SchemaBehindError, schema_fault
from paybatch.flow.traffic import Traffic
from paybatch.settings import Settings
from paybatch.store import batches, directory, embedded
from paybatch.store.blobs import Blobs
from paybatch.store.database import Database
from paybatch.store.keys import Keys
from paybatch.store.public_ids import PublicIds

Migrate = Callable[[str], None]
Progress = Callable[[str], None]


class OtherInstallationError(Exception):
    """The database belongs with another key set or another blob store."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What the steps of a batch need. The clock is an argument, so that tests can set it.

    When ``stopping`` is set nothing is claimed or sent any more; what is under way finishes.
    """

    settings: Settings
    database: Database
    keys: Keys
    blobs: Blobs
    public_ids: PublicIds
    clock: Callable[[], datetime] = _now
    known_numbers: set[tuple[int, str]] = field(default_factory=set)
    accounts: dict[tuple[int, int, str], dict[str, int]] = field(default_factory=dict)
    test_numbers: dict[str, dict[str, str]] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    stopping: Event = field(default_factory=Event)

    def close(self) -> None:
        """Close the connections."""
        self.database.close()


def database_url(settings: Settings, progress: Progress | None = None) -> str:
    """Give the database's address; starts the embedded one where no other is named."""
    if settings.database_url:
        return settings.database_url
    return embedded.start(settings.home, progress=progress)


def open_engine(
    settings: Settings,
    migrate: Migrate | None = None,
    progress: Progress | None = None,
    clock: Callable[[], datetime] = _now,
) -> Engine:
    """Open database, keys and blobs, and see that they belong together.

    ``migrate`` is called with the address when the schema is behind; without it that is an error.

    Raises:
        SchemaBehindError: The schema is behind and there is no ``migrate``, or too new.
        OtherInstallationError: Keys or blobs are not those of this database.
    """
    url = database_url(settings, progress)
    database = Database(url)
    _check_schema(database, url, migrate)
    keys = Keys.open(settings.home / "keys")
    blobs = Blobs.open(settings.blob_url or settings.home / "blobs")
    with database.transaction() as connection:
        bound = directory.bind_installation(connection, keys.key_set_id, blobs.blob_store_id)
    if bound != (keys.key_set_id, blobs.blob_store_id):
        database.close()
        raise OtherInstallationError(
            f"The database belongs with key set {bound[0]} and blob store {bound[1]}, but "
            f"{settings.home} has {keys.key_set_id} and {blobs.blob_store_id}. Set PAYBATCH_HOME "
            "to the folder that belongs with the database."
        )
    return Engine(
        settings=settings,
        database=database,
        keys=keys,
        blobs=blobs,
        public_ids=PublicIds(keys.public_ids_key),
        clock=clock,
    )


def _check_schema(database: Database, url: str, migrate: Migrate | None) -> None:
    with database.transaction() as connection:
        found = directory.find_schema(connection)
    if found.version < SCHEMA_VERSION and migrate is not None:
        with database.transaction() as connection:
            directory.lock_schema(connection)  # two processes at once: the second finds it done
            if directory.find_schema(connection).version < SCHEMA_VERSION:
                migrate(url)
    elif (fault := schema_fault(found)) is not None:
        database.close()
        raise SchemaBehindError(fault)


def check_schema(engine: Engine) -> None:
    """See that the schema is still one that this program can use: others may have changed it.

    Raises:
        SchemaBehindError: It is not.
    """
    with engine.database.transaction() as connection:
        fault = schema_fault(directory.find_schema(connection))
    if fault is not None:
        raise SchemaBehindError(fault)


def bring_up(settings: Settings, migrate: Migrate, progress: Progress | None = None) -> int:
    """Run the migrations that are not run yet, also those of libraries; give the version."""
    database = Database(database_url(settings, progress))
    try:
        with database.transaction() as connection:
            directory.lock_schema(connection)
            migrate(database.url)
            return directory.find_schema(connection).version
    finally:
        database.close()


class BatchUnknownError(Exception):
    """No batch has this id."""


def load_batch(engine: Engine, batch_id: int) -> batches.Batch:
    """Read a batch.

    Raises:
        BatchUnknownError: There is none.
    """
    with engine.database.transaction() as connection:
        batch = batches.get_batch(connection, batch_id)
    if batch is None:
        raise BatchUnknownError("There is no such batch; see `paybatch batch list`.")
    return batch


def move(
    engine: Engine,
    batch_id: int,
    target: BatchState,
    *,
    refusal: str | None = None,
    holds_content: bool = True,
) -> bool:
    """Move a batch along an arrow in a transaction of its own; False when none leads there."""
    with engine.database.transaction() as connection:
        return batches.move_batch(
            connection,
            batch_id,
            target,
            engine.clock(),
            refusal=refusal,
            holds_content=holds_content,
        )
