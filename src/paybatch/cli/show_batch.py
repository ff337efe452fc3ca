"""How a batch, its outcomes and a preview look."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paybatch.cli.opening import batch_name
from paybatch.cli.output import out, show_table
from paybatch.domain.money import decimal_text
from paybatch.flow.engine import Engine
from paybatch.flow.preview import Preview
from paybatch.flow.summary import Outcome
from paybatch.store import batches, operations
from paybatch.store.batches import Batch

FIRST_REJECTED = 10


def as_object(
    engine: Engine,
    batch: Batch,
    outcomes: dict[str, Outcome],
    *,
    steps: Mapping[str, float] | None = None,
    path: Path | None = None,
) -> dict[str, Any]:
    """Give a batch as an object for programs; sums are in minor units, ``steps`` in seconds."""
    return {
        "id": batch_name(engine, batch.id),
        "state": batch.state,
        "reason": batch.refusal,
        "file": batch.file_name,
        "dialect": batch.dialect,
        "merchant": batch.merchant,
        "rows": batch.row_count,
        "outcomes": {
            state: {"count": o.count, "requested": o.requested, "approved": o.approved}
            for state, o in outcomes.items()
        },
        **(_times(steps) if steps is not None else {}),
        **({"results": str(path)} if path is not None else {}),
    }


def _times(steps: Mapping[str, float]) -> dict[str, Any]:
    return {
        "seconds": round(sum(steps.values()), 3),
        "steps": {name: round(seconds, 3) for name, seconds in steps.items()},
    }


def show_outcomes(
    engine: Engine,
    batch: Batch,
    outcomes: dict[str, Outcome],
    *,
    steps: Mapping[str, float] | None = None,
    path: Path | None = None,
) -> None:
    """Print the outcomes of a batch, its first rejected rows and where the result is."""
    title = f"Batch {batch_name(engine, batch.id)} is {batch.state}"
    show_table(
        title,
        _lines(outcomes),
        {
            "state": "outcome",
            "count": "rows",
            "currency": "currency",
            "requested": "requested",
            "approved": "approved",
        },
    )
    _show_rejected(engine, batch)
    if batch.refusal:
        out.print(batch.refusal, markup=False)
    if steps is not None and batch.row_count:
        seconds = sum(steps.values())
        rate = batch.row_count / max(seconds, 0.001)
        out.print(f"{batch.row_count:,} rows in {seconds:.1f} s, {rate:,.0f} rows/s")
    if path is not None:
        out.print(f"Result: {path}", soft_wrap=True, markup=False)


def _lines(outcomes: dict[str, Outcome]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for state, outcome in outcomes.items():
        first: dict[str, Any] = {"state": state, "count": outcome.count}
        for currency, minor in outcome.requested.items():
            approved = outcome.approved.get(currency, 0)
            sums = {
                "currency": currency,
                "requested": decimal_text(minor, currency),
                "approved": decimal_text(approved, currency),
            }
            lines.append({**first, **sums})
            first = {"state": "", "count": None}
        if not outcome.requested:
            lines.append(first)
    return lines


def _show_rejected(engine: Engine, batch: Batch) -> None:
    with engine.database.transaction() as connection:
        chunks = batches.list_chunks(connection, batch.id)
        merchants = sorted({each for chunk in chunks for each in chunk.merchant_ids})
        last = max((chunk.last_line for chunk in chunks), default=0)
        ids = operations.id_range(batch.id, 0, last)
        rows = operations.first_refusals(connection, merchants, ids, FIRST_REJECTED)
    if rows:
        heading = {"line": "line", "reason": "reason", "message": "what is wrong"}
        show_table("\nFirst rejected rows", rows, heading)


def preview_object(engine: Engine, found: Preview) -> dict[str, Any]:
    """Give a preview as an object for programs."""
    return {
        "dialect": found.dialect,
        "shape": found.shape,
        "rows": found.row_count,
        "totals": found.totals,
        "errors": found.errors,
        "error_count": found.error_count,
        "refused": found.refused,
        "refused_count": found.refused_count,
        "seen": [
            {"batch": batch_name(engine, batch), "rows": rows} for batch, rows in found.seen.items()
        ],
        "largest": found.largest,
    }


def show_preview(engine: Engine, found: Preview) -> None:
    """Print what a file would do."""
    shape = ", ".join(f"{name} {value!r}" for name, value in found.shape.items())
    out.print(f"{found.row_count:,} rows of dialect {found.dialect} ({shape})", markup=False)
    totals = [
        {
            **row,
            "sum": decimal_text(row["requested_minor"], row["currency"]) if row["currency"] else "",
        }
        for row in found.totals
    ]
    columns = {"kind": "kind", "state": "would be", "reason": "reason", "row_count": "rows"}
    show_table("\nTotals", totals, {**columns, "currency": "currency", "sum": "sum"})
    if found.errors:
        heading = {"line": "line", "reason": "reason", "message": "what is wrong"}
        show_table(f"\nErrors ({found.error_count:,})", found.errors, heading)
    if found.refused:
        heading = {"line": "line", "reason": "reason", "message": "what the payment allows"}
        show_table(f"\nPayments would refuse ({found.refused_count:,})", found.refused, heading)
    for batch, rows in found.seen.items():
        out.print(f"{rows:,} references were in batch {batch_name(engine, batch)} before")
