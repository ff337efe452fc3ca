"""Capture: take an authorized amount, or a part of it.

When: the goods have been shipped. Without an amount all that is left is captured. Where the gate
allows several captures, each may take a part; ``final`` says that no more will follow, and the
rest of the hold is released. Where it does not, every capture is final, whatever the row says.
Where the gate can (`over_capture`), a capture by card may go above what is held: the amount above
is authorized with it.

Sources: Commerce Web Services ``Capture`` (several with ``MultiplePartialCapture``); OPPWA ``CP``;
ConnPay Capture; Sips ``validate``.
"""

import polars as pl

from paybatch.domain import columns, payment, reversals
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.money import AMOUNT_MAX_MINOR
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_approved = pl.col("approved_minor")
_above = pl.max_horizontal(_approved - payment.open_hold(), 0)
_below = pl.max_horizontal(payment.open_hold() - _approved, 0)
_rest = pl.when(pl.col("final")).then(_below).otherwise(0)


def _statuses(capabilities: Capabilities) -> frozenset[Status]:
    once = frozenset({Status.AUTHORIZED})
    several = once | {Status.PARTIALLY_CAPTURED, Status.PARTIALLY_REFUNDED}
    return several if capabilities.several_captures else once


def _refusals(capabilities: Capabilities) -> tuple[Fault, ...]:
    expired = pl.col("status") == Status.EXPIRED.value
    is_final = pl.lit(value=True) if not capabilities.several_captures else pl.col("final")
    # It releases the rest: what that is, is known when nothing else is under way.
    doubt = is_final.fill_null(value=False) & payment.hold_in_doubt()
    refusals = (
        Fault(Reason.OTHER_UNDER_WAY, "payment", doubt),
        reversals.preparing(capabilities),
        reversals.prepared_first(),
        Fault(Reason.HOLD_EXPIRED, "payment", expired),
    )
    if capabilities.several_captures:
        return refusals
    taken = (pl.col("captured") > 0) & ~pl.col("is_payout")
    return (Fault(Reason.CAPTURED_ALREADY, "payment", taken), *refusals)


def _held(_: Capabilities) -> pl.Expr:
    return payment.free_hold()


def _left(capabilities: Capabilities) -> pl.Expr:
    """Give the hold and, where nothing else is under way on it, what may be taken above it."""
    hold, percent = _held(capabilities), capabilities.over_capture_percent
    if percent == 0:
        return hold
    most = pl.lit(AMOUNT_MAX_MINOR) - pl.col("authorized")
    if percent is not None:
        share = (pl.col("authorized") - pl.col("released")) * percent // 100
        most = pl.min_horizontal(most, share)
    is_free = (hold > 0) & (hold == payment.open_hold()) & ~payment.is_transfer()
    return hold + pl.when(is_free).then(most).otherwise(0)


def _fixed(capabilities: Capabilities) -> dict[str, pl.Expr]:
    return {} if capabilities.several_captures else {"final": pl.lit(value=True)}


KIND = Kind(
    name="capture",
    title="Capture",
    group="Follow-ups",
    verb=Verb.CAPTURE,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.FINAL, columns.TAX, columns.SHIPPING, columns.TIP),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=_statuses,
    refusals=_refusals,
    fixed=_fixed,
    left=_left,
    whole=_held,
    reserves="reserved_capture",
    effects=(
        ChangePayment(amounts={"authorized": _above, "captured": _approved, "released": _rest}),
    ),
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _approved),
        Transfer(Account.HOLD, Account.HOLD_CONTRA, _above),
        Transfer(Account.HOLD_CONTRA, Account.HOLD, _approved + _rest),
    ),
    tells=pl.when(pl.col("authorized_by") > 0).then(
        pl.lit("the amount above the authorization was authorized with the capture")
    ),
    opposite="refund",
    undone="the money goes back; nothing makes it a hold again",
    permission="capture",
    risk=Risk.TAKES,
    samples=({"payment": "order-2001", "amount_minor": "5000", "currency": "USD"},),
)
