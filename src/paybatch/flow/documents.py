"""Documents: files that come in the archive of a batch beside its rows, such as sales tickets.

They are held in memory while the archive is read (their sum is limited), and then kept as blobs,
each under a key of its own. A row names one as it is called in the archive; the fact that it leaves
keeps that name, and its operation's batch tells the blob. The names of a batch without documents
mean places outside, and are not looked up.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from paybatch.domain.delimited import FileRefused
from paybatch.domain.kind import Fault
from paybatch.domain.masking import mask_cells, mask_text
from paybatch.domain.reasons import Reason
from paybatch.flow.describe import NO_ERRORS, describe
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.texts import Layout
from paybatch.store import documents, facts
from paybatch.store.documents import Document
from paybatch.store.keys import FileHasher
from paybatch.store.operations import batch_of

FOLDER = "document"
MISSING = Reason.DOCUMENT_MISSING


@dataclass
class Held:
    """The documents of an upload while it is read; they are part of what its hash is of."""

    engine: Engine
    hasher: FileHasher
    contents: dict[str, bytes] = field(default_factory=dict)
    byte_count: int = 0

    def keep(self, name: str, pieces: Iterator[bytes]) -> None:
        """Take a document out of the archive.

        Raises:
            FileRefused: ``document_twice`` or ``documents_too_large``.
        """
        name, limit = mask_text(name), self.engine.settings.documents_bytes_max
        if name in self.contents:
            raise FileRefused("document_twice", f"The archive holds two documents {name!r}.")
        content = bytearray()
        for piece in pieces:
            content += piece
            self.byte_count += len(piece)
            if self.byte_count > limit:
                raise FileRefused(
                    "documents_too_large", f"The documents are more than {limit:,} bytes in all."
                )
        self.contents[name] = bytes(content)
        self.hasher.update(f"\0{name}\0{len(content)}\0".encode())
        self.hasher.update(bytes(content))

    def store(self, batch_id: int, at: datetime) -> None:
        """Keep them as blobs of a batch that is about to be."""
        for number, (name, content) in enumerate(self.contents.items(), start=1):
            key, blob = self.engine.keys.new_data_key(), blob_name(batch_id, number)
            kept = Document(
                number=number,
                name=name,
                byte_count=len(content),
                wrapped_key=key.wrapped(blob),
            )
            with self.engine.database.transaction() as connection:
                documents.insert_document(connection, batch_id, kept, at)
            self.engine.blobs.put_encrypted(blob, [content], key)


def blob_name(batch_id: int, number: int) -> str:
    """Name the blob of a document."""
    return f"{FOLDER}/{batch_id}/{number}"


def names_of(engine: Engine, batch_id: int) -> frozenset[str]:
    """Name the documents that came with a batch."""
    with engine.database.transaction() as connection:
        return frozenset(each.name for each in documents.documents_of(connection, batch_id))


def is_missing(names: frozenset[str]) -> pl.Expr:
    """Tell which rows name a document that did not come with them."""
    return pl.col("document").is_not_null() & ~mask_cells(pl.col("document")).is_in(list(names))


def document_errors(
    layout: Layout, place: Place, values: pl.DataFrame, names: frozenset[str]
) -> pl.DataFrame:
    """Say which rows name a document that is not there, shaped as ``describe.ERRORS``."""
    if not names or "document" not in values.columns:
        return NO_ERRORS
    rows = values.filter(is_missing(names))
    return describe(layout, place, rows, Fault(MISSING, "document", pl.lit(value=True)))


def drop(engine: Engine, batch_id: int, number: int) -> None:
    """Delete a document: the blob first, so that it is never forgotten."""
    engine.blobs.delete(blob_name(batch_id, number))
    with engine.database.transaction() as connection:
        documents.drop_document(connection, batch_id, number)


def drop_all(engine: Engine, batch_id: int) -> None:
    """Delete the documents of a batch that will not be."""
    with engine.database.transaction() as connection:
        found = documents.documents_of(connection, batch_id)
    for each in found:
        drop(engine, batch_id, each.number)


@dataclass(frozen=True)
class Found:
    """A document of a payment: the batch that it came with, and what is known of it."""

    batch_id: int
    document: Document


def of_payment(engine: Engine, key: tuple[int, int]) -> list[Found]:
    """List the documents of a payment (merchant, payment) that we keep, oldest first."""
    with engine.database.transaction() as connection:
        named = [
            (batch_of(each["operation_id"]), each["text"])
            for each in facts.facts_of_payment(connection, *key)
            if each["name"] == "document"
        ]
        kept = {
            (batch_id, each.name): each
            for batch_id in sorted({batch_id for batch_id, _ in named})
            for each in documents.documents_of(connection, batch_id)
        }
    wanted = [each for each in dict.fromkeys(named) if each in kept]
    return [Found(batch_id, kept[batch_id, name]) for batch_id, name in wanted]


def read(engine: Engine, found: Found) -> Iterator[bytes]:
    """Read a document; what was changed is noticed at its end.

    Raises:
        BlobsError: It is gone, or was changed.
    """
    name = blob_name(found.batch_id, found.document.number)
    key = engine.keys.unwrap(found.document.wrapped_key, name)
    return engine.blobs.read_encrypted(name, key)
