"""Details: the values of a row beside the money that a connector or an effect reads.

They stand in the row's own text, as the file had them; single calls have them at hand.
"""

from collections.abc import Iterable
from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.few import distinct
from paybatch.domain.masking import mask_cells
from paybatch.flow.describe import FIELDS
from paybatch.flow.place import Place
from paybatch.flow.working.series import with_scheme_ids
from paybatch.store import operations
from paybatch.store.batches import Batch
from paybatch.store.database import Connection, Row


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
    lines = (int(rows["line"][0]), int(rows["line"][-1]))
    for name in sorted(names):
        column = dialect.column_of(name)
        if column not in batch.columns:
            rows = rows.with_columns_seq(pl.lit(None, pl.String).alias(name))
            continue
        number = batch.columns.index(column) + 1
        cells = operations.row_cells(connection, batch.id, number, lines)
        cells = cells.rename({"value": name})
        if words := dialect.words.get(name):
            cells = cells.with_columns_seq(pl.col(name).replace(dict(words)))
        rows = rows.join(cells, on="line", how="left", maintain_order="left")
    return with_scheme_ids(connection, read(rows, names))
