"""Documents that were handed in beside a file: their names, and the keys of their blobs."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.rows import class_row

from paybatch.store.database import Row
from paybatch.store.statements import statements

_SQL = statements("document")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A document of a batch: its number there, its name in the archive, its size and key."""

    number: int
    name: str
    byte_count: int
    wrapped_key: bytes


def insert_document(
    connection: Connection[Row], batch_id: int, document: Document, at: datetime
) -> None:
    """Note a document whose blob is about to be written."""
    parameters = {
        "batch_id": batch_id,
        "number": document.number,
        "name": document.name,
        "byte_count": document.byte_count,
        "wrapped_key": document.wrapped_key,
        "created_at": at,
    }
    connection.execute(_SQL["insert_document"], parameters)


def documents_of(connection: Connection[Row], batch_id: int) -> list[Document]:
    """List the documents of a batch, in the order in which they came."""
    with connection.cursor(row_factory=class_row(Document)) as cursor:
        return cursor.execute(_SQL["documents_of"], {"batch_id": batch_id}).fetchall()


def orphans(connection: Connection[Row], before: datetime) -> list[tuple[int, int]]:
    """Give (batch, number) of documents whose batch was refused, or never came to be."""
    rows = connection.execute(_SQL["orphans"], {"before": before}).fetchall()
    return [(int(row[0]), int(row[1])) for row in rows]


def drop_document(connection: Connection[Row], batch_id: int, number: int) -> None:
    """Forget a document whose blob is deleted."""
    connection.execute(_SQL["drop_document"], {"batch_id": batch_id, "number": number})
