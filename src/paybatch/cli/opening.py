"""Opens the engine for a command, and says what it is waiting for."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from paybatch.cli.output import err, fail
from paybatch.flow import logs
from paybatch.flow.engine import BatchUnknownError, Engine, bring_up, open_engine
from paybatch.settings import Settings
from paybatch.store import embedded
from paybatch.store.database import DatabaseGoneError
from paybatch.store.public_ids import Shape

BATCH = "bat"
PAYMENT = "pay"
OPERATION = "op"


def _migrate(url: str) -> None:
    from paybatch.site.migrate import migrate  # noqa: PLC0415 - Django is slow to load

    err.print("Making the schema.")
    migrate(url)


def _check_home(home: Path) -> None:
    with suppress(OSError):  # one that may not be looked at is told of when it is used
        if home.exists() and not home.is_dir():
            fail(f"The setting PAYBATCH_HOME is wrong: {home} is not a folder.")


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[Engine]:
    """Open the engine, and close it when the command is done."""
    settings = settings or Settings()
    home = settings.home.expanduser()
    _check_home(home)
    logs.tell_errors()
    written = embedded.log_bytes(home)
    engine = None
    try:
        # A server of one's own may serve other hosts: only `paybatch migrate` changes its schema.
        engine = open_engine(settings, None if settings.database_url else _migrate, err.print)
        yield engine
    except DatabaseGoneError as error:
        why = None if settings.database_url else embedded.why_gone(home, written)
        raise DatabaseGoneError(f"{why} {error}" if why else str(error)) from error
    finally:
        if engine is not None:
            engine.close()


def migrated(settings: Settings) -> int:
    """Run the migrations that are not run yet, one process at a time; give the version."""
    from paybatch.site.migrate import migrate  # noqa: PLC0415 - Django is slow to load

    _check_home(settings.home.expanduser())
    return bring_up(settings, migrate, err.print)


def batch_name(engine: Engine, batch_id: int) -> str:
    """Give a batch's public id."""
    return engine.public_ids.encode_one(batch_id, BATCH, Shape.NATIVE)


def batch_number(engine: Engine, name: str) -> int:
    """Give the number behind a batch's public id."""
    found = engine.public_ids.decode_one(name, BATCH, Shape.NATIVE)
    if found is None:
        raise BatchUnknownError(f"{name!r} is not the id of a batch; see `paybatch batch list`.")
    return found


def usage(condition: bool, sentence: str) -> None:
    """End with exit code 2 unless a condition of the command line holds."""
    if not condition:
        fail(sentence, 2)
