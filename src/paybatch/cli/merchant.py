"""``paybatch merchant``: those to whom the money belongs."""

from typing import Annotated

import typer

from paybatch.cli.opening import opened
from paybatch.cli.output import say, show, show_json
from paybatch.cli.run import Json
from paybatch.flow.people import add_merchant
from paybatch.settings import Settings
from paybatch.store import directory

app = typer.Typer(help="Those to whom the money belongs.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in files.")],
    *,
    title: Annotated[str | None, typer.Option(help="Its name for people.")] = None,
    sender: Annotated[str | None, typer.Option(help="Who may hand in its batches.")] = None,
    as_json: Json = False,
) -> None:
    """Make a merchant, and let a sender act for it."""
    settings = Settings()
    acting = sender or settings.sender
    with opened(settings) as engine:
        made = add_merchant(engine, name, title or name, acting)
    if as_json:
        show_json({"id": name, "state": "active", "sender": acting, "made": made})
    elif made:
        say(f"Sender {acting} acts for merchant {name}. It needs a gate: paybatch gate add {name}")
    else:
        say(f"Sender {acting} acts for merchant {name} already.")


@app.command(name="list")
def list_(*, as_json: Json = False) -> None:
    """List every merchant."""
    with opened() as engine, engine.database.transaction() as connection:
        rows = [
            {"id": row["name"], "title": row["title"], "created_at": row["created_at"]}
            for row in directory.list_merchants(connection)
        ]
    columns = {"id": "merchant", "title": "title", "created_at": "made (UTC)"}
    show(rows, columns, "Merchants", as_json=as_json)
