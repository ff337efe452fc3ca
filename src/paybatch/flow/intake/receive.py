"""Receive: take a file in. Its bytes are stored encrypted, its language is found out.

The same bytes of the same sender are taken once, packed or not. A unique key of the database
decides, so that it holds for two uploads at the same moment.
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from paybatch import registry
from paybatch.domain.delimited import Delimited, FileRefused, open_delimited
from paybatch.domain.dialect import Dialect
from paybatch.domain.masking import mask_text
from paybatch.domain.unpack import unpack
from paybatch.flow.documents import Held, drop_all
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.texts import Layout, lay_out, told
from paybatch.store import batches, directory
from paybatch.store.batches import Batch
from paybatch.store.database import ConstraintError, DatabaseGoneError
from paybatch.store.keys import FileHasher

UPLOADS = "upload"
_FILE_NAME_CHARACTERS_MAX = 255


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a file is handed in: what the sender says about it."""

    file_name: str
    dialect: str | None = None
    kind: str | None = None
    policy: str = "valid-rows"
    again: bool = False


class SeenBeforeError(Exception):
    """The sender handed in the same bytes before."""

    def __init__(self, batch_id: int, state: str) -> None:
        super().__init__(f"batch {batch_id} ({state}) has the same bytes")
        self.batch_id = batch_id
        self.state = state


class RequestWrongError(Exception):
    """The dialect, kind or policy that was named is not known."""


def choose_dialect(names: list[str], wanted: str | None) -> Dialect:
    """Give the dialect that was named, or that whose marks the header carries most of.

    Raises:
        RequestWrongError: No dialect has that name.
        FileRefused: ``dialect_unknown``: no dialect knows these columns; ``dialect_ambiguous``:
            several know them equally well.
    """
    known = registry.dialects()
    if wanted is not None:
        if wanted not in known:
            raise RequestWrongError(f"There is no dialect {wanted!r}; known: {', '.join(known)}.")
        return known[wanted]
    scores = {
        name: (_known_names(names, dialect.marks), _known_names(names, dialect.columns))
        for name, dialect in known.items()
    }
    best = max(scores.values())
    fitting = [name for name, score in scores.items() if score == best]
    if best == (0, 0):
        raise FileRefused(
            "dialect_unknown",
            f"Line 1 must hold the column names; no dialect knows these: {told(names)}. See "
            "`paybatch dialects`; a sample file of each comes from `paybatch sample DIALECT`.",
        )
    if len(fitting) > 1:
        raise FileRefused(
            "dialect_ambiguous",
            f"Line 1: the columns fit several dialects: {', '.join(fitting)}. Name one of them "
            "with `--dialect`: their amounts may mean different things.",
        )
    return known[fitting[0]]


def _known_names(names: list[str], known: Iterable[str]) -> int:
    """Count the names that are known, in capitals or not: `lay_out` says what is to be changed."""
    return len({name.lower() for name in names} & {name.lower() for name in known})


def open_file(
    engine: Engine, pieces: Iterable[bytes], request: Request, rows_per_block: int
) -> tuple[Delimited, Layout]:
    """Open a file that was unpacked, as a request for it says.

    Raises:
        FileRefused: It cannot be read as a whole.
    """
    opened = open_delimited(
        pieces,
        max_columns=engine.settings.columns_max,
        lines_per_block=rows_per_block,
    )
    dialect = choose_dialect(opened.names, request.dialect)
    return opened, lay_out(dialect, opened.names, _kind_of(dialect, request.kind))


def _kind_of(dialect: Dialect, word: str | None) -> str | None:
    """Give the kind that a request names for a whole file: by our name, or the dialect's word."""
    kind = None if word is None else dialect.kind_of(word)
    if kind is None or kind in registry.kinds():
        return kind
    theirs = dialect.words.get("kind", {})
    known = ", ".join(dict.fromkeys([*registry.kinds(), *theirs]))
    raise RequestWrongError(f"There is no kind {word!r} in {dialect.name}; known: {known}.")


def receive(engine: Engine, place: Place, source: Iterable[bytes], request: Request) -> int:
    """Store a file and its batch; give the batch's id. Nothing is kept when it is refused.

    Raises:
        FileRefused: It cannot be read as a whole.
        SeenBeforeError: The same bytes were handed in before, and ``again`` is not set.
    """
    with engine.database.transaction() as connection:
        batch_id = batches.next_number(connection)
    key = engine.keys.new_data_key()
    held = Held(engine, engine.keys.file_hasher())
    counted = Counted(unpacked(engine, source, held), held.hasher)
    name = blob_name(batch_id)
    try:
        byte_count = engine.blobs.put_encrypted(name, counted, key)
        held.store(batch_id, engine.clock())
        values = {
            "id": batch_id,
            "sender_id": place.sender_id,
            "merchant_id": place.merchant_id,
            "gate_id": place.gate_id,
            "file_name": _kept_name(request.file_name),
            "content_hash": counted.hasher.hexdigest(),
            "byte_count": byte_count,
            "policy": request.policy,
            "nonce": secrets.token_bytes(16),
            "wrapped_key": key.wrapped(name),
            "created_at": engine.clock(),
            **_description(engine, key_blocks(engine, name, key.wrapped(name)), request),
        }
        _insert(engine, values, again=request.again)
    except DatabaseGoneError:
        raise  # the batch may be stored all the same, and need its upload: the sweep will know
    except BaseException:
        with suppress(DatabaseGoneError):
            _drop_unless_stored(engine, batch_id)
        raise
    return batch_id


def _drop_unless_stored(engine: Engine, batch_id: int) -> None:
    """Delete an upload, unless its batch came to be before what went wrong."""
    with engine.database.transaction() as connection:
        is_stored = batches.state_of(connection, batch_id) is not None
    if not is_stored:
        engine.blobs.delete(blob_name(batch_id))
        drop_all(engine, batch_id)


def unpacked(engine: Engine, source: Iterable[bytes], held: Held) -> Iterator[bytes]:
    """Take the file out of an upload, and hold it to the limit of size; ``held`` are its documents.

    Raises:
        FileRefused: As `unpack`, or ``file_too_large``.
    """
    bytes_max = engine.settings.file_bytes_max
    size = 0
    for piece in unpack(source, max_bytes=bytes_max, aside=held.keep):
        size += len(piece)
        if size > bytes_max:
            raise FileRefused(
                "file_too_large", f"The file is larger than {bytes_max:,} bytes, the limit."
            )
        yield piece


def _kept_name(file_name: str) -> str:
    """Make a file's name fit to be stored: it may hold a card number, or bytes that are no text."""
    text = file_name.encode(errors="replace").decode().replace("\0", "?")
    return mask_text(text)[:_FILE_NAME_CHARACTERS_MAX]


def blob_name(batch_id: int) -> str:
    """Name the blob of a batch's upload."""
    return f"{UPLOADS}/{batch_id}"


def number_of_upload(name: str) -> int | None:
    """Give the number of the batch whose upload a blob is; None for another blob."""
    number = name.removeprefix(f"{UPLOADS}/")
    return int(number) if number.isdecimal() else None


def is_overdue(engine: Engine, batch: Batch) -> bool:
    """Tell whether a batch's upload has a column of CVVs, and they are too old to be kept."""
    fields = registry.dialects()[batch.dialect].columns
    oldest = engine.clock() - timedelta(hours=engine.settings.secret_hours)
    return batch.created_at < oldest and "card_cvv" in map(fields.get, batch.columns)


def overdue(engine: Engine) -> str:
    """Say why a file that is overdue is refused."""
    hours = f"{engine.settings.secret_hours:g}"
    return f"It was not read within {hours} hours, and CVVs are not kept longer. Hand it in again."


def key_blocks(engine: Engine, name: str, wrapped: bytes) -> Iterator[bytes]:
    """Read a stored upload piece by piece."""
    return engine.blobs.read_encrypted(name, engine.keys.unwrap(wrapped, name))


def _description(engine: Engine, pieces: Iterator[bytes], request: Request) -> dict[str, object]:
    opened, layout = open_file(engine, pieces, request, engine.settings.chunk_rows)
    shape = opened.shape
    return {
        "dialect": layout.dialect.name,
        "kind": layout.kind,
        "columns": opened.names,
        "shape": {
            "encoding": shape.encoding,
            "has_bom": shape.has_bom,
            "separator": shape.separator,
            "line_end": shape.line_end,
        },
    }


def _insert(engine: Engine, values: dict[str, object], *, again: bool) -> None:
    sender_id, content = values["sender_id"], values["content_hash"]
    assert isinstance(sender_id, int)
    assert isinstance(content, str)
    while True:
        with engine.database.transaction() as connection:
            holders = batches.holders_of_content(connection, sender_id, content)
        if holders and not again:
            raise SeenBeforeError(holders[0][0], holders[0][1])
        occurrence = holders[0][2] + 1 if holders else 0
        try:
            with engine.database.transaction() as connection:
                batches.insert_batch(connection, {**values, "occurrence": occurrence})
                action = "batch.received_again" if holders else "batch.received"
                directory.record(
                    connection,
                    engine.clock(),
                    f"sender:{sender_id}",
                    action,
                    f"batch:{values['id']}",
                    file_name=str(values["file_name"]),
                    content_hash=content,
                    earlier=holders[0][0] if holders else None,
                )
        except ConstraintError as error:
            if error.constraint != "batch_content":
                raise
            continue  # another upload of the same bytes was faster: look again
        return


class Counted:
    """Passes pieces through a hasher; the hash is whole when the last piece was taken."""

    def __init__(self, source: Iterable[bytes], hasher: FileHasher) -> None:
        self._source = source
        self.hasher = hasher

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._source:
            self.hasher.update(piece)
            yield piece
