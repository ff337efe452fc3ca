"""What every kind keeps to, whatever it does."""

from typing import Any

import polars as pl
import pytest

from gates_support import GATES
from paybatch import registry
from paybatch.domain import payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.kind import Kind, Subject
from paybatch.domain.payment import Status
from paybatch.flow.describe import FIELDS
from paybatch.flow.engine import Engine
from paybatch.store import ledger
from paybatch.store.facts import FACT_COLUMNS
from tests_support import idle_here

KINDS = [pytest.param(kind, id=name) for name, kind in registry.kinds().items()]


def test_every_sample_is_approved(engine: Engine, run: Any, write: Any, sample_rows: Any) -> None:
    rows = sample_rows(None)
    assert {row["kind"] for row in rows} == set(registry.kinds())
    result = run("native", write(registry.dialects()["native"], rows))
    refused = result.filter(pl.col("outcome") != "approved", ~pl.col("kind").is_in(idle_here()))
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
    for gate in GATES.values():
        assert {fault.column for fault in kind.refusals(gate)} <= names


@pytest.mark.parametrize("kind", KINDS)
def test_what_undoes_it_exists_and_what_cannot_be_undone_is_said(kind: Kind) -> None:
    assert kind.opposite is None or kind.opposite in registry.kinds()
    moves = bool(kind.transfers) or kind.gate_effect is not None or kind.stands_for(Capabilities())
    if moves and kind.opposite is None and kind.name != "gate_unlock":
        assert kind.undone
    assert kind.opposite != kind.name or kind.undone, "by itself: say how"


@pytest.mark.parametrize("kind", KINDS)
def test_transfers_use_different_accounts(kind: Kind) -> None:
    for each in kind.transfers:
        assert each.debit is not each.credit
    assert len({(each.debit, each.credit) for each in kind.transfers}) == len(kind.transfers)


@pytest.mark.parametrize("kind", KINDS)
def test_effects_fit_the_subject(kind: Kind) -> None:
    makes = kind.subject is Subject.NEW_PAYMENT or kind.chains
    assert (kind.makes is not None) is makes
    if kind.makes and kind.changes:
        assert kind.chains, "it changes the payment that it comes from"
        assert not kind.changes.amounts, "and of that the state only"
    stands = kind.stands_for(Capabilities())
    assert kind.effects or stands, "a kind does something"
    assert stands.keys() <= registry.kinds().keys() - {kind.name}
    for each in (kind.makes, kind.changes):
        assert each is None or set(each.amounts) <= set(payment.CHANGEABLE)
    assert kind.reserves is None or kind.reserves in payment.AMOUNTS
    if kind.verb is not None and kind.makes is None:
        assert kind.reserves, "what is sent reserves while its answer is not known"


@pytest.mark.parametrize("kind", KINDS)
def test_records_fill_columns_of_their_table(kind: Kind) -> None:
    names = {field.name for field in kind.fields}
    assert {field.name for field in kind.reads} <= names
    kept = {field.name for field in kind.reads}
    assert not {"comment"} & (names - kept), "a comment that is taken is kept: effects.remark"
    for each in kind.records:
        assert set(each.values) <= set(FACT_COLUMNS[each.fact])


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
@pytest.mark.parametrize("kind", KINDS)
def test_statuses_are_those_of_payments_with_a_known_outcome(
    kind: Kind, gate: Capabilities
) -> None:
    statuses = kind.statuses(gate)
    if kind.subject is Subject.NEW_PAYMENT or (kind.stands_for(gate) and not kind.makes):
        assert not statuses
    elif kind.needs is not None:
        assert statuses
        assert not statuses & {Status.UNKNOWN, Status.PENDING}
