"""Summary: what became of a batch, in counts and sums."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from paybatch.domain.lifecycle import BatchState
from paybatch.flow.engine import Engine
from paybatch.flow.sending.flight import FAULTS
from paybatch.store import operations
from paybatch.store.batches import Batch


@dataclass
class Line:
    """Rows of one kind and currency: how many, and their sums in minor units."""

    count: int = 0
    requested: int = 0
    approved: int = 0


@dataclass
class Outcome:
    """One outcome: its rows by kind and currency (None = none given), and why they were refused."""

    lines: dict[tuple[str, str | None], Line] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        """Add a tally."""
        line = self.lines.setdefault((row["kind"], row["currency"]), Line())
        line.count += row["row_count"]
        line.requested += row["requested_minor"]
        line.approved += row["approved_minor"]
        if row["reason"]:
            self.reasons[row["reason"]] = self.reasons.get(row["reason"], 0) + row["row_count"]

    @property
    def count(self) -> int:
        """How many rows."""
        return sum(line.count for line in self.lines.values())

    @property
    def requested(self) -> dict[str, int]:
        """What they asked for, by currency in minor units."""
        return self._sums("requested")

    @property
    def approved(self) -> dict[str, int]:
        """What was approved, by currency in minor units."""
        return self._sums("approved")

    def _sums(self, name: str) -> dict[str, int]:
        sums: dict[str, int] = {}
        for (_, currency), line in self.lines.items():
            if currency is not None and line.count:
                sums[currency] = sums.get(currency, 0) + getattr(line, name)
        return sums


def why_paused(batch: Batch) -> str | None:
    """Say why a batch pauses that nobody paused, and when it goes on; None where it does not."""
    if batch.pause_reason is None:
        return None
    reason = batch.pause_reason[0].upper() + batch.pause_reason[1:]
    if batch.resume_at is None:
        return f"{reason}."
    return f"{reason}. A worker goes on with it from {batch.resume_at:%H:%M:%S} (UTC) on."


def why_ended(batch: Batch, outcomes: Mapping[str, Outcome]) -> str | None:
    """Say why a batch ended before its last row; None where its state says enough."""
    if batch.refusal is not None:
        return batch.refusal
    policy, _, limit = batch.policy.partition("=")
    if policy != "stop-after" or batch.state not in {BatchState.CANCELLING, BatchState.CANCELLED}:
        return None
    faults = sum(outcomes[state].count for state in FAULTS if state in outcomes)
    if faults < int(limit):
        return None  # a person cancelled it
    rows = f"{faults:,} rows were" if faults > 1 else "One row was"
    return f"{rows} rejected, declined or failed, and the policy is {batch.policy}."


def summarize(engine: Engine, batch: Batch) -> dict[str, Outcome]:
    """Give the rows of a batch by state; what is accepted and not final yet is ``queued``."""
    with engine.database.transaction() as connection:
        rows = operations.tallies(connection, batch.id)
    found: dict[str, Outcome] = {}
    for row in rows:
        found.setdefault(row["state"], Outcome()).add(row)
    return {state: each for state, each in sorted(found.items()) if each.count}
