"""Details: the values of a row beside the money that a connector or an effect reads.

They stand in the row's own text, as the file had them; single calls have them at hand, and keep
them under their block and line as long as they may have to be rebuilt.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.few import distinct
from paybatch.domain.masking import mask_cells
from paybatch.flow.describe import FIELDS
from paybatch.flow.place import Place
from paybatch.flow.working.series import with_scheme_ids
from paybatch.store import attempts, operations
from paybatch.store.batches import Batch
from paybatch.store.database import Connection, Row

SPARSE = 4  # lines of a range for each that is wanted; above it they are read one by one


def wanted(place: Place, rows: pl.DataFrame) -> set[str]:
    """Name the details that the gates' connectors or the effects of the rows' kinds read."""
    asked = {name for gate in place.gates for name in place.connector(gate.id).wants}
    return asked | read_by(distinct(rows["kind"]))


def read_by(kinds: Iterable[str]) -> set[str]:
    """Name the details that the effects of kinds read; also of those that a kind stands for."""
    found = [registry.kinds()[name] for name in kinds]
    others = {name for kind in found for name in kind.stands_for(Capabilities())}
    found += [registry.kinds()[name] for name in others]
    return {field.name for kind in found for field in kind.reads}


def read(rows: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Read the texts of details as what they are; no text shows a card number.

    Columns without any value become nulls of what they would be read as.
    """
    known = [name for name in sorted(names) if rows[name].count()]
    absent = {
        name: none
        for name in names
        if name not in known and (none := _none(name)).dtype != pl.String
    }
    if absent:
        nothing = {name: none.new_from_index(0, rows.height) for name, none in absent.items()}
        rows = pl.DataFrame([nothing.get(each.name, each) for each in rows.get_columns()])
    return rows.with_columns_seq(
        FIELDS[name].type.read(mask_cells(pl.col(name))).alias(name) for name in known
    )


@cache
def _none(name: str) -> pl.Series:
    """Give a detail that is not there, as what it would be read as."""
    text = pl.DataFrame({name: [None]}, schema={name: pl.String})
    return text.select_seq(FIELDS[name].type.read(pl.col(name))).to_series().alias(name)


def with_details(
    connection: Connection[Row],
    batch: Batch,
    place: Place,
    rows: pl.DataFrame,
    more: Iterable[str] = (),
) -> pl.DataFrame:
    """Add to rows of a batch the details that are wanted of them; null where there is none."""
    names, dialect = wanted(place, rows) | set(more), registry.dialects()[batch.dialect]
    for name in sorted(names):
        column = dialect.column_of(name)
        if column not in batch.columns:
            rows = rows.with_columns_seq(pl.lit(None, pl.String).alias(name))
            continue
        number = batch.columns.index(column) + 1
        cells = _cells(connection, batch.id, number, rows["line"]).rename({"value": name})
        if words := dialect.words.get(name):
            cells = cells.with_columns_seq(pl.col(name).replace(dict(words)))
        rows = rows.join(cells, on="line", how="left", maintain_order="left")
    return with_scheme_ids(connection, read(rows, names))


def _cells(
    connection: Connection[Row], batch_id: int, place: int, lines: pl.Series
) -> pl.DataFrame:
    """Read a cell of lines in order: as a range, or one by one when most of it is not wanted."""
    first, last = int(lines[0]), int(lines[-1])
    if last - first < SPARSE * len(lines):
        return operations.row_cells(connection, batch_id, place, (first, last))
    return attempts.cells_of_lines(connection, batch_id, place, lines.to_list())


def keep_details(
    connection: Connection[Row], place: Place, calls: pl.DataFrame, now: datetime
) -> None:
    """Keep the details of single calls that leave the house; what `read` gave shows no number."""
    names = [name for name in sorted(wanted(place, calls)) if name in calls.columns]
    names = [name for name in names if calls[name].count()]
    if not names:
        return
    texts = calls.select_seq(pl.col(name).cast(pl.String) for name in names)
    told = [
        json.dumps({name: text for name, text in row.items() if text is not None})
        for row in texts.iter_rows(named=True)
    ]
    operations.make_text_month(connection, now.date())
    operations.copy_row_texts(
        connection,
        calls.select_seq(
            "line",
            batch_id=pl.col("id") // operations.LINES_MAX,
            created_on=pl.lit(now.date()),
            cells=pl.Series(told, dtype=pl.String),
        )[["batch_id", "line", "created_on", "cells"]],
    )


def with_kept_details(
    connection: Connection[Row], place: Place, rows: pl.DataFrame
) -> pl.DataFrame:
    """Add to single calls of one block the details that were kept of them; null = none."""
    block, lines = int(rows["batch_id"][0]), rows["line"].to_list()
    cells = attempts.cells_of_lines(connection, block, 1, lines).drop_nulls()
    kept = {line: json.loads(text) for line, text in cells.iter_rows()}
    names = wanted(place, rows)
    found = [
        pl.Series(name, [kept.get(line, {}).get(name) for line in lines], dtype=pl.String)
        for name in sorted(names)
    ]
    return read(rows.hstack(found), names)
