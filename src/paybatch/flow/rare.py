"""Rare: what a new payment's row told beside the money, as its own text keeps it."""

from paybatch import registry
from paybatch.domain.columns import RARE
from paybatch.domain.masking import mask_text
from paybatch.store import batches, operations
from paybatch.store.database import Connection, Row


def rare_details(connection: Connection[Row], batch_id: int, line: int) -> dict[str, str]:
    """Give the rare columns that a row of a file carried, by field name.

    Empty for a single call, whose text is not kept, and when the text's time is over.
    """
    batch = batches.get_batch(connection, batch_id)
    if batch is None:
        return {}
    dialect, found = registry.dialects()[batch.dialect], {}
    for name in (field.name for field in RARE):
        column = dialect.column_of(name)
        if column in batch.columns:
            place = batch.columns.index(column) + 1
            cells = operations.row_cells(connection, batch_id, place, (line, line))
            value = cells["value"].item() if cells.height else None
            if value is not None:
                found[name] = mask_text(dialect.words.get(name, {}).get(value, value))
    return found
