"""``paybatch kinds``, ``dialects`` and ``sample``: the manual, made from the declarations."""

from typing import Annotated, Any

import typer

from paybatch import registry
from paybatch.cli.opening import usage
from paybatch.cli.output import fail, say, show, show_facts, show_json, show_table, write
from paybatch.cli.run import Json
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.kind import AmountRule, Kind
from paybatch.flow.sample import SampleUnknownError
from paybatch.flow.sample import sample as make_sample

AMOUNTS = ("amount_minor", "amount", "base_amount_minor")
MEANS = ("card_number", "card_reference", "account_number", "customer", "identifier", "iban")
BESIDE = {
    "card_expiry": "with card_number",
    "routing_number": "with account_number",
    "account_type": "with account_number",
    "sec_code": "with account_number",
    "identifier_type": "with identifier",
}


def kinds(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="Show its manual.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the kinds of operation, or show the manual page of one."""
    known = registry.kinds()
    if kind is None:
        columns = {
            "id": "kind", "title": "what it is", "group": "group", "subject": "acts on",
            "opposite": "undone by", "permission": "permission", "risk": "risk",
        }  # fmt: skip
        show([_line(each) for each in known.values()], columns, "Kinds", as_json=as_json)
        return
    usage(kind in known, f"There is no kind {kind!r}; known: {', '.join(known)}.")
    if as_json:
        show_json(_page(known[kind]))
    else:
        _show_page(known[kind])


def dialects(*, as_json: Json = False) -> None:
    """List the file languages: where each is published and the columns that tell it."""
    rows = [
        {
            "id": each.name,
            "title": each.title,
            "source": each.source,
            "marks": sorted(each.marks),
            "kinds": sorted(each.sample_kinds or registry.kinds()),
        }
        for each in registry.dialects().values()
    ]
    columns = {
        "id": "dialect", "title": "what it is", "source": "source",
        "marks": "known by its columns", "kinds": "kinds",
    }  # fmt: skip
    show(rows, columns, "Dialects", as_json=as_json)


def sample(
    name: Annotated[str, typer.Argument(metavar="KIND|DIALECT", help="What to show.")],
) -> None:
    """Print a valid sample file, ready for `paybatch check` and `paybatch run`."""
    try:
        write(make_sample(name))
    except SampleUnknownError as error:
        fail(str(error), 2)


def _line(kind: Kind) -> dict[str, Any]:
    return {
        "id": kind.name,
        "title": kind.title,
        "group": kind.group,
        "verb": kind.verb,
        "subject": kind.subject,
        "amount": kind.amount,
        "opposite": kind.opposite,
        "undone": kind.undone,
        "permission": kind.permission,
        "risk": kind.risk,
    }


def _page(kind: Kind) -> dict[str, Any]:
    """Give everything that a kind declares, for programs."""
    return {
        **_line(kind),
        "state": "active",
        "document": kind.document.strip(),
        "columns": _columns(kind),
        "statuses": _statuses(kind),
        "samples": [dict(each) for each in kind.samples],
    }


def _columns(kind: Kind) -> list[dict[str, str]]:
    return [
        {
            "name": field.name,
            "required": _required(kind, field.name),
            "allowed": field.type.allowed,
            "meaning": field.title,
        }
        for field in kind.fields
    ]


def _required(kind: Kind, name: str) -> str:
    """Say whether a column must have a value: yes, or one of several."""
    if name in kind.required or name == "kind":
        return "yes"
    if name in AMOUNTS and kind.amount is AmountRule.POSITIVE:
        return "one amount"
    if name in MEANS and kind.pays:
        return "one means"
    return BESIDE.get(name, "")


def _statuses(kind: Kind) -> list[str]:
    return sorted(status.value for status in kind.statuses(Capabilities()))


def _show_page(kind: Kind) -> None:
    say(kind.document.strip())
    say("")
    show_facts(
        {
            "Amount": kind.amount,
            "Acts on": kind.subject,
            "Payment's status": _statuses(kind) or None,
            "Undone by": ": ".join(filter(None, (kind.opposite or "nothing", kind.undone))),
            "Permission": kind.permission,
            "Risk": kind.risk,
        }
    )
    headings = {
        "name": "column", "required": "required", "allowed": "allowed", "meaning": "meaning",
    }  # fmt: skip
    show_table("\nColumns", _columns(kind), headings)
    say(f"\nA valid file: paybatch sample {kind.name}")
