"""Report: the result file of a batch, a line for each row in the order of the input.

A pure function of what was stored when rows were accepted and settled. It can be made at any
time; while a row is not final its line says so.
"""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Literal

import polars as pl

from paybatch import registry
from paybatch.domain.banks import ACCOUNT_BRANDS
from paybatch.domain.dialect import Dialect
from paybatch.domain.report import CELL
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.texts import from_text
from paybatch.store import operations
from paybatch.store.batches import Batch
from paybatch.store.chunks import Chunk, list_chunks
from paybatch.store.public_ids import Shape

ROWS_AT_ONCE = 25_000


@dataclass(frozen=True)
class Reporting:
    """What the parts of one report have in common."""

    engine: Engine
    batch: Batch
    place: Place
    dialect: Dialect
    only: frozenset[str]


def report(
    engine: Engine,
    batch: Batch,
    place: Place,
    target: BinaryIO,
    *,
    only: frozenset[str] = frozenset(),
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Write a batch's result; ``only`` keeps rows of these outcomes."""
    dialect = registry.dialects()[batch.dialect]
    reporting = Reporting(engine, batch, place, dialect, only)
    header = pl.DataFrame(schema=dict.fromkeys(dialect.result_columns(batch.columns), pl.String))
    target.write(_written(dialect, header, header=True))
    threads = engine.settings.threads
    with ThreadPoolExecutor(threads) as pool:
        for data, rows in _in_order(pool, threads + 1, list(_parts(reporting))):
            target.write(data)
            advance(rows)


def _in_order(
    pool: ThreadPoolExecutor, ahead: int, parts: list[Callable[[], tuple[bytes, int]]]
) -> Iterator[tuple[bytes, int]]:
    """Run parts in threads, a few ahead, and give their results in order."""
    waiting: list[Future[tuple[bytes, int]]] = []
    for part in parts:
        waiting.append(pool.submit(part))
        if len(waiting) >= ahead:
            yield waiting.pop(0).result()
    for each in waiting:
        yield each.result()


def _parts(reporting: Reporting) -> Iterator[Callable[[], tuple[bytes, int]]]:
    with reporting.engine.database.transaction() as connection:
        chunks = list_chunks(connection, reporting.batch.id)
    for chunk in chunks:
        if chunk.kind == "range":
            for first in range(chunk.first_line, chunk.last_line + 1, ROWS_AT_ONCE):
                last = min(first + ROWS_AT_ONCE - 1, chunk.last_line)
                yield partial(_part, reporting, chunk, (first, last))


def _part(reporting: Reporting, chunk: Chunk, lines: tuple[int, int]) -> tuple[bytes, int]:
    with reporting.engine.database.transaction() as connection:
        stored = operations.report_range(connection, reporting.batch.id, chunk.merchant_ids, lines)
    count = stored.height
    rows = report_rows(reporting, stored)
    if reporting.only:
        rows = rows.filter(pl.col("state").is_in(sorted(reporting.only)))
    cells = reporting.dialect.result(rows, reporting.batch.columns)
    return _written(reporting.dialect, cells, header=False), count


def _written(dialect: Dialect, cells: pl.DataFrame, *, header: bool) -> bytes:
    buffer = io.BytesIO()
    quoting: Literal["always", "necessary"] = "always" if dialect.quote_all else "necessary"
    cells.write_csv(buffer, include_header=header, quote_style=quoting)
    return buffer.getvalue()


def _time(epoch: str) -> pl.Expr:
    return pl.from_epoch(epoch, time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def report_rows(reporting: Reporting, stored: pl.DataFrame) -> pl.DataFrame:
    """Turn stored rows into report rows (``domain.report``)."""
    ids, shape = reporting.engine.public_ids, Shape(reporting.dialect.id_shape)
    names = {gate.id: gate.name for gate in reporting.place.gates}
    connectors = {gate.id: gate.connector for gate in reporting.place.gates}
    rows = stored.with_columns_seq(
        *from_text(reporting.batch.columns, pl.col("cells"), CELL),
        state=pl.coalesce("state", pl.lit("queued")),
        operation=ids.encode(stored["id"], "op", shape),
        payment=ids.encode(stored["payment_id"], "pay", shape),
        card_reference=_references(reporting, stored),
        gate=pl.col("gate_id").replace_strict(names, default=None, return_dtype=pl.String),
        connector=pl.col("gate_id").replace_strict(
            connectors, default=None, return_dtype=pl.String
        ),
        sender=pl.lit(reporting.batch.sender),
        accepted_at=_time("accepted_epoch"),
        settled_at=_time("settled_epoch"),
    )
    return rows.drop("cells")


def _references(reporting: Reporting, stored: pl.DataFrame) -> pl.Series:
    """Give the card reference of each row that brought a number; only our own dialect shows it."""
    if reporting.dialect.id_shape != Shape.NATIVE:
        return pl.Series("card_reference", [None] * stored.height, pl.String)
    ids = reporting.engine.public_ids
    is_bank = stored["brand"].is_in(ACCOUNT_BRANDS).fill_null(value=False)
    card = ids.encode_reference(stored["number_id"], stored["expiry"], "card")
    bank = ids.encode_reference(stored["number_id"], stored["expiry"], "bank")
    return bank.zip_with(is_bank, card)
