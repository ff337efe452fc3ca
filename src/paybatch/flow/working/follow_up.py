"""Rules about the payment that a row acts on: the same in the preview and at claim.

Rows come joined with their payment's columns (``store.payments.LOCKED``; null = no such payment).
The ladder gives each row its reason, or null, and the amount that it would act on.
"""

import polars as pl

from paybatch import registry
from paybatch.domain import payment
from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Connector
from paybatch.domain.kind import AmountRule, Fault, Kind, Subject
from paybatch.domain.payment import Status
from paybatch.domain.reasons import PRECEDENCE, Reason
from paybatch.flow.place import Place

WITH_AMOUNT = frozenset({AmountRule.LEFT, AmountRule.POSITIVE})


_NO_MEANS = Fault(Reason.MEANS_MISSING, "payment", pl.col("payment_number_id").is_null())

_NO_MANDATE = Fault(Reason.MANDATE_NEEDED, "payment", pl.col("payment_brand") == IBAN_BRAND)

_CHALLENGED = Fault(Reason.CHALLENGED, "payment", pl.col("status") == Status.CHALLENGED.value)


def _is_limited(kind: Kind) -> bool:
    """Tell whether what is left of the payment limits the amount."""
    return kind.changes is not None and kind.makes is None and kind.amount in WITH_AMOUNT


def judged(place: Place, rows: pl.DataFrame) -> pl.DataFrame:
    """Add ``act``, ``amount_minor`` (what the row asks for, or all that is left) and ``refusal``.

    ``act`` is the kind whose rules and effects hold. Rows need ``kind, gate_id, requested_minor,
    currency, reason`` and their payment's columns.
    """
    rows = rows.with_columns_seq(status=payment.status())
    rows = rows.with_columns_seq(act=_acts(place, rows))
    pairs = rows.select_seq("act", "payment_gate_id").unique().drop_nulls().sort(pl.all())
    left: pl.Expr = pl.lit(None, pl.Int64)
    whole: pl.Expr | None = None
    refusal: pl.Expr = pl.lit(None, pl.String)
    for name, gate_id in pairs.iter_rows():
        kind = registry.kinds()[name]
        own = (pl.col("act") == name) & (pl.col("payment_gate_id") == gate_id)
        capabilities = place.capabilities(gate_id)
        if _is_limited(kind):
            left = pl.when(own).then(kind.left(capabilities)).otherwise(left)
            if kind.whole is not None:
                whole = pl.when(own).then(kind.whole(capabilities)).otherwise(whole)
        refusal = pl.when(own).then(_first(_ladder(place, gate_id, kind))).otherwise(refusal)
    fixed, closed = _decided(place, rows, pairs)
    if rows["payment_gate_id"].null_count():
        fixed = {**_unfixed(rows), **fixed}
    rows = rows.with_columns_seq(left=left, **fixed)
    meant = ["requested_minor", "left"] if whole is None else ["requested_minor", whole, "left"]
    rows = rows.with_columns_seq(amount_minor=pl.coalesce(meant))
    unknown = pl.when(pl.col("payment_gate_id").is_null()).then(
        pl.lit(Reason.PAYMENT_UNKNOWN.value)
    )
    return rows.with_columns_seq(refusal=pl.coalesce(pl.col("reason"), unknown, refusal), **closed)


def decided(place: Place, calls: pl.DataFrame) -> pl.DataFrame:
    """Add to calls beside their payments what the gates decide of them, as `judged` does."""
    pairs = calls.select_seq("act", "payment_gate_id").unique().drop_nulls().sort(pl.all())
    fixed, closed = _decided(place, calls, pairs)
    return calls.with_columns_seq(**fixed, **closed)


def _decided(
    place: Place, rows: pl.DataFrame, pairs: pl.DataFrame
) -> tuple[dict[str, pl.Expr], dict[str, pl.Expr]]:
    """Give the columns that the gates fix, and ``closed_minor`` where a kind closes with us."""
    fixed: dict[str, pl.Expr] = {}
    closed: dict[str, pl.Expr] = {}
    for name, gate_id in pairs.iter_rows():
        kind, capabilities = registry.kinds()[name], place.capabilities(gate_id)
        own = (pl.col("act") == name) & (pl.col("payment_gate_id") == gate_id)
        for column, value in kind.fixed(capabilities).items():
            as_written = pl.col(column) if column in rows.columns else pl.lit(None)
            fixed[column] = pl.when(own).then(value).otherwise(fixed.get(column, as_written))
        if (stays := kind.closes(capabilities)) is not None:
            otherwise = closed.get("closed_minor", pl.lit(0, pl.Int64))
            closed["closed_minor"] = pl.when(own).then(stays).otherwise(otherwise)
    return fixed, closed


def _unfixed(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """Give the columns that gates decide as nulls: rows without a payment have them too."""
    found: dict[str, pl.Expr] = {}
    for name in rows["act"].drop_nulls().unique():
        for column, value in registry.kinds()[name].fixed(Capabilities()).items():
            if column not in rows.columns:
                found[column] = pl.when(pl.lit(value=False)).then(value)
    return found


def _acts(place: Place, rows: pl.DataFrame) -> pl.Expr:
    """Give the kind that each row acts as: its own, or one that it stands for."""
    act = pl.col("kind")
    for name, gate_id in rows.select_seq("kind", "payment_gate_id").unique().drop_nulls().rows():
        own = (pl.col("kind") == name) & (pl.col("payment_gate_id") == gate_id)
        others = registry.kinds()[name].stands_for(place.capabilities(gate_id))
        for other, holds in reversed(list(others.items())):
            act = pl.when(own & holds).then(pl.lit(other)).otherwise(act)
    return act


def _first(ladder: list[Fault]) -> pl.Expr:
    return pl.coalesce(
        *(
            pl.when(each.fails.fill_null(value=False)).then(pl.lit(each.reason.value))
            for each in ladder
        )
    )


def _ladder(place: Place, gate_id: int, kind: Kind) -> list[Fault]:
    """Give the rules of a kind at a gate, in the order in which their reasons are told."""
    capabilities = place.capabilities(gate_id)
    connector: Connector = place.connector(gate_id)
    allowed = sorted(status.value for status in kind.statuses(capabilities))
    gate, currency, status = pl.col("gate_id"), pl.col("currency"), pl.col("status")
    rules = [
        Fault(
            Reason.NOT_SUPPORTED,
            "kind",
            pl.lit(kind.needs is not None and kind.needs not in connector.verbs),
        ),
        Fault(Reason.GATE_DIFFERS, "gate", (gate > 0) & (gate != pl.col("payment_gate_id"))),
        Fault(Reason.CURRENCY_DIFFERS, "currency", currency != pl.col("payment_currency")),
        Fault(
            Reason.PAYMENT_IN_DOUBT,
            "payment",
            status.is_in(["unknown", "pending"]) & ~status.is_in(allowed),
        ),
        *([_CHALLENGED] if _is_limited(kind) and Status.CHALLENGED.value not in allowed else ()),
        *([_NO_MEANS] if kind.makes else ()),
        *([_NO_MANDATE] if kind.subject is Subject.NEW_FROM_PAYMENT else ()),
        *kind.refusals(capabilities),
        Fault(Reason.STATUS_NOT_ALLOWED, "payment", ~status.is_in(allowed)),
        *(_amount_ladder(kind, capabilities) if _is_limited(kind) else ()),
    ]
    return sorted(rules, key=lambda each: PRECEDENCE[each.reason.value])


def _amount_ladder(kind: Kind, capabilities: Capabilities) -> list[Fault]:
    amount, left = pl.col("amount_minor"), pl.col("left")
    return [
        Fault(Reason.NOTHING_LEFT, "payment", (left <= 0) | (amount <= 0)),
        Fault(
            Reason.PARTIAL_NOT_SUPPORTED,
            "amount_minor",
            kind.whole_only(capabilities) & (amount < left),
        ),
        Fault(Reason.AMOUNT_ABOVE_LEFT, "amount_minor", amount > left),
    ]
