"""Children: what rows of a batch made, with what became of it, for people and programs."""

from typing import Any

import polars as pl

from paybatch.flow.engine import Engine
from paybatch.store import children
from paybatch.store.batches import Batch
from paybatch.store.chunks import list_chunks
from paybatch.store.operations import line_of
from paybatch.store.public_ids import Shape

_HIDDEN = frozenset({"id", "parent_id", "payment_id"})


def made_by_rows(
    engine: Engine, batch: Batch, state: str | None, limit: int
) -> list[dict[str, Any]]:
    """List the operations that a batch's rows made: all, or those with an outcome.

    ``line`` is that of the row that made one, ``parent`` the row's public id.
    """
    with engine.database.transaction() as connection:
        chunks = list_chunks(connection, batch.id)
        merchants = sorted({each for chunk in chunks for each in chunk.merchant_ids})
        states = None if state is None else [state]
        rows = children.list_children(connection, merchants, batch.id, states=states, limit=limit)
    named = pl.DataFrame(
        [(row["id"], row["parent_id"], row["payment_id"]) for row in rows],
        schema=dict.fromkeys(("op", "parent", "pay"), pl.Int64()),
        orient="row",
    )
    ids = [
        engine.public_ids.encode(named[name], noun, Shape.NATIVE)
        for name, noun in (("op", "op"), ("parent", "op"), ("pay", "pay"))
    ]
    return [
        {
            "line": line_of(row["parent_id"]),
            "id": own,
            "parent": parent,
            "payment": payment,
            **{name: value for name, value in row.items() if name not in {*_HIDDEN, "line"}},
        }
        for row, own, parent, payment in zip(rows, *ids, strict=True)
    ]
