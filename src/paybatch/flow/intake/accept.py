"""Accept: every row of a received file is read, checked and stored, block by block.

A block is one transaction: its operations, texts, errors, secrets and its chunk. The chunk's
primary key makes a second load of the block impossible, so that a load that was killed goes on
where it stopped. Blocks are loaded by several threads at once.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from paybatch import registry
from paybatch.domain.delimited import (
    Block,
    Delimited,
    FileRefused,
    open_delimited,
    read_records,
)
from paybatch.domain.lifecycle import BatchState
from paybatch.domain.masking import mask_cells
from paybatch.flow import phases, vault
from paybatch.flow.documents import names_of
from paybatch.flow.engine import Engine
from paybatch.flow.intake import receive
from paybatch.flow.intake.check import check
from paybatch.flow.intake.shaping import Origin, rejected, replayed, shaped, taken_keys, vault_rows
from paybatch.flow.intake.values import kept_names
from paybatch.flow.place import Place
from paybatch.flow.tallies import tally
from paybatch.flow.texts import Layout, broken_to_text, lay_out, to_text
from paybatch.store import batches, numbers, operations, subjects
from paybatch.store.batches import Batch
from paybatch.store.chunks import Chunk, insert_chunk, list_chunks
from paybatch.store.database import Connection, ConstraintError, Row
from paybatch.store.keys import DataKey
from paybatch.store.subjects import Modes

HIDDEN = {"card_number", "account_number", "iban", "card_cvv"}
ORDERED_CHUNK_ROWS = 10_000
Advance = Callable[[int], None]


class StoppedError(Exception):
    """The batch was cancelled while its file was read."""


@dataclass(frozen=True)
class Load:
    """What the blocks of one batch have in common."""

    engine: Engine
    batch: Batch
    layout: Layout
    place: Place
    key: DataKey
    now: datetime
    documents: frozenset[str]

    @property
    def origin(self) -> Origin:
        """Where the rows come from."""
        return Origin(self.engine, self.batch.id, self.batch.sender_id, self.now, "file")


def chunk_rows(engine: Engine, policy: str) -> int:
    """Give how many rows are loaded and claimed at once: few when the batch may stop early."""
    settings = engine.settings
    return settings.stop_chunk_rows if policy.startswith("stop-after") else settings.chunk_rows


def claim_rows(place: Place) -> int | None:
    """Give how many calls may be in doubt at once; None = every connector is inline."""
    connectors = [place.connector(gate.id) for gate in place.gates]
    return min((each.claim_rows for each in connectors if not each.inline), default=None)


def accept(
    engine: Engine, batch: Batch, place: Place, advance: Advance, read: Advance = lambda _: None
) -> None:
    """Store every row of a batch that is ``checking``; ``advance`` is told how many, as they come.

    ``read`` is told the bytes of the upload as they are read.

    Raises:
        FileRefused: The file turned out to be unreadable as a whole.
        BlobGoneError: The upload is not there.
        StoppedError: The batch was cancelled meanwhile.
    """
    assert batch.wrapped_key is not None
    key = engine.keys.unwrap(batch.wrapped_key, receive.blob_name(batch.id))
    opened = open_delimited(
        _told(receive.key_blocks(engine, receive.blob_name(batch.id), batch.wrapped_key), read),
        max_columns=engine.settings.columns_max,
        lines_per_block=chunk_rows(engine, batch.policy),
    )
    layout = lay_out(registry.dialects()[batch.dialect], opened.names, batch.kind)
    now = engine.clock()  # one moment for all rows: their texts stand in the month that is made
    with engine.database.transaction() as connection:
        operations.make_text_month(connection, now.date())
    load = Load(engine, batch, layout, place, key, now, names_of(engine, batch.id))
    _load_blocks(load, opened, advance)
    _finish(engine, batch, place)


def _told(pieces: Iterator[bytes], read: Advance) -> Iterator[bytes]:
    for piece in pieces:
        read(len(piece))
        yield piece


def _load_blocks(load: Load, opened: Delimited, advance: Advance) -> None:
    """Load blocks in threads; no more are under way than there are threads, so memory is bound."""
    with load.engine.database.transaction() as connection:
        stored = list_chunks(connection, load.batch.id)
    done = {chunk.number: chunk for chunk in stored if chunk.kind == "range"}
    threads = load.engine.settings.threads
    waiting: set[Future[int]] = set()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for number, block in enumerate(opened.blocks, start=1):
                _check_lines(block)
                if number in done:
                    advance(done[number].row_count)
                    continue
                if len(waiting) > threads:
                    waiting = _next(waiting, advance)
                earlier = frozenset(waiting)
                waiting.add(pool.submit(_load_block, load, opened, number, block, earlier))
            while waiting:
                waiting = _next(waiting, advance)
        finally:
            for each in waiting:
                each.cancel()


def _check_lines(block: Block) -> None:
    """Refuse a file with more lines than a batch has ids for."""
    if block.first_line + block.lines > operations.FILE_LINES_MAX:
        raise FileRefused(
            "too_many_rows",
            f"The file has {operations.FILE_LINES_MAX:,} lines or more; the limit is one less. Cut "
            "it into parts.",
        )


def _next(waiting: set[Future[int]], advance: Advance) -> set[Future[int]]:
    done, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for each in done:
        advance(each.result())
    return rest


def _load_block(
    load: Load, opened: Delimited, number: int, block: Block, earlier: frozenset[Future[int]]
) -> int:
    """Read, check and store one block; give the number of its rows.

    A block with idempotency keys is stored after the ``earlier`` ones: of two lines with the same
    key the earlier one is carried out, whichever thread is faster.
    """
    records = read_records(block, len(opened.names), opened.shape)
    checked = check(
        load.engine, load.layout, load.place, records, load.now, documents=load.documents
    )
    rows = shaped(load.origin, vault_rows(load.engine, checked))
    texts = to_text(load.layout, _with_marks(load, checked.records.table), HIDDEN)
    texts = texts.with_columns_seq(cells=mask_cells(pl.col("cells")))
    texts = pl.concat([texts, broken_to_text(load.layout, checked.records.broken)])
    if rows.is_empty():
        return 0
    if rows["idempotency_key"].count():
        for each in earlier:
            each.result()
    try:
        with load.engine.database.transaction() as connection:
            _store(connection, load, number, rows=rows, texts=texts, errors=checked.errors)
    except ConstraintError as error:
        if error.constraint != "chunk_pkey":
            raise  # otherwise: another process loads the same batch and was faster
    return rows.height


def _with_marks(load: Load, table: pl.DataFrame) -> pl.DataFrame:
    """Give identifiers that look like card numbers as they are looked up: masked, with a mark."""
    cell = load.layout.fields.get("identifier")
    if cell is None:
        return table
    return table.with_columns_seq(kept_names(load.engine, table[cell]))


def _store(
    connection: Connection[Row],
    load: Load,
    number: int,
    *,
    rows: pl.DataFrame,
    texts: pl.DataFrame,
    errors: pl.DataFrame,
) -> None:
    batch_id = load.batch.id
    if batches.state_of(connection, batch_id) != BatchState.CHECKING:
        raise StoppedError
    refused = pl.concat(
        [rejected(rows, load.now), replayed(connection, load.origin, rows)], how="diagonal_relaxed"
    )
    if not refused.is_empty():
        rows = rows.with_columns_seq(accepted=~pl.col("id").is_in(refused["id"].implode()))
    chunk = Chunk(
        number=number,
        kind="range",
        first_line=int(rows["line"][0]),
        last_line=int(rows["line"][-1]),
        merchant_ids=sorted(rows["merchant_id"].unique().to_list()),
        row_count=rows.height,
        rejected_count=refused.filter(pl.col("state") == "rejected").height,
    )
    insert_chunk(connection, batch_id, chunk)
    operations.copy_operations(connection, rows)
    day = load.now.date().isoformat()
    operations.copy_row_texts(
        connection,
        texts.select_seq(
            pl.lit(batch_id).alias("batch_id"), "line", pl.lit(day).alias("d"), "cells"
        ),
    )
    secret = rows.filter("has_secret", "accepted")
    if not secret.is_empty():
        sealed = vault.seal_secrets(load.key, secret, vault.secret_context(batch_id, number))
        lines, since = (chunk.first_line, chunk.last_line), load.batch.created_at
        numbers.put_secrets(connection, batch_id, number, lines=lines, sealed=sealed, at=since)
    errors = pl.concat([errors, taken_keys(rows, refused)])
    _store_refused(connection, batch_id, refused, errors)
    operations.insert_tallies(connection, batch_id, _counted(rows, refused))


def _store_refused(
    connection: Connection[Row], batch_id: int, refused: pl.DataFrame, errors: pl.DataFrame
) -> None:
    if not refused.is_empty():
        operations.copy_outcomes(connection, refused)
    numbered = errors.select_seq(
        pl.lit(batch_id).alias("batch_id"),
        "line",
        pl.int_range(pl.len()).over("line").alias("number"),
        "reason",
        "column_name",
        "value",
        "message",
    )
    operations.copy_row_errors(connection, numbered)


def _counted(rows: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    """Count what was accepted as queued, and what was refused under its reason."""
    states = rows.select_seq("id", "kind", "currency", "amount_minor").join(
        refused.select_seq("id", "state", "reason"), on="id", how="left", maintain_order="left"
    )
    return tally(states.with_columns_seq(state=pl.col("state").fill_null("queued")))


def _finish(engine: Engine, batch: Batch, place: Place) -> None:
    """Cut the file into phases, resolve what rows act on, and count the rows."""
    with engine.database.transaction() as connection:
        chunks = list_chunks(connection, batch.id)
        merchants = sorted({each for chunk in chunks for each in chunk.merchant_ids})
        lines = (0, max((chunk.last_line for chunk in chunks), default=0))
        ids = operations.id_range(batch.id, *lines)
        rows = sum(chunk.row_count for chunk in chunks if chunk.kind == "range")
        rows_max = claim_rows(place)
        starts = phases.cut(connection, batch, chunks, merchants, rows_max=rows_max)
        chunks = list_chunks(connection, batch.id)
        acts = subjects.has_subjects(connection, merchants, ids)
        if acts and not batch.has_subjects:  # otherwise: done before a crash
            first = max(chunk.number for chunk in chunks) + 1  # an empty block has no chunk
            most = min(ORDERED_CHUNK_ROWS, chunk_rows(engine, batch.policy))
            order = _Order(place.modes, first, min(most, rows_max or most), starts)
            _order(connection, batch.id, merchants, ids, order)
        batches.set_accepted(connection, batch.id, row_count=rows, has_subjects=acts)


@dataclass(frozen=True)
class _Order:
    """How ordered chunks are made: the first one's number, their rows, where phases begin."""

    modes: Modes
    first_chunk: int
    rows_max: int
    starts: list[int]


def _order(
    connection: Connection[Row],
    batch_id: int,
    merchants: list[int],
    ids: dict[str, int],
    order: _Order,
) -> None:
    creating = [kind.name for kind in registry.kinds().values() if kind.makes]
    subjects.resolve_subjects(
        connection, batch_id, merchants, ids, creating_kinds=creating, modes=order.modes
    )
    made = subjects.order_subjects(
        connection,
        batch_id,
        merchants,
        ids,
        first_chunk=order.first_chunk,
        chunk_rows=order.rows_max,
        start_ids=[operations.operation_id(batch_id, line) for line in order.starts],
        in_line=phases.in_line(),
    )
    for each in made:
        line = operations.line_of(each["first_id"])
        chunk = Chunk(
            number=each["chunk_number"],
            kind="ordered",
            first_line=0,
            last_line=0,
            merchant_ids=each["merchant_ids"],
            phase=phases.phase_of(order.starts, line),
            row_count=each["row_count"],
        )
        insert_chunk(connection, batch_id, chunk)
