"""Settle: from replies to outcomes, payments, changes and transfers, over whole columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import polars as pl

from paybatch import registry
from paybatch.domain import payment
from paybatch.domain.effects import Fact
from paybatch.domain.few import beside, distinct, joined, nulls, where, without
from paybatch.domain.kind import AmountRule
from paybatch.flow.describe import refusal
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.working import filters, verdicts
from paybatch.flow.working.changes import added_up, changes_of, in_sequence
from paybatch.flow.working.claim import acts_on_payment
from paybatch.flow.working.enrolling import enrolled
from paybatch.flow.working.means_changes import new_means
from paybatch.flow.working.posting import store_transfers
from paybatch.flow.working.recording import records
from paybatch.store import facts, operations, payments, wallets
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.operations import OUTCOME_COLUMNS


@dataclass
class Settled:
    """What replies change: tables that are ready to be stored; ``awaited`` calls have none yet."""

    outcomes: pl.DataFrame
    made: pl.DataFrame
    changes: pl.DataFrame
    transfers: pl.DataFrame
    counted: pl.DataFrame
    facts: list[tuple[Fact, pl.DataFrame]] = field(default_factory=list)
    enrolled: pl.DataFrame = field(default_factory=pl.DataFrame)
    means: pl.DataFrame = field(default_factory=pl.DataFrame)
    awaited: pl.DataFrame = field(default_factory=pl.DataFrame)


def awaiting(calls: pl.DataFrame) -> Settled:
    """Give calls that have no outcome yet, with their ``result``; nothing is settled of them."""
    none = pl.DataFrame()
    return Settled(none, none, none, none, none, awaited=calls)


def refuse(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Give the outcomes of rows that their payment's state refuses (``refusal``).

    A payment that is not in the book is not named: it was never made, or is nobody's.
    """
    named: pl.Expr = pl.lit(None, pl.Int64)
    if "payment_gate_id" in rows.columns:
        named = pl.when(pl.col("payment_gate_id").is_not_null()).then("payment_id")
    return ended(
        rows.select_seq(
            "merchant_id",
            "id",
            "kind",
            "currency",
            payment_id=named,
            amount_minor=pl.col("requested_minor").fill_null(0),
            state=pl.lit("rejected"),
            reason=pl.col("refusal"),
            approved_minor=pl.lit(None, pl.Int64),
            line="line",
            **refusal(rows),
        ),
        now,
    )


def ended(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Fill up the columns of table ``outcome``; absent ones are null."""
    absent = [
        column
        for name in OUTCOME_COLUMNS
        if name not in rows.columns
        for column in nulls([name], _WHOLE.get(name, pl.String()), rows.height)
    ]
    return rows.hstack(absent).with_columns_seq(settled_at=pl.lit(now.isoformat()))


_WHOLE = {name: pl.Int64() for name in ("id", "payment_id", "approved_minor")}


def settle(place: Place, calls: pl.DataFrame, replies: pl.DataFrame, now: datetime) -> Settled:
    """Work out what replies change. ``calls`` have ``id``; new payments have no ``payment_id``."""
    rows = _answered(calls, replies).with_columns_seq(_approved())
    acts = set(distinct(rows["act"]))
    creating = {name for name in acts if registry.kinds()[name].makes}
    creates, follows = pl.col("act").is_in(sorted(creating)), acts_on_payment()
    parts = []
    if creating:
        own = rows.filter(creates) if acts - creating else rows
        parts.append(_settle_new(place, own, frozenset(creating), now))
    if acts - creating:
        rest = frozenset(acts - creating)
        acting = rows.filter(~creates & follows)
        alone = rows.filter(~creates & ~follows)
        parts += [_settle_follow_ups(place, acting, rest, now)] if not acting.is_empty() else []
        parts += [_settle_alone(place, alone, rest, now)] if not alone.is_empty() else []
    return parts[0] if len(parts) == 1 else _all_of(parts)


def _answered(calls: pl.DataFrame, replies: pl.DataFrame) -> pl.DataFrame:
    """Put each call and its reply side by side.

    The scheme's id of a payment is what the processor told, or else what the row was sent with.
    """
    calls = without(calls, "reason", "status")
    sent = "scheme_transaction_id" in calls.columns
    calls = calls.rename({"scheme_transaction_id": "_sent_scheme_id"}) if sent else calls
    rows = beside(calls, replies, "id", "operation")
    if not sent:
        return rows
    told = pl.coalesce("scheme_transaction_id", "_sent_scheme_id")
    return rows.with_columns_seq(scheme_transaction_id=told).drop("_sent_scheme_id")


def _all_of(parts: list[Settled]) -> Settled:
    outcomes = pl.concat([each.outcomes for each in parts], how="diagonal_relaxed").sort("id")
    changes = [each.changes for each in parts if not each.changes.is_empty()]
    return Settled(
        outcomes,
        made=_one_of([each.made for each in parts]),
        changes=added_up(changes) if len(changes) > 1 else _one_of(changes),
        transfers=_one_of([each.transfers for each in parts]),
        counted=outcomes,
        facts=[fact for each in parts for fact in each.facts],
        enrolled=_one_of([each.enrolled for each in parts]),
        means=_one_of([each.means for each in parts]),
    )


def _one_of(frames: list[pl.DataFrame]) -> pl.DataFrame:
    some = [each for each in frames if not each.is_empty()]
    return pl.concat(some) if some else pl.DataFrame()


def _settle_new(place: Place, rows: pl.DataFrame, kinds: frozenset[str], now: datetime) -> Settled:
    """Settle rows that make payments."""
    changes = _changes_of_sources(rows, kinds)
    made = made_of(place, rows, kinds, now)
    outcomes = made.select_seq(_kept())
    return Settled(
        outcomes=outcomes,
        made=made,
        changes=changes,
        transfers=_transfers(made, kinds),
        counted=outcomes,
        facts=records(place, made, kinds),
    )


def made_of(place: Place, rows: pl.DataFrame, kinds: frozenset[str], now: datetime) -> pl.DataFrame:
    """Give answered rows of these kinds, which make payments, with the columns of those."""
    names = {"source_id": "payment_id", "payment_id": "id"}
    rows = rows.with_columns_seq(*_facts_of_gates(place, now), *_at(now), **names)
    if "filtered_by" in rows.columns:
        rows = rows.with_columns_seq(**filters.told())
    return verdicts.told(rows).with_columns_seq(_amounts_of_new(kinds))


def _changes_of_sources(rows: pl.DataFrame, kinds: frozenset[str]) -> pl.DataFrame:
    """Give what rows that make payments change in those that they make them from."""
    changes = changes_of(kinds)
    acting = rows.filter(acts_on_payment()) if changes.names else pl.DataFrame()
    if acting.is_empty():
        return pl.DataFrame()
    return changes.summed(acting.with_columns_seq(changes.by))


def _settle_follow_ups(
    place: Place, rows: pl.DataFrame, kinds: frozenset[str], now: datetime
) -> Settled:
    """Settle rows that act on payments, each on its payment as the rows before it leave it."""
    placed = rows.with_columns_seq(
        currency=pl.coalesce("currency", "payment_currency"), gate_id="payment_gate_id"
    )
    rows, changes = in_sequence(placed), changes_of(frozenset(distinct(rows["act"])))
    after = changes.after(rows).with_columns_seq(_at(now)).with_columns_seq(_told(kinds))
    outcomes = verdicts.told(after).select_seq(_kept())
    return Settled(
        outcomes=outcomes,
        made=pl.DataFrame(),
        changes=changes.summed(rows),
        transfers=_transfers(rows, kinds),
        counted=outcomes,
        facts=records(place, rows, kinds),
        enrolled=enrolled(rows),
        means=new_means(rows, kinds),
    )


def _settle_alone(
    place: Place, rows: pl.DataFrame, kinds: frozenset[str], now: datetime
) -> Settled:
    """Settle rows that stand for themselves: no payment is made or changed."""
    nothing = pl.lit(None, pl.String)
    rows = rows.with_columns_seq(*_at(now), payment_id=pl.lit(None, pl.Int64))
    absent = [name for name in payments.LOCKED if name not in rows.columns]
    rows = rows.hstack([c for n in absent for c in nulls([n], payments.LOCKED[n], rows.height)])
    kept = [pl.col(name) for name in _KEPT]
    told = verdicts.told(rows.with_columns_seq(_told(kinds)))
    outcomes = told.select_seq(*kept, status=nothing, state="result")
    none = pl.DataFrame()
    facts_kept = records(place, rows, kinds)
    return Settled(outcomes, none, none, none, outcomes, facts_kept, enrolled(rows))


_KEPT = (
    *("merchant_id", "id", "kind", "currency", "amount_minor", "reason", "message", "payment_id"),
    *("approved_minor", "response", "processor_code", "processor_text", "approval_code"),
    *("avs_result", "cvv_result", "scheme_transaction_id", "settled_at"),
)


def _at(now: datetime) -> list[pl.Expr]:
    nothing = pl.lit(None, pl.String)
    return [
        pl.lit(now.isoformat()).alias("settled_at"),
        nothing.alias("reason"),
        nothing.alias("message"),
    ]


@cache
def _told(kinds: frozenset[str]) -> list[pl.Expr]:
    """Give what the result says of approved rows of these kinds, if they say anything."""
    message: pl.Expr | None = None
    for name in sorted(kinds):
        if (tells := registry.kinds()[name].tells) is not None:
            own = (pl.col("act") == name) & pl.col("is_approved")
            otherwise = pl.col("message") if message is None else message
            message = pl.when(own).then(tells).otherwise(otherwise)
    return [] if message is None else [message.alias("message")]


@cache
def _approved() -> tuple[pl.Expr, ...]:
    """What is not approved has no approved amount, whatever a connector says; nor has a term."""
    approved = pl.col("result") == "approved"
    amount = pl.when(approved).then(pl.col("approved_minor")).otherwise(0)
    terms = [each.name for each in registry.kinds().values() if each.amount is AmountRule.TERMS]
    amount = pl.when(pl.col("act").is_in(terms)).then(0).otherwise(amount)
    declined = pl.when(pl.col("result") == "declined").then("response")
    return (
        amount.alias("approved_minor"),
        approved.alias("is_approved"),
        declined.alias("declined_for"),
    )


@cache
def _kept() -> list[pl.Expr]:
    """Give what of a settled row its outcome and its tally keep."""
    kept = [pl.col(name) for name in _KEPT]
    return [*kept, payment.status().alias("status"), pl.col("result").alias("state")]


@cache
def _amounts_of_new(kinds: frozenset[str]) -> list[pl.Expr]:
    """Give the state, the origin and the amounts of payments that these kinds make."""
    state: pl.Expr = pl.lit("approved")
    payout: pl.Expr = pl.lit(value=False)
    zero = [name for name in payment.AMOUNTS if name not in {"authorized", "captured"}]
    amounts: dict[str, pl.Expr] = dict.fromkeys(("authorized", "captured"), pl.lit(0, pl.Int64))
    for name in sorted(kinds):
        effect = registry.kinds()[name].makes
        assert effect is not None
        own = pl.col("act") == name
        state = pl.when(own).then(effect.state).otherwise(state)
        payout = pl.when(own).then(effect.is_payout).otherwise(payout)
        for amount, value in effect.amounts.items():
            amounts[amount] = pl.when(own).then(value).otherwise(amounts[amount])
    return [
        pl.when(pl.col("is_approved"))
        .then(state)
        .when(pl.col("result") == "rejected")
        .then(pl.lit("filtered"))
        .otherwise(pl.lit("declined"))
        .alias("state"),
        pl.col("act").alias("origin"),
        payout.alias("is_payout"),
        *(pl.lit(0, pl.Int64).alias(name) for name in zero),
        *(value.cast(pl.Int64).alias(name) for name, value in amounts.items()),
    ]


def _facts_of_gates(place: Place, now: datetime) -> list[pl.Expr]:
    """Give what a new payment takes from its gate and from the clock."""
    days = {gate.id: business_day(gate, now).isoformat() for gate in place.gates}
    made = {gate.id: calendar_day(gate, now).isoformat() for gate in place.gates}
    excess = {gate.id: gate.capabilities.refund_excess_percent for gate in place.gates}
    return [
        _by_gate(days, pl.String()).alias("business_day"),
        _by_gate(made, pl.String()).alias("made_on"),
        _by_gate(excess, pl.Int16()).alias("refund_excess_percent"),
        pl.lit(now.isoformat()).alias("created_at"),
    ]


def _by_gate(values: Mapping[int, str] | Mapping[int, int], kind: pl.DataType) -> pl.Expr:
    """Give the value of each row's gate."""
    if len(set(values.values())) == 1:
        return pl.lit(next(iter(values.values())), kind)
    return pl.col("gate_id").replace_strict(values, default=None, return_dtype=kind)


def business_day(gate: Gate, now: datetime) -> date:
    """Give the day that the gate's money is booked under.

    It is the calendar's, or the next one where a close of day opened that: a label, which nothing
    is counted from.
    """
    day = calendar_day(gate, now)
    return max(day, gate.business_day or day)


def calendar_day(gate: Gate, now: datetime) -> date:
    """Give the date in the gate's zone, or the next one from its cut-off on, whatever was closed.

    Holds, captures that are put off and due days are counted by it.
    """
    local = now.astimezone(ZoneInfo(gate.zone))
    cut_off = datetime.combine(local.date(), gate.cut_off, tzinfo=local.tzinfo)
    has_cut_off = gate.cut_off.hour or gate.cut_off.minute
    return local.date() + timedelta(days=1 if has_cut_off and local >= cut_off else 0)


def _transfers(rows: pl.DataFrame, kinds: frozenset[str]) -> pl.DataFrame:
    """Give the transfers of approved rows: accounts by name."""
    approved = where(rows, rows["is_approved"])
    found = []
    for name in sorted(kinds):
        own = approved.filter(pl.col("act") == name) if len(kinds) > 1 else approved
        found += [own.select_seq(each) for each in _transfer_columns(name)]
    if not found or approved.is_empty():
        return pl.DataFrame()
    moved = pl.concat(found)
    return where(moved, moved["amount_minor"] > 0)


@cache
def _transfer_columns(kind: str) -> list[list[pl.Expr]]:
    """Give the columns of each transfer of a kind."""
    return [
        [
            pl.col("merchant_id"),
            pl.col("gate_id"),
            pl.col("currency"),
            pl.col("id").alias("operation_id"),
            pl.lit(number, pl.Int16).alias("number"),
            pl.lit(each.debit.value).alias("debit"),
            pl.lit(each.credit.value).alias("credit"),
            each.amount.cast(pl.Int64).alias("amount_minor"),
        ]
        for number, each in enumerate(registry.kinds()[kind].transfers)
    ]


def store(engine: Engine, connection: Connection[Row], settled: list[Settled]) -> None:
    """Store what rounds settled, in one transaction: outcomes, payments, changes, transfers."""
    ended = [each.outcomes for each in settled if not each.outcomes.is_empty()]
    if ended:
        operations.copy_outcomes(connection, joined([each[OUTCOME_COLUMNS] for each in ended]))
    made = [each.made[payments.PAYMENT_COLUMNS] for each in settled if not each.made.is_empty()]
    if made:
        payments.copy_payments(connection, joined(made).sort("id") if len(made) > 1 else made[0])
    changes = [each.changes for each in settled if not each.changes.is_empty()]
    if changes:
        payments.apply_changes(connection, added_up(changes))
    moved = [each.transfers for each in settled if not each.transfers.is_empty()]
    if moved:
        store_transfers(engine, connection, joined(moved))
    for each in settled:
        if not each.enrolled.is_empty():
            wallets.enroll(connection, each.enrolled)
        if not each.means.is_empty():
            payments.change_means(connection, each.means)
    for fact, rows in (found for each in settled for found in each.facts):
        facts.copy_facts(connection, fact, rows.with_columns_seq(created_at=pl.lit(engine.clock())))
