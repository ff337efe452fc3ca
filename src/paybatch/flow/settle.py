"""Settle: from replies to outcomes, payments, changes and transfers, over whole columns."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from paybatch import registry
from paybatch.domain import payment
from paybatch.domain.kind import NewPayment
from paybatch.domain.reasons import Reason, sentence_of
from paybatch.flow.claim import CHANGED, KEY, in_sequence
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.store import ledger, operations, payments
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.operations import OUTCOME_COLUMNS


@dataclass
class Settled:
    """What replies change: tables that are ready to be stored."""

    outcomes: pl.DataFrame
    made: pl.DataFrame
    changes: pl.DataFrame
    transfers: pl.DataFrame
    counted: pl.DataFrame


def refuse(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Give the outcomes of rows that their payment's state refuses (``refusal``)."""
    return ended(
        rows.select(
            "merchant_id",
            "id",
            "payment_id",
            "kind",
            "currency",
            amount_minor=pl.col("requested_minor").fill_null(0),
            state=pl.lit("rejected"),
            reason=pl.col("refusal"),
            message=pl.format("column {}: {}", _column(), sentence_of(pl.col("refusal"))),
            approved_minor=pl.lit(None, pl.Int64),
        ),
        now,
    )


def _column() -> pl.Expr:
    """Give the column that a refusal at claim is about."""
    is_cvv = pl.col("refusal") == Reason.CVV_GONE.value
    return pl.when(is_cvv).then(pl.lit("card_cvv")).otherwise(pl.lit("payment"))


def ended(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Fill up the columns of table ``outcome``; absent ones are null."""
    absent = [
        pl.lit(None, pl.String).alias(name) for name in OUTCOME_COLUMNS if name not in rows.columns
    ]
    return rows.with_columns(absent).with_columns(settled_at=pl.lit(now.isoformat()))


def settle(place: Place, calls: pl.DataFrame, replies: pl.DataFrame, now: datetime) -> Settled:
    """Work out what replies change. ``calls`` have ``id``; new payments have no ``payment_id``."""
    rows = calls.drop("reason", "status", strict=False).join(
        replies, left_on="id", right_on="operation", how="inner", maintain_order="left"
    )
    rows = in_sequence(_prepared(rows))
    made = _made(place, rows, now)
    with_status = _with_status(rows, made)
    outcomes = ended(with_status.with_columns(state=pl.col("result")), now)
    changes = (
        rows.filter(pl.col("is_follow_up"))
        .group_by(KEY)
        .agg(pl.col(f"{name}_by").sum().alias(name) for name in CHANGED)
    )
    return Settled(
        outcomes=outcomes,
        made=made,
        changes=changes.filter(pl.sum_horizontal(CHANGED) > 0),
        transfers=_transfers(rows),
        counted=outcomes,
    )


def _prepared(rows: pl.DataFrame) -> pl.DataFrame:
    """Give every row the columns that the kinds' expressions may name."""
    # Beside follow-ups, rows that make a payment stand with nulls in these columns.
    amounts = [
        (pl.col(name).fill_null(0) if name in rows.columns else pl.lit(0, pl.Int64)).alias(name)
        for name in payment.AMOUNTS
    ]
    origin = [pl.lit(None, pl.String).alias("origin")] if "origin" not in rows.columns else []
    creates = pl.col("kind").is_in([k.name for k in registry.kinds().values() if k.pays])
    rows = rows.with_columns(*amounts, *origin)
    if "payment_currency" in rows.columns:
        rows = rows.with_columns(
            currency=pl.coalesce("currency", "payment_currency"),
            gate_id=pl.coalesce("payment_gate_id", "gate_id"),
        )
    return rows.with_columns(
        is_follow_up=~creates,
        payment_id=pl.when(creates).then(pl.col("id")).otherwise(pl.col("payment_id")),
        approved_minor=pl.when(pl.col("result") == "approved")
        .then(pl.col("approved_minor"))
        .otherwise(0),
    )


def _made(place: Place, rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Give the payments that these rows make."""
    new = rows.filter(~pl.col("is_follow_up"))
    state: pl.Expr = pl.lit("approved")
    amounts: dict[str, pl.Expr] = dict.fromkeys(("authorized", "captured"), pl.lit(0, pl.Int64))
    for name in new["kind"].unique().to_list():
        effect = registry.kinds()[name].effect
        assert isinstance(effect, NewPayment)
        own = pl.col("kind") == name
        state = pl.when(own).then(pl.lit(effect.state)).otherwise(state)
        for amount, value in effect.amounts.items():
            amounts[amount] = pl.when(own).then(value).otherwise(amounts[amount])
    gates = {gate.id: gate for gate in place.gates}
    days = {key: business_day(gate, now).isoformat() for key, gate in gates.items()}
    excess = {key: gate.capabilities.refund_excess_percent for key, gate in gates.items()}
    return new.with_columns(
        origin=pl.col("kind"),
        state=pl.when(pl.col("result") == "approved").then(state).otherwise(pl.lit("declined")),
        business_day=pl.col("gate_id").replace_strict(days, default=None, return_dtype=pl.String),
        refund_excess_percent=pl.col("gate_id").replace_strict(
            excess, default=0, return_dtype=pl.Int16
        ),
        created_at=pl.lit(now.isoformat()),
        **{name: value.cast(pl.Int64) for name, value in amounts.items()},
    )


def business_day(gate: Gate, now: datetime) -> date:
    """Give the gate's business day: the date in its zone, or the next one from its cut-off on."""
    local = now.astimezone(ZoneInfo(gate.zone))
    cut_off = datetime.combine(local.date(), gate.cut_off, tzinfo=local.tzinfo)
    has_cut_off = gate.cut_off.hour or gate.cut_off.minute
    return local.date() + timedelta(days=1 if has_cut_off and local >= cut_off else 0)


def _with_status(rows: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """Add the status that each payment has after its row."""
    if made.height == rows.height:
        return made.with_columns(status=payment.status())
    after = rows.filter(pl.col("is_follow_up")).with_columns(
        (pl.col(name) + pl.col(f"{name}_by")).alias(name) for name in CHANGED
    )
    both = pl.concat([made, after], how="diagonal_relaxed")
    return both.with_columns(status=payment.status()).sort("id")


def _transfers(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the transfers of approved rows: accounts by name."""
    approved = rows.filter(pl.col("result") == "approved")
    found = []
    for name in approved["kind"].unique(maintain_order=True).to_list():
        own = approved.filter(pl.col("kind") == name)
        for number, each in enumerate(registry.kinds()[name].transfers):
            found.append(
                own.select(
                    "merchant_id",
                    "gate_id",
                    "currency",
                    pl.col("id").alias("operation_id"),
                    pl.lit(number, pl.Int16).alias("number"),
                    pl.lit(each.debit.value).alias("debit"),
                    pl.lit(each.credit.value).alias("credit"),
                    each.amount.cast(pl.Int64).alias("amount_minor"),
                ).filter(pl.col("amount_minor") > 0)
            )
    return pl.concat(found) if found else pl.DataFrame()


_SIDES = {
    "merchant_id": pl.Int32,
    "gate_id": pl.Int32,
    "currency": pl.String,
    "debit": pl.String,
    "credit": pl.String,
    "debit_account_id": pl.Int32,
    "credit_account_id": pl.Int32,
}


def store_transfers(engine: Engine, connection: Connection[Row], transfers: pl.DataFrame) -> None:
    """Store transfers and one delta for each account; accounts come last and in order."""
    if transfers.is_empty():
        return
    sides = ["merchant_id", "gate_id", "currency", "debit", "credit"]
    summed = transfers.group_by(sides).agg(pl.col("amount_minor").sum(), count=pl.len())
    deltas: dict[tuple[int, int], list[int]] = {}
    named = []
    for merchant, gate, currency, debit, credit, amount, count in summed.iter_rows():
        accounts = _accounts(engine, (merchant, gate, currency))
        ids = (accounts[debit], accounts[credit])
        named.append((merchant, gate, currency, debit, credit, *ids))
        for account, row in zip(ids, ((amount, 0, count), (0, amount, count)), strict=True):
            delta = deltas.setdefault((merchant, account), [0, 0, 0])
            for place, value in enumerate(row):
                delta[place] += value
    accounts_of = pl.DataFrame(named, schema=_SIDES, orient="row")
    placed = transfers.join(accounts_of, on=sides, how="left", maintain_order="left")
    ledger.copy_transfers(connection, placed.sort("operation_id", "number"))
    ledger.insert_deltas(connection, deltas)


def _accounts(engine: Engine, key: tuple[int, int, str]) -> dict[str, int]:
    """Give the accounts of a gate in a currency, opened if need be."""
    if key not in engine.accounts:
        with engine.database.transaction() as connection:
            ledger.open_accounts(connection, *key)
        with engine.database.transaction() as connection:
            engine.accounts[key] = ledger.find_accounts(connection, *key)
    return engine.accounts[key]


def store(engine: Engine, connection: Connection[Row], settled: list[Settled]) -> None:
    """Store what rounds settled, in one transaction: outcomes, payments, changes, transfers."""
    operations.copy_outcomes(
        connection, pl.concat([each.outcomes.select(OUTCOME_COLUMNS) for each in settled])
    )
    made = [each.made for each in settled if not each.made.is_empty()]
    if made:
        payments.copy_payments(
            connection, pl.concat([m.select(payments.PAYMENT_COLUMNS) for m in made]).sort("id")
        )
    changes = [each.changes for each in settled if not each.changes.is_empty()]
    if changes:
        summed = pl.concat(changes).group_by(KEY).agg(pl.col(CHANGED).sum())
        payments.apply_changes(connection, summed.rename({"payment_id": "id"}))
    moved = [each.transfers for each in settled if not each.transfers.is_empty()]
    if moved:
        store_transfers(engine, connection, pl.concat(moved))
