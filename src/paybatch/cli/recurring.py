"""``paybatch recurring``: cards that are charged again and again."""

from typing import Annotated, Any

import typer

from paybatch.cli.opening import PAYMENT, opened, usage
from paybatch.cli.output import amount, fail, show, show_facts, show_json, show_table
from paybatch.cli.run import Json
from paybatch.domain.payment import RECURRING
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments
from paybatch.flow.people import merchants_of
from paybatch.settings import Settings
from paybatch.store import recurring, recurring_dates
from paybatch.store.public_ids import Shape

app = typer.Typer(help="Cards that are charged again and again.", no_args_is_help=True)
STATES = sorted(each.removeprefix("recurring_") for each in RECURRING)
LISTED_MAX = 1_000
DATES = {
    "due_on": "due", "amount": "amount", "attempt": "attempt", "state": "state",
    "response": "answer",
}  # fmt: skip
Wanted = Annotated[str | None, typer.Option("--state", help=f"Only these: {', '.join(STATES)}.")]
Named = Annotated[str, typer.Argument(metavar="REF", help="Its id, or the reference of its row.")]


@app.command(name="list")
def list_(*, state: Wanted = None, as_json: Json = False) -> None:
    """List recurring payments, the newest first (1,000 at most)."""
    usage(state is None or state in STATES, f"--state takes one of: {', '.join(STATES)}.")
    settings = Settings()
    with opened(settings) as engine, engine.database.transaction() as connection:
        merchants = list(merchants_of(engine, settings.sender).values())
        wanted = None if state is None else f"recurring_{state}"
        found = recurring.list_recurring(connection, merchants, state=wanted, limit=LISTED_MAX)
        rows = [_object(engine, each) for each in found]
    columns = {
        "id": "recurring payment", "reference": "reference", "merchant": "merchant",
        "state": "status", "masked": "card", "amounts": "amount", "currency": "currency",
        "dates": "due", "next_on": "next", "charged": "charged",
    }  # fmt: skip
    show(rows, columns, "Recurring payments", as_json=as_json)


@app.command(name="show")
def show_(name: Named, *, as_json: Json = False) -> None:
    """Show a recurring payment, and what became of its dates."""
    settings = Settings()
    with opened(settings) as engine:
        merchants = list(merchants_of(engine, settings.sender).values())
        with engine.database.transaction() as connection:
            found = [
                row
                for merchant_id, number in find_payments(engine, merchants, name)
                for row in recurring.list_recurring(
                    connection, [merchant_id], recurring_id=number, limit=1
                )
            ]
            if len(found) != 1:
                fail(f"{len(found) or 'No'} recurring payments have the id or reference {name!r}.")
            dates = recurring_dates.dates_of(
                connection, found[0]["merchant_id"], found[0]["id"], LISTED_MAX
            )
        told = _object(engine, found[0])
    if as_json:
        show_json({**told, "due_dates": dates})
        return
    labels = {
        "Recurring payment": "id", "Status": "state", "Reference": "reference",
        "Merchant": "merchant", "Gate": "gate", "Card": "masked", "Amount": "amounts",
        "Currency": "currency", "Due": "dates", "Next": "next_on", "Ends": "ends",
        "Attempts": "attempts", "Charged": "charged",
    }  # fmt: skip
    show_facts({label: told[key] for label, key in labels.items()})
    rows = [{**each, "amount": amount(each["amount_minor"], told["currency"])} for each in dates]
    show_table("\nDates", rows, DATES)


def _object(engine: Engine, row: dict[str, Any]) -> dict[str, Any]:
    """Give a recurring payment with its terms in words."""
    named = ("reference", "merchant", "gate", "currency", "brand", "masked", "attempts")
    return {
        "id": engine.public_ids.encode_one(row["id"], PAYMENT, Shape.NATIVE),
        "state": row["state"],
        **{name: row[name] for name in named},
        "side": "DST" if row["is_payout"] else "SRC",
        "amounts": _amounts(row),
        "dates": _dates(row),
        "ends": _ends(row),
        "next_on": row["next_on"],
        "charged": row["charged_count"],
        "created_at": row["created_at"],
    }


def _amounts(row: dict[str, Any]) -> str:
    """Write one amount, a range or a sequence."""
    if row["amounts"]:
        return "; ".join(str(amount(each, row["currency"])) for each in row["amounts"])
    limits = [row["amount_minor"], row["amount_to_minor"]]
    return " to ".join(str(amount(each, row["currency"])) for each in limits if each is not None)


def _dates(row: dict[str, Any]) -> str:
    """Write when it is due."""
    every = "every" if row["every"] == 1 else f"every {row['every']}"
    plural = "" if row["every"] == 1 else "s"
    return f"{every} {row['period']}{plural} from {row['start_on']}"


def _ends(row: dict[str, Any]) -> str | None:
    """Write when it ends; None = with its sequence, or when somebody stops it."""
    ends = [f"on {row['finish_on']}"] if row["finish_on"] else []
    ends += [f"after {row['finish_count']} dates"] if row["finish_count"] else []
    return " or ".join(ends) or None
