"""Where rows belong: the merchants that a sender may act for, and their gates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Connector, not_installed
from paybatch.flow.engine import Engine
from paybatch.store import directory
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.subjects import Modes


class PlaceUnknownError(Exception):
    """The sender, its merchant or the gate that was named is not known."""


@dataclass(frozen=True)
class Place:
    """A snapshot of who is who, for one sender, with the defaults of a batch."""

    sender_id: int
    sender: str
    merchants: dict[str, int]
    gates: tuple[Gate, ...]
    merchant_id: int
    gate_id: int

    @cached_property
    def gate_table(self) -> pl.DataFrame:
        """What the checks need of each gate, one row a gate."""
        return pl.DataFrame(
            [
                {
                    "gate_id": gate.id,
                    "gate_is_test": gate.mode == "test",
                    "gate_currency": gate.currencies[0] if len(gate.currencies) == 1 else None,
                    "gate_currencies": list(gate.currencies),
                    "zero_brands": sorted(gate.capabilities.zero_authorization_brands),
                    "cvv_required": gate.capabilities.cvv_required,
                }
                for gate in self.gates
            ],
            schema={
                "gate_id": pl.Int32,
                "gate_is_test": pl.Boolean,
                "gate_currency": pl.String,
                "gate_currencies": pl.List(pl.String),
                "zero_brands": pl.List(pl.String),
                "cvv_required": pl.Boolean,
            },
        )

    @cached_property
    def has_outside(self) -> bool:
        """Whether any of the gates has a processor that is really outside."""
        return not all(self.connector(gate.id).inline for gate in self.gates)

    @cached_property
    def gate_rows(self) -> dict[int, pl.DataFrame]:
        """The row of ``gate_table`` for each gate, without its id."""
        parts = self.gate_table.partition_by("gate_id", as_dict=True)
        return {int(key[0]): row.drop("gate_id") for key, row in parts.items()}

    @cached_property
    def no_gate(self) -> pl.DataFrame:
        """The row for no gate: nulls."""
        return self.gate_table.clear(1).drop("gate_id")

    @cached_property
    def gate_names(self) -> pl.DataFrame:
        """Each gate's name: ``merchant_id, gate_name, named_gate_id``."""
        return pl.DataFrame(
            [(gate.merchant_id, gate.name, gate.id) for gate in self.gates],
            schema={"merchant_id": pl.Int32, "gate_name": pl.String, "named_gate_id": pl.Int32},
            orient="row",
        )

    @cached_property
    def gates_by_name(self) -> dict[tuple[int, str], int]:
        """The ids of the gates, by merchant and name."""
        return {(gate.merchant_id, gate.name): gate.id for gate in self.gates}

    @cached_property
    def default_gates(self) -> dict[int, int]:
        """Each merchant's default gate; the batch's own gate for the batch's merchant."""
        found = {gate.merchant_id: gate.id for gate in self.gates if gate.is_default}
        return {**found, self.merchant_id: self.gate_id}

    @cached_property
    def gate_merchants(self) -> dict[str, int]:
        """The merchant that a gate's name gives: the batch's own, or the only one that has it."""
        owners: dict[str, set[int]] = {}
        for gate in self.gates:
            owners.setdefault(gate.name, set()).add(gate.merchant_id)
        return {
            name: self.merchant_id if self.merchant_id in ids else next(iter(ids))
            for name, ids in owners.items()
            if self.merchant_id in ids or len(ids) == 1
        }

    @cached_property
    def modes(self) -> Modes:
        """Which of the gates, and of the merchants' default gates, are in test mode."""
        testing = [gate.id for gate in self.gates if gate.mode == "test"]
        defaults = self.default_gates.items()
        return Modes(testing, [merchant for merchant, gate in defaults if gate in set(testing)])

    def gate(self, gate_id: int) -> Gate:
        """Give a gate by its id."""
        return next(gate for gate in self.gates if gate.id == gate_id)

    def connector(self, gate_id: int) -> Connector:
        """Give the connector of a gate; one that is not installed has no verbs."""
        name = self.gate(gate_id).connector
        return registry.connectors().get(name) or not_installed(name)

    def capabilities(self, gate_id: int) -> Capabilities:
        """Give what a gate can do."""
        return self.gate(gate_id).capabilities


def find_place(
    engine: Engine, sender: str, merchant: str | None = None, gate: str | None = None
) -> Place:
    """Look up a sender with its merchants and gates, and the defaults that a batch names.

    Raises:
        PlaceUnknownError: One of the names is not known, or a default is needed and missing.
    """
    with engine.database.transaction() as connection:
        sender_id = directory.find_sender(connection, sender)
        if sender_id is None:
            raise PlaceUnknownError(
                f"There is no sender {sender!r}. Make one with `paybatch merchant add`."
            )
        merchants = directory.merchants_of_sender(connection, sender_id)
        gates = directory.gates_of_merchants(connection, list(merchants.values()))
    return _with_defaults(sender_id, sender, merchants, gates, merchant=merchant, gate=gate)


def place_of_merchants(engine: Engine, merchant_ids: Sequence[int]) -> Place:
    """Give a place with the gates of merchants, for work that belongs to no sender."""
    with engine.database.transaction() as connection:
        gates = directory.gates_of_merchants(connection, list(merchant_ids))
    return Place(0, "", {}, tuple(gates), 0, 0)


def refreshed(connection: Connection[Row], place: Place) -> Place:
    """Give a place with its gates as they are now, such as after a close of their day."""
    gates = directory.gates_of_merchants(connection, list(place.merchants.values()))
    return replace(place, gates=tuple(gates))


def _with_defaults(
    sender_id: int,
    sender: str,
    merchants: dict[str, int],
    gates: list[Gate],
    *,
    merchant: str | None,
    gate: str | None,
) -> Place:
    if not merchants:
        raise PlaceUnknownError(f"Sender {sender!r} acts for no merchant yet.")
    if merchant is not None and merchant not in merchants:
        raise PlaceUnknownError(
            f"Sender {sender!r} acts for no merchant {merchant!r}; "
            f"it acts for {', '.join(merchants)}."
        )
    merchant_id = merchants[merchant] if merchant else next(iter(merchants.values()))
    own = [each for each in gates if each.merchant_id == merchant_id]
    wanted = [each for each in own if (each.name == gate if gate else each.is_default)]
    if not wanted:
        names = ", ".join(each.name for each in own) or "none"
        missing = f"gate {gate!r}" if gate else "default gate"
        name = merchant or next(iter(merchants))
        raise PlaceUnknownError(
            f"Merchant {name!r} has no {missing}; its gates: {names}. "
            f"Make one with `paybatch gate add {name}`."
        )
    return Place(sender_id, sender, merchants, tuple(gates), merchant_id, wanted[0].id)


def test_numbers(engine: Engine, connector: Connector) -> dict[str, str]:
    """Give a connector's test values by their fingerprints: the ids of such numbers."""
    known = engine.test_numbers
    if connector.name not in known:
        values = sorted(connector.test_values)
        prints = engine.keys.fingerprints(pl.Series(values, dtype=pl.String))
        known[connector.name] = dict(zip(prints, values, strict=True))
    return known[connector.name]
