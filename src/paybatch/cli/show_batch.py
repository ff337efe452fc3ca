"""How a batch and its outcomes look."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paybatch.cli.opening import batch_name
from paybatch.cli.output import amount, say, show_facts, show_table
from paybatch.cli.steps import Took
from paybatch.domain.reasons import Reason
from paybatch.flow.describe import FAULTS_TOLD
from paybatch.flow.engine import Engine
from paybatch.flow.summary import Outcome, why_ended, why_paused
from paybatch.store import directory, operations
from paybatch.store.batches import Batch
from paybatch.store.chunks import list_chunks
from paybatch.store.directory import Gate

FIRST_REJECTED, FIRST_ERRORS = 10, 1_000
OUTCOME_COLUMNS = {
    "state": "outcome", "kind": "kind", "rows": "rows", "currency": "currency",
    "requested": "requested", "approved": "approved",
}  # fmt: skip
SENTENCES = {reason.value: reason.sentence for reason in Reason}
NO_KIND = "unknown"  # an outcome has this name too
NOT_DONE = ("rejected", "declined", "failed", "cancelled", "unknown")


def kind_shown(kind: str | None) -> str | None:
    """Give a kind as it is shown; a row that could not be read has none."""
    return None if kind == NO_KIND else kind


def as_object(
    engine: Engine,
    batch: Batch,
    outcomes: dict[str, Outcome],
    *,
    took: Took | None = None,
    path: Path | None = None,
) -> dict[str, Any]:
    """Give a batch as an object for programs; sums are in minor units, times in seconds."""
    gate = _gate(engine, batch)
    return {
        "id": batch_name(engine, batch.id),
        "state": batch.state,
        "reason": why_ended(batch, outcomes) or why_paused(batch),
        "resume_at": batch.resume_at,
        "file": batch.file_name,
        "dialect": batch.dialect,
        "merchant": batch.merchant,
        "gate": gate.name,
        "mode": gate.mode,
        "policy": batch.policy,
        "rows": batch.row_count,
        "outcomes": {state: _outcome(each) for state, each in outcomes.items()},
        **(_times(took.steps) if took is not None else {}),
        **({"results": str(path)} if path is not None else {}),
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {
        "count": outcome.count,
        "requested": outcome.requested,
        "approved": outcome.approved,
        "reasons": outcome.reasons,
        "kinds": [
            {"kind": kind, "currency": currency, "count": line.count,
             "requested": line.requested, "approved": line.approved}
            for (kind, currency), line in outcome.lines.items()
            if line.count
        ],
    }  # fmt: skip


def _times(steps: Mapping[str, float]) -> dict[str, Any]:
    return {
        "seconds": round(sum(steps.values()), 3),
        "steps": {name: round(seconds, 3) for name, seconds in steps.items()},
    }


def _gate(engine: Engine, batch: Batch) -> Gate:
    """Give the gate of rows that name none."""
    with engine.database.transaction() as connection:
        gates = directory.gates_of_merchants(connection, [batch.merchant_id])
    return next(each for each in gates if each.id == batch.gate_id)


def _gate_words(engine: Engine, batch: Batch) -> str:
    gate = _gate(engine, batch)
    return f"{gate.name} ({gate.mode} mode)"


def show_batch(
    engine: Engine, batch: Batch, outcomes: dict[str, Outcome], path: Path | None = None
) -> None:
    """Print what is known of a batch, and its outcomes."""
    show_facts(
        {
            "Batch": batch_name(engine, batch.id),
            "State": batch.state,
            "Why": why_paused(batch),
            "File": f"{batch.file_name} ({batch.dialect}, {batch.byte_count:,} bytes)",
            "Policy": batch.policy,
            "Merchant": batch.merchant,
            "Gate": _gate_words(engine, batch),
            "Received (UTC)": batch.created_at,
            "Released (UTC)": batch.released_at,
            "Finished (UTC)": batch.finished_at,
        }
    )
    say("")
    show_outcomes(engine, batch, outcomes)
    if path is not None:
        say(f"Result: {path}")


def show_run(
    engine: Engine,
    batch: Batch,
    outcomes: dict[str, Outcome],
    took: Took,
    path: Path,
) -> None:
    """Print what became of a batch that was run, how long it took and where its result is."""
    name = batch_name(engine, batch.id)
    say(f"Batch {name} is {batch.state}: {batch.file_name}, merchant {batch.merchant}, "
        f"gate {_gate_words(engine, batch)}")  # fmt: skip
    why = why_paused(batch)
    if why is not None:
        say(f"{why} Or: paybatch batch resume {name}")
    show_outcomes(engine, batch, outcomes)
    if took.rows:
        say(str(took))
    say(f"Result: {path}")
    undone = [state for state in NOT_DONE if state in outcomes]
    if undone and len(outcomes) > 1:
        say(f"Only the {undone[0]} rows: paybatch batch results {name} --only {undone[0]}")


def show_outcomes(engine: Engine, batch: Batch, outcomes: dict[str, Outcome]) -> None:
    """Print counts and sums by outcome, kind and currency, and the first rejected rows."""
    reason = why_ended(batch, outcomes)
    if reason is not None:
        rest = "Nothing was sent." if batch.refusal else "The rest is cancelled."
        say(f"{reason} {rest}")
    if not outcomes:
        say("No rows have been read yet." if batch.finished_at is None else "It has no rows.")
        return
    show_table("", [*_lines(outcomes), _total(outcomes)], OUTCOME_COLUMNS)
    if "rejected" in outcomes:
        _show_rejected(engine, batch, outcomes["rejected"])


def _lines(outcomes: dict[str, Outcome]) -> list[dict[str, Any]]:
    return [
        {
            "state": state,
            "kind": kind_shown(kind),
            "rows": line.count,
            "currency": currency,
            "requested": amount(line.requested, currency),
            "approved": amount(line.approved, currency),
        }
        for state, outcome in outcomes.items()
        for (kind, currency), line in sorted(
            outcome.lines.items(), key=lambda each: (each[0][0], each[0][1] or "")
        )
        if line.count
    ]


def _total(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    return {"state": "total", "rows": sum(each.count for each in outcomes.values())}


def _show_rejected(engine: Engine, batch: Batch, rejected: Outcome) -> None:
    with engine.database.transaction() as connection:
        chunks = list_chunks(connection, batch.id)
        merchants = sorted({each for chunk in chunks for each in chunk.merchant_ids})
        lines = (chunk.last_line for chunk in chunks if chunk.holds_lines)
        last = max(lines, default=0)
        ids = operations.id_range(batch.id, 0, last)
        rows = operations.first_refusals(connection, merchants, ids, FIRST_REJECTED)
        errors = operations.first_errors(connection, batch.id, FIRST_ERRORS)
    if rejected.count > len(rows):
        reasons = [
            {"count": count, "reason": reason, "message": SENTENCES.get(reason)}
            for reason, count in sorted(rejected.reasons.items(), key=lambda each: -each[1])
        ]
        headings = {"count": "rows", "reason": "reason", "message": "what is wrong"}
        show_table("\nWhy rows were rejected", reasons, headings)
    first = f"first {len(rows)} of {rejected.count:,}" if rejected.count > len(rows) else "all"
    headings = {"line": "line", "reason": "reason", "message": "what is wrong"}
    show_table(f"\nRejected rows ({first})", _every_fault(rows, errors), headings)
    say("")


def _every_fault(rows: list[dict[str, Any]], errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give all that is wrong with rows, a line each; of many faults of one row the first."""
    told: list[dict[str, Any]] = []
    for row in rows:
        own = [each for each in errors if each["line"] == row["line"]]
        told += own[:FAULTS_TOLD] or [row]
        if len(own) > FAULTS_TOLD:
            told.append({"line": row["line"], "message": f"and {len(own) - FAULTS_TOLD} more"})
    return told
