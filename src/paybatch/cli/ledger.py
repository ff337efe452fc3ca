"""``paybatch ledger``: the trial balance, and whether the books keep their laws."""

from typing import Annotated, Any

import typer

from paybatch.cli.opening import opened
from paybatch.cli.output import amount, fail, say, show
from paybatch.cli.run import Json
from paybatch.flow.balance import trial_balance

app = typer.Typer(help="The books, and whether they keep their laws.", no_args_is_help=True)
COLUMNS = {
    "merchant": "merchant", "gate": "gate", "mode": "mode", "currency": "currency",
    "account": "account", "debit": "debit", "credit": "credit", "balance": "balance",
}  # fmt: skip


@app.callback()
def _group() -> None:
    """The books, and whether they keep their laws."""


@app.command()
def balance(
    *,
    every: Annotated[bool, typer.Option("--all", help="Also accounts without transfers.")] = False,
    as_json: Json = False,
) -> None:
    """Show the trial balance; exit 1 with a sentence for each law that is broken.

    The laws: every balance is the sum of its transfers; the accounts of a gate and currency sum to
    zero; what is receivable and on hold is what the payments say.
    """
    with opened() as engine:
        found = trial_balance(engine)
    rows = [
        _line(each)
        for each in found.accounts
        if every or each["is_broken"] or each["debit_minor"] or each["credit_minor"]
    ]
    show(rows, COLUMNS, "Trial balance (debits less credits)", as_json=as_json)
    if found.broken:
        fail("\n".join(["The books are broken.", *found.broken]))
    if not as_json:
        say("\nEvery law holds.")


def _line(row: dict[str, Any]) -> dict[str, Any]:
    currency = row["currency"]
    kept = ("merchant", "gate", "mode", "currency", "account")
    minor = ("debit_minor", "credit_minor", "balance_minor")
    return {
        "id": "/".join(row[name] for name in ("merchant", "gate", "currency", "account")),
        "state": "broken" if row["is_broken"] else "balanced",
        **{name: row[name] for name in (*kept, *minor)},
        **{name.removesuffix("_minor"): amount(row[name], currency) for name in minor},
    }
