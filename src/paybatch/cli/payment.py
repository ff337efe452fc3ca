"""``paybatch payment``: what became of a payment."""

from pathlib import Path
from typing import Annotated, Any

import typer

from paybatch.cli.opening import OPERATION, PAYMENT, batch_name, opened
from paybatch.cli.output import amount, fail, say, show_facts, show_json, show_table
from paybatch.cli.run import Json
from paybatch.domain.payment import AMOUNTS
from paybatch.flow import documents
from paybatch.flow.engine import Engine
from paybatch.flow.payments import PaymentView, find_payments, view_payment
from paybatch.flow.people import merchants_of
from paybatch.settings import Settings
from paybatch.store.operations import line_of
from paybatch.store.public_ids import Shape

app = typer.Typer(help="What became of a payment.", no_args_is_help=True)
OPERATIONS = {
    "settled_at": "when (UTC)", "kind": "operation", "state": "outcome",
    "requested": "requested", "approved": "approved", "batch": "batch", "line": "line",
    "message": "what was said",
}  # fmt: skip

FACTS = {
    "created_at": "when (UTC)", "fact": "what", "name": "which", "told": "details",
}  # fmt: skip


@app.callback()
def _group() -> None:
    """What became of a payment."""


@app.command()
def show(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="Its id, or the reference of the row that made it.")
    ],
    *,
    as_json: Json = False,
) -> None:
    """Show a payment: its amounts, its status, everything that was done to it, and its facts.

    Facts are comments, marks and documents, the steps of its disputes with their ids, scores,
    listings, notices, and what is due.

    Several payments may have one reference: then they are listed, and the exit code is 1.
    """
    settings = Settings()
    with opened(settings) as engine:
        merchants = list(merchants_of(engine, settings.sender).values())
        keys = find_payments(engine, merchants, reference)
        if not keys:
            fail(f"No payment has the id or reference {reference!r}.")
        views = [view_payment(engine, key) for key in keys]
        if len(views) > 1:
            _list(engine, views, as_json=as_json)
            fail(f"{len(views)} payments have the reference {reference!r}; show one by its id.")
        if as_json:
            show_json(_object(engine, views[0]))
        else:
            _show(engine, views[0])


@app.command()
def document(
    reference: Annotated[
        str, typer.Argument(metavar="REF", help="Its id, or the reference of the row that made it.")
    ],
    name: Annotated[str | None, typer.Argument(help="Which one, where there are several.")] = None,
    *,
    out: Annotated[Path | None, typer.Option(help="Write it here, and not to a new file.")] = None,
) -> None:
    """Read back a document that was handed in for a payment, such as a sales ticket."""
    settings = Settings()
    with opened(settings) as engine:
        merchants = list(merchants_of(engine, settings.sender).values())
        keys = find_payments(engine, merchants, reference)
        found = [each for key in keys for each in documents.of_payment(engine, key)]
        wanted = [each for each in found if name in {None, each.document.name}]
        told = ", ".join(sorted({each.document.name for each in found})) or "none"
        if not wanted:
            fail(f"There is no such document for {reference!r}; we keep: {told}.")
        if len(wanted) > 1 and name is None:
            fail(f"There are several documents for {reference!r}; name one: {told}.")
        path = out or Path(Path(wanted[-1].document.name).name)
        if out is None and path.exists():
            fail(f"There is a file {path} already; name another one with --out.")
        content = b"".join(documents.read(engine, wanted[-1]))
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(f"{path} cannot be written ({error.strerror}).")
    say(f"Document: {path}")


def _name(engine: Engine, number: int, noun: str) -> str:
    return engine.public_ids.encode_one(number, noun, Shape.NATIVE)


def _list(engine: Engine, views: list[PaymentView], *, as_json: bool) -> None:
    objects = [_object(engine, view) for view in views]
    if as_json:
        show_json(objects)
        return
    rows = [
        {**each, "authorized": amount(each["amounts"]["authorized"], each["currency"])}
        for each in objects
    ]
    columns = {
        "id": "payment", "merchant": "merchant", "kind": "kind", "state": "status",
        "authorized": "authorized", "currency": "currency", "masked": "number",
        "created_at": "made (UTC)",
    }  # fmt: skip
    show_table("Payments", rows, columns)


def _object(engine: Engine, view: PaymentView) -> dict[str, Any]:
    """Give a payment for programs; amounts are in minor units."""
    values = view.values
    named = (
        *("merchant", "gate", "reference", "currency", "brand", "masked", "business_day"),
        "scheme_transaction_id",
    )
    return {
        "id": _name(engine, values["id"], PAYMENT),
        "state": values["status"],
        "over_returned": values["over_returned"],
        "kind": values["origin"],
        **{name: values[name] for name in named},
        "batch": batch_name(engine, values["batch_id"]),
        "line": values["line"],
        "created_at": values["created_at"],
        "amounts": {name: values[name] for name in AMOUNTS},
        "details": view.details,
        "operations": [_operation(engine, each) for each in view.operations],
        "facts": [_fact(engine, each) for each in view.facts],
    }


def _operation(engine: Engine, row: dict[str, Any]) -> dict[str, Any]:
    rest = {k: value for k, value in row.items() if k not in {"id", "batch_id", "parent_id"}}
    name, parent = _name(engine, row["id"], OPERATION), row["parent_id"]
    if parent is not None:  # it is no line of a file: that of the row that made it is told
        made_by = {"parent": _name(engine, parent, OPERATION), "line": line_of(parent)}
        rest = {**rest, **made_by}
    return {"id": name, "batch": batch_name(engine, row["batch_id"]), **rest}


def _fact(engine: Engine, row: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name != "operation_id"}
    return {**rest, "operation": _name(engine, row["operation_id"], OPERATION)}


def _told(fact: dict[str, Any]) -> str | None:
    """Give what a fact tells beside its name: its values, and its words."""
    values = dict(fact["detail"])
    if (minor := values.pop("amount_minor", None)) is not None:
        values = {"amount": f"{amount(minor, values['currency'])} {values['currency']}", **values}
    values.pop("currency", None)
    named = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())
    return "; ".join(filter(None, (named, fact["text"]))) or None


def _said(operation: dict[str, Any]) -> str | None:
    """Give what the processor said: its code and text."""
    said = (operation["processor_code"], operation["processor_text"])
    return " ".join(filter(None, said)) or None


def _show(engine: Engine, view: PaymentView) -> None:
    told, currency = _object(engine, view), view.values["currency"]
    show_facts(
        {
            "Payment": told["id"],
            "Status": told["state"],
            "Over-returned": "more was given back than was taken"
            if told["over_returned"]
            else None,
            "Made by": f"{told['kind']}, batch {told['batch']}, line {told['line']}",
            "Reference": told["reference"],
            "Merchant, gate": f"{told['merchant']}, {told['gate']}",
            "Means": " ".join(filter(None, (told["brand"], told["masked"]))) or None,
            "Made (UTC)": told["created_at"],
            "Business day": told["business_day"],
            "Scheme's transaction id": told["scheme_transaction_id"],
            **{name.replace("_", " ").capitalize(): text for name, text in view.details.items()},
        }
    )
    amounts = [
        {"name": name.replace("_", " "), "amount": amount(minor, currency)}
        for name, minor in told["amounts"].items()
        if minor or name == "authorized"
    ]
    show_table("\nAmounts", amounts, {"name": "", "amount": currency})
    rows = [
        {
            **each,
            "requested": amount(each["amount_minor"], each["currency"] or currency),
            "approved": amount(each["approved_minor"], currency),
            "message": each["message"] or _said(each),
        }
        for each in told["operations"]
    ]
    show_table("\nOperations", rows, OPERATIONS)
    if told["facts"]:
        facts = [{**each, "told": _told(each)} for each in told["facts"]]
        show_table("\nFacts", facts, FACTS)
