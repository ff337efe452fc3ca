"""``paybatch migrate`` and ``stop``: the database's schema and the embedded server."""

from paybatch.cli.opening import migrated
from paybatch.cli.output import err, fail, say, show_json
from paybatch.cli.run import Json
from paybatch.settings import Settings
from paybatch.store import embedded


def migrate(*, as_json: Json = False) -> None:
    """Bring the database to this version's schema; nothing happens where it is there."""
    version = migrated(Settings())
    if as_json:
        show_json({"id": "schema", "state": "active", "version": version})
    else:
        say(f"The schema is version {version}.")


def stop(*, as_json: Json = False) -> None:
    """Stop the embedded database server. The next command starts it again."""
    settings = Settings()
    if settings.database_url:
        fail("PAYBATCH_DATABASE_URL names a server of its own; only the embedded one is stopped.")
    was_up = embedded.status(settings.home).state != "down"
    if was_up:
        err.print("PostgreSQL is stopping.")
        embedded.stop(settings.home)
    if as_json:
        show_json({"id": "server", "state": "down", "was_up": was_up})
    elif was_up:
        say(f"The server of {settings.home} is stopped.")
    else:
        say(f"No embedded server is running in {settings.home}.")
