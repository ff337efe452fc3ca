"""Writes docs/operations.md and the examples of each kind from what the kinds declare."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import CloseDay, Expand
from paybatch.domain.kind import Kind, Subject
from paybatch.flow.sample import sample

TARGET = Path(__file__).with_name("operations.md")
EXAMPLES = Path(__file__).parents[1] / "examples" / "kinds"

_HEAD = """\
# Operations

This page and the files in `examples/kinds/` are made from the declarations in
`src/paybatch/kinds/` by `make docs`; do not change them by hand.

Every file of paybatch's own dialect (`native`) names a `kind` for each row, in any mix. Each kind
below says when it is used, its columns, which status of a payment allows it, and what an approval
changes in the payment and in the ledger. Amounts stand in `amount_minor` (100 is 1.00) or in
`amount` (1.00). All kinds take `merchant`, `gate`, `reference` (your own name for the row) and
`idempotency_key` (the same key is never done twice).
"""
_COMMON = frozenset({"kind", "merchant", "gate", "reference", "idempotency_key"})


def page() -> str:
    """Give the text of the page."""
    groups: dict[str, list[Kind]] = {}
    for kind in registry.kinds().values():
        groups.setdefault(kind.group, []).append(kind)
    parts = [_HEAD, *_contents(groups)]
    for group, kinds in groups.items():
        parts += [f"## {group}\n", *(_section(kind) for kind in kinds)]
    return "\n".join(parts)


def examples() -> dict[str, str]:
    """Give the name and the text of each kind's example."""
    return {f"{name}.csv": sample(name) for name in registry.kinds()}


def _contents(groups: Mapping[str, list[Kind]]) -> Iterator[str]:
    yield "| group | kinds |\n| --- | --- |"
    for group, kinds in groups.items():
        yield f"| {group} | {', '.join(f'[{each.name}](#{each.name})' for each in kinds)} |"
    yield ""


def _section(kind: Kind) -> str:
    rows = {
        "what it acts on": kind.subject.value,
        "asked of the processor": _asked(kind),
        "amount": kind.amount.value,
        "allowed when the payment is": _statuses(kind),
        "in the payment": "; ".join(_changes(kind)) or "nothing changes",
        "in the ledger (debit <- credit)": "; ".join(_transfers(kind)) or "nothing moves",
        "undone by": _undone(kind),
        "permission": f"`{kind.permission}`: {kind.risk.value}",
    }
    return "\n".join(
        [
            f"### {kind.name}",
            "",
            kind.document.strip(),
            "",
            "| | |",
            "| --- | --- |",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "",
            f"Columns: {_columns(kind)}.",
            "",
            "```csv",
            _own_rows(kind),
            "```",
            "",
        ]
    )


def _undone(kind: Kind) -> str:
    by = f"`{kind.opposite}`" if kind.opposite else "nothing"
    return f"{by}: {kind.undone}" if kind.undone else by


def _asked(kind: Kind) -> str:
    if isinstance(kind.gate_effect, Expand):
        return f"what each `{kind.gate_effect.kind}` asks"
    if _stands(kind):
        return _as_for(kind)
    if kind.needs is None:
        return "".join(f"{verb}, where it can" for verb in kind.verbs) or "nothing"
    return kind.needs.value


def _stands(kind: Kind) -> bool:
    """Tell whether a kind is nothing by itself: it is always done as another one."""
    return bool(kind.stands_for(Capabilities())) and kind.makes is None


def _as_for(kind: Kind) -> str:
    return "as for " + " or ".join(f"`{name}`" for name in kind.stands_for(Capabilities()))


def _statuses(kind: Kind) -> str:
    """Name the statuses of a usual gate, and what a capability changes of them."""
    usual = kind.statuses(Capabilities())
    if _stands(kind):
        return _as_for(kind)
    if not usual:
        return "-"
    told = ", ".join(sorted(usual))
    for name, field in Capabilities.model_fields.items():
        if field.annotation not in {bool, int}:
            continue
        changed = Capabilities(**{name: not field.default if field.annotation is bool else 15})
        more, less = kind.statuses(changed) - usual, usual - kind.statuses(changed)
        value = "15" if field.annotation is int else str(not field.default).lower()
        if more or less:
            words = [f"also {each}" for each in sorted(more)]
            words += [f"not {each}" for each in sorted(less)]
            told += f" (at a gate with `{name}={value}`: {', '.join(words)})"
    return told


def _changes(kind: Kind) -> Iterator[str]:
    if _stands(kind):
        yield _as_for(kind)
    elif kind.stands_for(Capabilities()):
        yield f"{_as_for(kind)}, where its own values say so; else"
    if kind.makes is not None:
        made = " and ".join(f"`{name}`" for name in kind.makes.amounts)
        yield f"a new one with {made}"
    if kind.changes is not None and kind.changes.amounts:
        yield "changes " + ", ".join(f"`{name}`" for name in kind.changes.amounts)
    if kind.changes is not None and kind.changes.state is not None:
        yield "its state goes on"
    for each in kind.records:
        yield f"a row of `{each.fact.value}` is kept"
    if isinstance(kind.gate_effect, CloseDay):
        yield "of every one at the gates: `settled`, `refund_settled`"
        yield "a row of `settlement` is kept"
    if isinstance(kind.gate_effect, Expand):
        yield f"a `{kind.gate_effect.kind}` of its own for each one that is open"


def _transfers(kind: Kind) -> Iterator[str]:
    if _stands(kind):
        yield _as_for(kind)
    for each in kind.transfers:
        yield f"{each.debit} <- {each.credit}"
    if isinstance(kind.gate_effect, CloseDay):
        yield "clearing <- receivable (sales)"
        yield "receivable <- clearing (refunds, payouts)"
    if isinstance(kind.gate_effect, Expand):
        yield f"what each `{kind.gate_effect.kind}` moves"


def _columns(kind: Kind) -> str:
    required = kind.required | ({"payment"} if kind.subject is Subject.PAYMENT else frozenset())
    own = [field.name for field in kind.fields if field.name not in _COMMON - required]
    named = [name for name in own if not name.startswith(("billing_", "shipping_"))]
    told = [f"**`{name}`**" if name in required else f"`{name}`" for name in named]
    if len(named) < len(own):
        told.append("`billing_...` and `shipping_...` (addresses)")
    return ", ".join(told)


def _own_rows(kind: Kind) -> str:
    """Write the kind's own sample rows."""
    names = list(dict.fromkeys(name for row in kind.samples for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, ["kind", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"kind": kind.name, **row} for row in kind.samples)
    return text.getvalue().strip()


if __name__ == "__main__":
    TARGET.write_text(page(), "utf-8")
    EXAMPLES.mkdir(parents=True, exist_ok=True)
    made = examples()
    for old in EXAMPLES.glob("*.csv"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (EXAMPLES / name).write_text(text, "utf-8")
