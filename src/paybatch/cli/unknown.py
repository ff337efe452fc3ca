"""``paybatch unknown``: calls of which nobody knows what became of them."""

from typing import Annotated, Any

import typer

from paybatch.cli.opening import OPERATION, PAYMENT, batch_name, opened, usage
from paybatch.cli.output import amount, say, show, show_json
from paybatch.cli.run import Json, Limit
from paybatch.domain.connector import Result
from paybatch.flow.engine import Engine
from paybatch.flow.people import WrongError, merchants_of
from paybatch.flow.sending import decide as deciding
from paybatch.settings import Settings
from paybatch.store.public_ids import Shape

app = typer.Typer(help="Calls of which nobody knows what became of them.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="The operation's id.")]
STATES = {"unknown": "asked about", "person": "waits for you"}
COLUMNS = {
    "id": "operation", "state": "state", "gate": "gate", "kind": "kind", "payment": "payment",
    "reference": "reference", "masked": "number", "amount": "amount", "currency": "currency",
    "since": "unknown since (UTC)", "asked": "asked", "next": "next time (UTC)",
}  # fmt: skip


@app.command(name="list")
def list_(*, limit: Limit = 50, as_json: Json = False) -> None:
    """List what is unknown, oldest first: since when, how often it was asked about, when next."""
    settings = Settings()
    with opened(settings) as engine:
        rows = deciding.unknown(engine, _merchants(engine, settings), limit)
        told = [_object(engine, row) for row in rows]
    if not as_json:
        told = [
            {
                **row,
                "state": STATES[row["state"]],
                "amount": amount(row["amount_minor"], row["currency"]),
            }
            for row in told
        ]
    show(told, COLUMNS, "Unknown", as_json=as_json)


def _object(engine: Engine, row: dict[str, Any]) -> dict[str, Any]:
    named = ("merchant", "gate", "reference", "masked", "amount_minor", "currency", "state")
    in_file = row["chunk_number"] is not None
    return {
        "id": engine.public_ids.encode_one(row["operation_id"], OPERATION, Shape.NATIVE),
        **{name: row[name] for name in named},
        "kind": row["act"],
        "payment": engine.public_ids.encode_one(row["payment_id"], PAYMENT, Shape.NATIVE),
        "batch": batch_name(engine, row["batch_id"]) if in_file else None,
        "since": row["created_at"],
        "asked": row["looks"],
        "next": row["next_look_at"],
    }


@app.command()
def decide(
    name: Id,
    *,
    note: Annotated[str, typer.Option(help="Why: it is kept with the result and in the audit.")],
    approved: Annotated[bool, typer.Option("--approved", help="The processor did it.")] = False,
    declined: Annotated[bool, typer.Option("--declined", help="It refused.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="It had no effect.")] = False,
    amount_minor: Annotated[
        int | None, typer.Option(help="How much was approved, where it is not all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what became of a call, as the processor's own pages or people told you.

    It counts as the processor's answer: outcome, payment and ledger follow, and what waited for it
    goes on. It cannot be taken back.
    """
    told = [approved, declined, failed]
    usage(sum(told) == 1, "Say one of --approved, --declined and --failed.")
    result = deciding.DECISIONS[told.index(True)]
    settings = Settings()
    decision = deciding.Decision(
        result=result, note=note, actor=f"sender:{settings.sender}", amount_minor=amount_minor
    )
    with opened(settings) as engine:
        number = _number(engine, name)
        done = deciding.decide(engine, _merchants(engine, settings), number, decision)
        batch = None if done.batch_id is None else batch_name(engine, done.batch_id)
    if as_json:
        minor = done.approved_minor if result is Result.APPROVED else None
        show_json({"id": name, "state": result.value, "approved_minor": minor, "batch": batch})
        return
    say(f"Operation {name} is {result.value}.")
    if batch is not None:
        say(f"A worker goes on with its batch, or: paybatch batch resume {batch}")


@app.command()
def look(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="One operation; none = all.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Ask the processors at once what became of what is unknown."""
    settings = Settings()
    with opened(settings) as engine:
        merchants = _merchants(engine, settings)
        number = None if name is None else _number(engine, name)
        known = deciding.look(engine, merchants, number)
        left = len(deciding.unknown(engine, merchants, 1_000))
    if as_json:
        show_json({"state": "asked", "known": known, "unknown": left})
    else:
        say(f"{known:,} became known; {left:,} still unknown.")


def _merchants(engine: Engine, settings: Settings) -> list[int]:
    return list(merchants_of(engine, settings.sender).values())


def _number(engine: Engine, name: str) -> int:
    """Give the number behind an operation's public id."""
    found = engine.public_ids.decode_one(name, OPERATION, Shape.NATIVE)
    if found is None:
        raise WrongError(f"{name!r} is not the id of an operation; see `paybatch unknown list`.")
    return found
