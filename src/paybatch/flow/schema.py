"""Schema: does the database's schema fit this program?

Several hosts are updated one after the other, so two versions use a schema for a while. A migration
only adds what the version before can do without; what nobody uses any more a later release takes
away. So a database says two numbers: its version, and since which version programs can use it.
"""

from paybatch.store.directory import Schema

SCHEMA_VERSION = 1


class SchemaBehindError(Exception):
    """The database's schema is older than this program needs, or too new for it."""


def schema_fault(found: Schema) -> str | None:
    """Say why this program cannot use a database, and what to do; None = it can."""
    if found.version < SCHEMA_VERSION:
        return (
            f"The database's schema is version {found.version}, this program needs "
            f"{SCHEMA_VERSION}. Run `paybatch migrate`."
        )
    if found.readable_from > SCHEMA_VERSION:
        return (
            f"The database's schema is version {found.version}, for programs that know version "
            f"{found.readable_from}; this one knows {SCHEMA_VERSION}. Update paybatch."
        )
    return None
