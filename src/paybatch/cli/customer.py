"""``paybatch customer``: those who pay, with their means in the order of their rank."""

from typing import Annotated

import typer

from paybatch.cli.opening import opened
from paybatch.cli.output import say, show, show_json
from paybatch.cli.run import Json, Limit, Merchant
from paybatch.flow.people import merchant_of, merchants_of
from paybatch.flow.wallet import add_customer
from paybatch.settings import Settings
from paybatch.store import directory

app = typer.Typer(help="Those who pay, with their means by rank.", no_args_is_help=True)
Cards = Annotated[list[str] | None, typer.Option("--card", help="A card's reference; again.")]


@app.command()
def add(
    reference: Annotated[str, typer.Argument(metavar="REF", help="Your name for the customer.")],
    *,
    merchant: Merchant = None,
    card: Cards = None,
    as_json: Json = False,
) -> None:
    """Make a customer, or find it, and put means behind those it has."""
    settings = Settings()
    with opened(settings) as engine:
        owner = merchant_of(engine, settings.sender, merchant)
        ranks = add_customer(engine, owner, reference, card or [], settings.sender)
    if as_json:
        show_json({"id": reference, "state": "active", "merchant": owner[0], "ranks": ranks})
    else:
        added = f", with means of rank {', '.join(map(str, ranks))}" if ranks else ""
        say(f"Merchant {owner[0]} has customer {reference}{added}.")


@app.command(name="list")
def list_(
    *,
    merchant: Merchant = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List customers with the number of their means."""
    settings = Settings()
    with opened(settings) as engine:
        known = merchants_of(engine, settings.sender)
        if merchant is not None:
            known = dict([merchant_of(engine, settings.sender, merchant)])
        with engine.database.transaction() as connection:
            found = directory.list_customers(connection, list(known.values()), limit)
    names = {number: name for name, number in known.items()}
    rows = [
        {"id": each["reference"], "merchant": names[each["merchant_id"]], "means": each["means"]}
        for each in found
    ]
    columns = {"id": "customer", "merchant": "merchant", "means": "means"}
    show(rows, columns, "Customers", as_json=as_json)
