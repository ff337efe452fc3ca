"""``paybatch card``: cards in a merchant's vault."""

import sys
from typing import Annotated

import polars as pl
import typer

from paybatch.cli.opening import opened
from paybatch.cli.output import say, show, show_json
from paybatch.cli.run import Json, Limit, Merchant
from paybatch.flow.engine import Engine
from paybatch.flow.people import merchant_of, merchants_of
from paybatch.flow.wallet import add_card
from paybatch.settings import Settings
from paybatch.store import numbers

app = typer.Typer(help="Cards and bank accounts in the vault.", no_args_is_help=True)


@app.command()
def add(
    *,
    expiry: Annotated[str, typer.Option(help="MM/YY, for example 09/29.")],
    merchant: Merchant = None,
    as_json: Json = False,
) -> None:
    """Keep a card and print its reference. The number is asked for, or read from a pipe."""
    number = _number()
    settings = Settings()
    with opened(settings) as engine:
        owner = merchant_of(engine, settings.sender, merchant)
        card = {"number": number, "expiry": expiry}
        reference = add_card(engine, owner, card, settings.sender)
    if as_json:
        show_json({"id": reference, "state": "active", "merchant": owner[0]})
    else:
        say(reference)


def _number() -> str:
    """Take the number from where neither the screen, the history nor the process list shows it."""
    if sys.stdin.isatty():
        return str(typer.prompt("Card number", hide_input=True)).strip()
    return sys.stdin.readline().strip()


@app.command(name="list")
def list_(
    *,
    merchant: Merchant = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the numbers of the vault, masked, newest first.

    Their references carry no expiry: a row that uses one gives `card_expiry` beside it.
    """
    settings = Settings()
    with opened(settings) as engine:
        known = merchants_of(engine, settings.sender)
        if merchant is not None:
            known = dict([merchant_of(engine, settings.sender, merchant)])
        with engine.database.transaction() as connection:
            rows = numbers.list_numbers(connection, list(known.values()), limit)
        named = [{**row, "id": _reference(engine, row["id"], row["brand"])} for row in rows]
    columns = {
        "id": "reference (no expiry)", "brand": "brand", "masked": "number",
        "created_at": "kept since (UTC)",
    }  # fmt: skip
    show(named, columns, "Cards and accounts", as_json=as_json)


def _reference(engine: Engine, number_id: str, brand: str) -> str:
    noun = "bank" if brand == "bank" else "card"
    none = pl.Series([None], dtype=pl.Int16)
    return str(engine.public_ids.encode_reference(pl.Series([number_id]), none, noun).item())
