"""People and places: making senders, merchants, gates, customers and cards, each act audited."""

import json
from dataclasses import dataclass, field
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.money import currency_exponents
from paybatch.flow.engine import Engine
from paybatch.store import directory


class WrongError(Exception):
    """What was asked for cannot be; the sentence says why."""


@dataclass(frozen=True, kw_only=True)
class NewGate:
    """What a gate is to be."""

    merchant: str
    name: str
    connector: str = "sandbox"
    mode: str = "test"
    currencies: tuple[str, ...] = ("USD",)
    zone: str = "UTC"
    cut_off: time = time(0, 0)
    capabilities: Capabilities = field(default_factory=Capabilities)


def add_merchant(engine: Engine, name: str, title: str, sender: str) -> None:
    """Make a merchant, and let the sender act for it."""
    with engine.database.transaction() as connection:
        directory.add_sender(connection, sender)
        directory.add_merchant(connection, name, title, sender)
        actor, subject = f"sender:{sender}", f"merchant:{name}"
        directory.record(connection, engine.clock(), actor, "merchant.added", subject, title=title)


def add_gate(engine: Engine, gate: NewGate, sender: str) -> bool:
    """Make a gate; False when the merchant has one of that name.

    Raises:
        WrongError: The connector, a currency or the zone is not known, or the merchant is not.
    """
    _check(gate)
    values = {
        "merchant": gate.merchant,
        "name": gate.name,
        "connector": gate.connector,
        "mode": gate.mode,
        "currencies": list(gate.currencies),
        "zone": gate.zone,
        "cut_off": gate.cut_off,
        "capabilities": json.dumps(
            gate.capabilities.model_dump(mode="json", exclude_defaults=True), sort_keys=True
        ),
    }
    with engine.database.transaction() as connection:
        if gate.merchant not in {each["name"] for each in directory.list_merchants(connection)}:
            raise WrongError(
                f"There is no merchant {gate.merchant!r}; see `paybatch merchant list`."
            )
        made = directory.add_gate(connection, values)
        if made:
            actor, subject = f"sender:{sender}", f"gate:{gate.merchant}/{gate.name}"
            detail = {"connector": gate.connector, "mode": gate.mode}
            directory.record(connection, engine.clock(), actor, "gate.added", subject, **detail)
    return made


def _check(gate: NewGate) -> None:
    if gate.connector not in registry.connectors():
        known = ", ".join(registry.connectors())
        raise WrongError(f"There is no connector {gate.connector!r}; known: {known}.")
    if gate.mode not in {"test", "live"}:
        raise WrongError("A gate's mode is test or live.")
    unknown = [each for each in gate.currencies if each not in currency_exponents()]
    if unknown or not gate.currencies:
        raise WrongError(f"Not currencies of ISO 4217: {', '.join(unknown) or 'none given'}.")
    try:
        ZoneInfo(gate.zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise WrongError(f"{gate.zone!r} is not a time zone such as Europe/Berlin.") from None


def make_demo(engine: Engine, sender: str) -> bool:
    """Make the demonstration merchant and its two gates; False when they are there."""
    with engine.database.transaction() as connection:
        known = {each["name"] for each in directory.list_merchants(connection)}
    if "demo" not in known:
        add_merchant(engine, "demo", "Demo merchant", sender)
    made = add_gate(engine, NewGate(merchant="demo", name="sandbox"), sender)
    several = ("EUR", "GBP", "JPY", "KWD", "USD")
    add_gate(engine, NewGate(merchant="demo", name="several", currencies=several), sender)
    return made
