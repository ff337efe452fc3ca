"""Paces: the buckets of tokens that all workers and single calls share."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.domain.pacing import Bucket, room
from paybatch.store.database import Row
from paybatch.store.statements import statements

_SQL = statements("pace")


def read_paces(connection: Connection[Row], names: Sequence[str]) -> list[Bucket]:
    """Read those of these buckets that there are."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["read_paces"], {"names": list(names)}).fetchall()
    return [Bucket(**row) for row in rows]


def make_pace(
    connection: Connection[Row], name: str, per_second: float | None, now: datetime
) -> None:
    """Make a bucket, full, if it is not there; its rate is this one from now on."""
    tokens = room(per_second) if per_second is not None else 0.0
    parameters = {"name": name, "per_second": per_second, "tokens": tokens, "now": now}
    connection.execute(_SQL["make_pace"], parameters)


def lock_paces(connection: Connection[Row], names: Sequence[str]) -> list[Bucket]:
    """Lock those of these buckets that there are until the transaction ends."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL["lock_paces"], {"names": list(names)}).fetchall()
    return [Bucket(**row) for row in rows]


def save_pace(connection: Connection[Row], bucket: Bucket) -> None:
    """Keep what is left in a bucket that is locked."""
    values: Mapping[str, object] = asdict(bucket)
    connection.execute(_SQL["save_pace"], values)
