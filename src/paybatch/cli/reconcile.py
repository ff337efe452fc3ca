"""``paybatch reconcile``: a processor's settlement file against our books."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from paybatch.cli.opening import opened, usage
from paybatch.cli.output import NOT_ALL_APPROVED, amount, say, show, show_json
from paybatch.cli.run import Json
from paybatch.flow import reconcile as reconciling
from paybatch.flow.place import find_place
from paybatch.flow.settled_sums import Sums
from paybatch.settings import Settings

COLUMNS = {
    "difference": "difference", "operation": "operation", "kind": "kind", "currency": "currency",
    "here": "here", "there": "there", "id": "key", "advice": "what to do",
}  # fmt: skip
SHOWN_MAX = 50


def reconcile(
    gate: Annotated[str, typer.Argument(metavar="GATE", help="Whose processor wrote the file.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its settlement file.")],
    *,
    merchant: Annotated[str | None, typer.Option(help="Whose gate it is.")] = None,
    settlement: Annotated[
        int | None, typer.Option(help="Which of our settlements; none = the last one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a processor's settlement file with our books: what is missing, what differs.

    Nothing is changed. Exit code 4 when anything differs.
    """
    settings = Settings()
    usage(file.is_file(), f"There is no file {file}.")
    with opened(settings) as engine:
        place = find_place(engine, settings.sender, merchant, gate)
        own = place.gate(place.gate_id)
        found = reconciling.reconcile(engine, place, own, file, settlement)
    rows = found.differences.to_dicts()
    if as_json:
        told: dict[str, object] = {
            "id": f"{own.merchant}/{own.name}",
            "state": "differs" if rows else "agrees",
        }
        counts = {"matched": found.matched, "matched_minor": found.matched_minor}
        counts |= {"sums": [asdict(each) for each in found.sums]}
        show_json({**told, "settlement": found.number, **counts, "differences": rows})
    else:
        sums = ", ".join(f"{name} {amount(v, name)}" for name, v in found.matched_minor.items())
        net = f" ({sums} net)" if sums else ""
        say(f"{found.matched:,} lines agree{net}; {len(rows):,} differ.")
        for each_sum in _unlike(found):
            say(each_sum)
        shown = [
            {
                **each,
                "here": amount(each["here_minor"], each["currency"]),
                "there": amount(each["there_minor"], each["currency"]),
            }
            for each in rows[:SHOWN_MAX]
        ]
        if shown:
            show(shown, COLUMNS, "Differences", as_json=False)
        if len(rows) > SHOWN_MAX:
            say(f"{len(rows) - SHOWN_MAX:,} more; --json lists all.")
    if rows:
        raise typer.Exit(NOT_ALL_APPROVED)


def _unlike(found: reconciling.Reconciled) -> list[str]:
    """Say in which currencies the file comes to other sums than our settlement."""
    return [
        f"{each.currency}: the file comes to {_sides(each, 'there')}, settlement {found.number} to "
        f"{_sides(each, 'here')}. Differences may be why, or calls whose answer came behind the "
        "close, or debits: they count when they are collected."
        for each in found.sums
        if found.number is not None and not each.are_alike
    ]


def _sides(sums: Sums, where: str) -> str:
    sale, refund = (getattr(sums, f"{where}_{side}_minor") for side in ("sale", "refund"))
    return f"sales {amount(sale, sums.currency)} and refunds {amount(refund, sums.currency)}"
