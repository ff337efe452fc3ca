"""People and places: making senders, merchants and gates, each act audited."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.money import currency_exponents
from paybatch.domain.names import CUSTOMER_SIGNS, SIGNS, name_fault, title_fault
from paybatch.flow.engine import Engine
from paybatch.store import directory

DEMO_CURRENCIES = ("EUR", "GBP", "JPY", "KWD", "USD")


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
    settings: Mapping[str, str] = field(default_factory=dict)
    is_default: bool = False


def merchant_of(engine: Engine, sender: str, name: str | None) -> tuple[str, int]:
    """Give name and id of the merchant that is named, or of the first that a sender acts for.

    Raises:
        WrongError: The sender acts for no such merchant.
    """
    known = merchants_of(engine, sender)
    if name is not None and name not in known:
        raise WrongError(f"Sender {sender!r} acts for no merchant {name!r}; see `merchant list`.")
    if not known:
        raise WrongError(
            f"Sender {sender!r} acts for no merchant yet; see `paybatch merchant add`."
        )
    chosen = name if name is not None else next(iter(known))
    return chosen, known[chosen]


def merchants_of(engine: Engine, sender: str) -> dict[str, int]:
    """Give the merchants that a sender acts for; none if the sender is not known."""
    with engine.database.transaction() as connection:
        sender_id = directory.find_sender(connection, sender)
        return {} if sender_id is None else directory.merchants_of_sender(connection, sender_id)


def add_merchant(engine: Engine, name: str, title: str, sender: str) -> bool:
    """Make a merchant, and let the sender act for it; False when it did so already.

    Raises:
        WrongError: A name could not stand in a file, or the title in a listing.
    """
    check_name("merchant", name)
    check_name("sender", sender)
    fault = title_fault(title)
    if fault is not None:
        raise WrongError(f"{title!r} cannot be the title of a merchant: {fault}.")
    if name in merchants_of(engine, sender):
        return False
    with engine.database.transaction() as connection:
        directory.add_sender(connection, sender)
        directory.add_merchant(connection, name, title, sender)
        actor, subject = f"sender:{sender}", f"merchant:{name}"
        directory.record(connection, engine.clock(), actor, "merchant.added", subject, title=title)
    return True


def check_name(noun: str, name: str) -> None:
    """See that a name of a merchant, gate, customer or sender could stand in a file.

    Raises:
        WrongError: It could not.
    """
    fault = name_fault(name, CUSTOMER_SIGNS if noun == "customer" else SIGNS)
    if fault is not None:
        raise WrongError(f"{name!r} cannot be the name of a {noun}: {fault}.")


def capabilities_of(told: Sequence[str]) -> Capabilities:
    """Read capabilities such as ``partial_void=false``; several values are split by commas.

    Raises:
        WrongError: One is not known, or its value is not allowed.
    """
    known = Capabilities.model_fields
    values: dict[str, object] = {}
    for each in told:
        name, equals, value = each.partition("=")
        if name not in known or not equals:
            raise WrongError(
                f"{each!r} is not a capability as name=value; the names: {', '.join(known)}."
            )
        is_set = known[name].annotation == frozenset[str]
        values[name] = frozenset(filter(None, value.split(","))) if is_set else value
    try:
        return Capabilities.model_validate(values)
    except ValidationError as error:
        found = error.errors()[0]
        raise WrongError(f"Capability {found['loc'][0]}: {found['msg']}.") from None


def settings_of(told: Sequence[str]) -> dict[str, str]:
    """Read settings such as ``url=http://127.0.0.1:8080``.

    Raises:
        WrongError: One is not written as name=value.
    """
    pairs = [each.partition("=") for each in told]
    wrong = [name for name, equals, value in pairs if not (name and equals and value)]
    if wrong:
        raise WrongError(f"{wrong[0]!r} is not a setting as name=value.")
    return {name: value for name, _, value in pairs}


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
        "settings": json.dumps(dict(gate.settings), sort_keys=True),
    }
    with engine.database.transaction() as connection:
        if gate.merchant not in {each["name"] for each in directory.list_merchants(connection)}:
            raise WrongError(
                f"There is no merchant {gate.merchant!r}; see `paybatch merchant list`."
            )
        made = directory.add_gate(connection, values)
        if made and gate.is_default:
            directory.set_default_gate(connection, gate.merchant, gate.name)
        if made:
            actor, subject = f"sender:{sender}", f"gate:{gate.merchant}/{gate.name}"
            detail = {"connector": gate.connector, "mode": gate.mode}
            directory.record(connection, engine.clock(), actor, "gate.added", subject, **detail)
    return made


def _check(gate: NewGate) -> None:
    check_name("gate", gate.name)
    if gate.connector not in registry.connectors():
        known = ", ".join(registry.connectors())
        raise WrongError(f"There is no connector {gate.connector!r}; known: {known}.")
    _check_settings(gate)
    if gate.mode not in {"test", "live"}:
        raise WrongError("A gate's mode is test or live.")
    unknown = [each for each in gate.currencies if each not in currency_exponents()]
    if unknown or not gate.currencies:
        raise WrongError(f"Not currencies of ISO 4217: {', '.join(unknown) or 'none given'}.")
    try:
        ZoneInfo(gate.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones
        raise WrongError(f"{gate.zone!r} is not a time zone such as Europe/Berlin.") from None


def _check_settings(gate: NewGate) -> None:
    """See that a gate has exactly the settings that its connector wants."""
    wanted = registry.connectors()[gate.connector].settings
    if set(gate.settings) != set(wanted):
        told = "; ".join(f"{name}: {meaning}" for name, meaning in wanted.items()) or "none"
        raise WrongError(f"The settings that connector {gate.connector!r} wants: {told}.")


def make_demo(engine: Engine, sender: str) -> bool:
    """Make the demonstration merchant and its two gates; False when they are there."""
    with engine.database.transaction() as connection:
        known = {each["name"] for each in directory.list_merchants(connection)}
    if "demo" not in known:
        add_merchant(engine, "demo", "Demo merchant", sender)
    made = add_gate(engine, NewGate(merchant="demo", name="sandbox"), sender)
    several = NewGate(merchant="demo", name="several", currencies=DEMO_CURRENCIES)
    add_gate(engine, several, sender)
    return made
