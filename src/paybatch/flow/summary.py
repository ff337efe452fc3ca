"""Summary: what became of a batch, in counts and sums."""

from dataclasses import dataclass, field
from typing import Any

from paybatch.flow.engine import Engine
from paybatch.store import operations
from paybatch.store.batches import Batch


@dataclass
class Outcome:
    """One outcome: how many rows, and the sums by currency in minor units."""

    count: int = 0
    requested: dict[str, int] = field(default_factory=dict)
    approved: dict[str, int] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Add a tally."""
        self.count += row["row_count"]
        currency = row["currency"]
        if currency:
            for sums, name in ((self.requested, "requested"), (self.approved, "approved")):
                sums[currency] = sums.get(currency, 0) + int(row[f"{name}_minor"])


def summarize(engine: Engine, batch: Batch) -> dict[str, Outcome]:
    """Give the rows of a batch by state; what is accepted and not final yet is ``queued``."""
    with engine.database.transaction() as connection:
        rows = operations.tallies(connection, batch.id)
    found: dict[str, Outcome] = {}
    for row in rows:
        found.setdefault(row["state"], Outcome()).add(row)
    return {state: each for state, each in sorted(found.items()) if each.count}
