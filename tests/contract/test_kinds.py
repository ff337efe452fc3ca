"""What every kind keeps to, whatever it does."""

from typing import Any

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain import payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.kind import AmountRule, ChangeAmounts, Kind, NewPayment
from paybatch.domain.payment import Status
from paybatch.flow.describe import FIELDS
from paybatch.flow.engine import Engine
from paybatch.store import ledger

KINDS = [pytest.param(kind, id=name) for name, kind in registry.kinds().items()]
GATES = [
    Capabilities(),
    Capabilities(
        several_captures=False,
        partial_void=False,
        void_captured=False,
        refund_before_settlement=False,
        refund_excess_percent=15,
    ),
]


def test_every_sample_is_approved(engine: Engine, run: Any, write: Any, sample_rows: Any) -> None:
    rows = sample_rows(None)
    assert {row["kind"] for row in rows} == set(registry.kinds())
    result = run("native", write(registry.dialects()["native"], rows))
    refused = result.filter(pl.col("outcome") != "approved")
    assert refused.is_empty(), str(refused.select("kind", "outcome", "reason", "message"))
    with engine.database.transaction() as connection:
        assert ledger.broken_balances(connection) + ledger.broken_laws(connection) == []


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_declared_once(kind: Kind) -> None:
    names = [field.name for field in kind.fields]
    assert len(names) == len(set(names))
    assert kind.required <= set(names), "what is required is a column of the kind"
    for field in kind.fields:
        assert FIELDS.get(field.name) is field, f"{field.name} stands in domain/columns.py"


@pytest.mark.parametrize("kind", KINDS)
def test_samples_use_the_kinds_own_columns(kind: Kind) -> None:
    for sample in kind.samples:
        assert kind.required <= set(sample) <= {field.name for field in kind.fields}
        assert all(sample.values()), "a sample has no empty cell"


@pytest.mark.parametrize("kind", KINDS)
def test_rules_name_columns_that_the_kind_takes(kind: Kind) -> None:
    names = {field.name for field in kind.fields}
    assert {fault.column for fault in kind.faults} <= names
    for gate in GATES:
        assert {fault.column for fault in kind.refusals(gate)} <= names


@pytest.mark.parametrize("kind", KINDS)
def test_opposite_exists_and_is_another_kind(kind: Kind) -> None:
    assert kind.opposite is None or kind.opposite in registry.kinds()
    assert kind.opposite != kind.name


@pytest.mark.parametrize("kind", KINDS)
def test_transfers_use_different_accounts(kind: Kind) -> None:
    for each in kind.transfers:
        assert each.debit is not each.credit
    assert len({(each.debit, each.credit) for each in kind.transfers}) == len(kind.transfers)


@pytest.mark.parametrize("kind", KINDS)
def test_effect_changes_amounts_of_a_payment(kind: Kind) -> None:
    assert isinstance(kind.effect, NewPayment if kind.pays else ChangeAmounts)
    assert set(kind.effect.amounts) <= set(payment.AMOUNTS)
    assert kind.reserves is None or kind.reserves in payment.AMOUNTS
    assert kind.pays or kind.reserves, "a follow-up reserves while its answer is not known"
    assert (kind.amount is AmountRule.LEFT) is not kind.pays


@pytest.mark.parametrize("gate", GATES, ids=["usual", "strict"])
@pytest.mark.parametrize("kind", KINDS)
def test_statuses_are_those_of_payments_with_a_known_outcome(
    kind: Kind, gate: Capabilities
) -> None:
    statuses = kind.statuses(gate)
    assert bool(statuses) is not kind.pays
    assert not statuses & {Status.UNKNOWN, Status.PENDING, Status.DECLINED}
