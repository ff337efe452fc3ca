"""How the preview of a file looks."""

from typing import Any

from paybatch.cli.opening import batch_name
from paybatch.cli.output import amount, say, show_facts, show_table
from paybatch.cli.show_batch import kind_shown
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.preview import LISTED, Preview

LARGEST = 5
WOULD_BE = {"queued": "sent", "rejected": "rejected"}
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
WRONG = {"line": "line", "reason": "reason", "message": "what is wrong"}
TOTALS = {
    "state": "would be", "kind": "kind", "reason": "reason", "row_count": "rows",
    "currency": "currency", "sum": "sum",
}  # fmt: skip


def preview_object(engine: Engine, found: Preview) -> dict[str, Any]:
    """Give a preview as an object for programs; sums are in minor units."""
    return {
        "state": "checked",
        "dialect": found.dialect,
        "shape": found.shape,
        "rows": found.row_count,
        "gates": found.gates,
        "totals": found.totals,
        "errors": found.errors,
        "error_count": found.error_count,
        "refused": found.refused,
        "refused_count": found.refused_count,
        "same_file": [batch_name(engine, batch) for batch in found.earlier],
        "seen": [
            {"batch": batch_name(engine, batch), "rows": rows} for batch, rows in found.seen.items()
        ],
        "largest": found.largest,
    }


def show_preview(engine: Engine, found: Preview) -> None:
    """Print what a file would do."""
    shape = found.shape
    separator = SEPARATORS.get(shape["separator"], repr(shape["separator"]))
    gates = [f"{name}: {rows:,} rows" for name, rows in found.gates.items()]
    show_facts(
        {
            "Rows": found.row_count,
            "Dialect": f"{found.dialect} ({shape['encoding']}, {separator})",
            "Gates": "; ".join(gates) or None,
        }
    )
    totals = [
        {
            **row,
            "kind": kind_shown(row["kind"]),
            "state": WOULD_BE.get(row["state"], row["state"]),
            "sum": amount(row["requested_minor"], row["currency"]),
        }
        for row in found.totals
    ]
    rows = {"state": "total", "row_count": found.row_count}
    show_table("\nTotals", [*totals, rows], TOTALS)
    _show_largest(found)
    _show_wrong("Errors", found.errors, found.error_count)
    _show_wrong("Payments would refuse", found.refused, found.refused_count)
    _show_overlaps(engine, found)


def _show_largest(found: Preview) -> None:
    largest = [
        {**row, "amount": amount(row["requested_minor"], row["currency"])}
        for row in found.largest[:LARGEST]
    ]
    if found.row_count > LARGEST and largest:
        columns = {"line": "line", "kind": "kind", "currency": "currency", "amount": "amount"}
        show_table("\nLargest amounts", largest, columns)


def _show_wrong(title: str, rows: list[dict[str, Any]], count: int) -> None:
    if rows:
        shown = f"first {LISTED:,} of {count:,}" if count > LISTED else f"{count:,}"
        show_table(f"\n{title} ({shown})", rows, WRONG)


def _show_overlaps(engine: Engine, found: Preview) -> None:
    """Say what looks as if it had been handed in before."""
    if found.earlier or found.seen:
        say("")
    for batch_id in found.earlier:
        say(f"Seen before: the same file as {_batch(engine, batch_id)}. It runs with --again only.")
    for batch_id, rows in found.seen.items():
        noun = "reference stands" if rows == 1 else "references stand"
        say(f"Seen before: {rows:,} {noun} in {_batch(engine, batch_id)} too.")


def _batch(engine: Engine, batch_id: int) -> str:
    batch = load_batch(engine, batch_id)
    name = batch_name(engine, batch_id)
    return f"batch {name} ({batch.state}, {batch.file_name}, {batch.created_at:%Y-%m-%d %H:%M})"
