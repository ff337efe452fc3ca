"""``paybatch gate``: a merchant's accounts at processors."""

from datetime import time
from typing import Annotated, Any

import typer

from paybatch.cli.opening import opened, usage
from paybatch.cli.output import amount, fail, say, show, show_json
from paybatch.cli.run import Json
from paybatch.flow.people import NewGate, add_gate, capabilities_of, settings_of
from paybatch.settings import Settings
from paybatch.store import directory, settlements
from paybatch.store.directory import Gate

app = typer.Typer(help="A merchant's accounts at processors.", no_args_is_help=True)
Merchant = Annotated[str, typer.Argument(metavar="MERCHANT", help="Whose gate it is.")]
Currencies = Annotated[list[str] | None, typer.Option("--currency", help="One it takes; again.")]
Settlements = list[dict[str, Any]]  # of one gate, by currency
Setting = Annotated[
    list[str] | None,
    typer.Option("--setting", help="What its connector must be told, as name=value; again."),
]
Told = Annotated[list[str] | None, typer.Option("--capability", help="As name=value; again.")]


@app.command()
def add(
    merchant: Merchant,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in files.")],
    *,
    connector: Annotated[str, typer.Option(help="Who speaks to the processor.")] = "sandbox",
    mode: Annotated[str, typer.Option(help="test or live.")] = "test",
    currency: Currencies = None,
    zone: Annotated[str, typer.Option(help="Time zone of its business day.")] = "UTC",
    cut_off: Annotated[str, typer.Option(help="When the next business day begins.")] = "00:00",
    capability: Told = None,
    setting: Setting = None,
    default: Annotated[bool, typer.Option("--default", help="For rows that name none.")] = False,
    as_json: Json = False,
) -> None:
    """Make a gate. The first one of a merchant is its default."""
    settings = Settings()
    gate = NewGate(
        merchant=merchant,
        name=name,
        connector=connector,
        mode=mode,
        currencies=tuple(currency or ["USD"]),
        zone=zone,
        cut_off=_time_of(cut_off),
        capabilities=capabilities_of(capability or []),
        settings=settings_of(setting or []),
        is_default=default,
    )
    with opened(settings) as engine:
        if not add_gate(engine, gate, settings.sender):
            fail(f"Merchant {merchant} has a gate {name} already; see `paybatch gate list`.")
    if as_json:
        show_json({"id": f"{merchant}/{name}", "state": "active"})
    else:
        say(f"Made gate {name} of merchant {merchant} ({mode} mode, {', '.join(gate.currencies)}).")


def _time_of(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        fail(f"--cut-off takes a time as HH:MM, not {text!r}.", 2)


@app.command(name="list")
def list_(
    merchant: Annotated[str | None, typer.Argument(metavar="MERCHANT", help="Only its.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """List the gates of a merchant, or of all."""
    with opened() as engine, engine.database.transaction() as connection:
        known = {row["name"]: row["id"] for row in directory.list_merchants(connection)}
        usage(merchant is None or merchant in known, f"There is no merchant {merchant!r}.")
        wanted = list(known.values()) if merchant is None else [known[merchant]]
        gates = directory.gates_of_merchants(connection, wanted)
        last = settlements.last_settlements(connection, wanted)
    columns = {
        "id": "gate", "connector": "connector", "mode": "mode", "currencies": "currencies",
        "zone": "zone", "cut_off": "cut-off", "default": "default", "state": "state",
        "settlement": "last settlement", "capabilities": "unlike others",
    }  # fmt: skip
    rows = [_line(each, last.get(each.id, []), as_json=as_json) for each in gates]
    show(rows, columns, "Gates", as_json=as_json)


def _line(gate: Gate, last: Settlements, *, as_json: bool) -> dict[str, object]:
    """Give a gate; programs get every capability, people those that are not as usual."""
    capabilities = gate.capabilities.model_dump(mode="json", exclude_defaults=not as_json)
    return {
        "id": f"{gate.merchant}/{gate.name}",
        "merchant": gate.merchant,
        "name": gate.name,
        "connector": gate.connector,
        "mode": gate.mode,
        "currencies": list(gate.currencies),
        "zone": gate.zone,
        "cut_off": f"{gate.cut_off:%H:%M}",
        "default": gate.is_default,
        "state": gate.state,
        "settlement": last if as_json else _settled(last),
        "capabilities": capabilities if as_json else _spelled(capabilities),
    }


def _settled(last: Settlements) -> str | None:
    """Tell a gate's last close: its number, its day and what it moved in each currency."""
    if not last:
        return None
    sums = [f"{each['currency']} {amount(each['net_minor'], each['currency'])}" for each in last]
    return f"{last[0]['number']} of {last[0]['business_day']}: {', '.join(sums)}"


def _spelled(capabilities: dict[str, object]) -> str:
    return ", ".join(f"{name}={_word(value)}" for name, value in sorted(capabilities.items()))


def _word(value: object) -> str:
    """Write a value as ``--capability`` takes it."""
    if isinstance(value, list):
        return ",".join(map(str, sorted(value)))
    return str(value).lower()
