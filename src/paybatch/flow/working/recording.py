"""Recording: the facts that approved rows leave behind beside money."""

import polars as pl

from paybatch import registry
from paybatch.domain.effects import Fact
from paybatch.domain.few import chosen, distinct
from paybatch.flow.place import Place


def records(
    place: Place, rows: pl.DataFrame, kinds: frozenset[str]
) -> list[tuple[Fact, pl.DataFrame]]:
    """Give the facts that approved rows of these kinds leave behind, as their tables want them."""
    found = []
    asked = {name for name in distinct(rows["kind"]) if registry.kinds()[name].records}
    for name in sorted(asked | kinds):
        is_own = (pl.col("act") == name) | (pl.col("kind") == name)
        for each in registry.kinds()[name].records:
            if each.about and not any(rows[detail].count() for detail in each.about):
                continue
            own = rows.filter(is_own & pl.col("is_approved") & each.when)
            if not own.is_empty():
                connectors = {gate.id: gate.connector for gate in place.gates}
                named = chosen(own["gate_id"], connectors, pl.String()).alias("connector")
                own = own.hstack([named])
                values = [value.alias(column) for column, value in each.values.items()]
                keys = ("merchant_id", pl.col("id").alias("operation_id"), "payment_id")
                found.append((each.fact, own.select_seq(*keys, *values)))
    return found
