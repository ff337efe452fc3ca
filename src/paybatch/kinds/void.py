"""Void: undo a payment, or a part of it, before it is settled.

When: an order is cancelled the same day. What is only authorized is released; what is captured and
not settled and not refunded is cancelled, where the gate can. A direct debit that is not due yet
leaves the collection. What is settled is never voided, and
a void is never turned into a refund.

With ``force`` it leaves the batch even when the processor declines. An authorization of a brand
that takes no reversal is closed with us and not sent; the message tells when its hold rolls off.

Sources: Commerce Web Services ``Undo``; Sips ``cancel``; OPPWA ``RV`` of a PA; FluidPay void.
"""

import polars as pl

from paybatch.domain import columns, holds, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason
from paybatch.domain.text import filled

_approved = pl.col("approved_minor")
_released = pl.min_horizontal(_approved, payment.open_hold())
_cancelled = _approved - _released
_taken = pl.when(~pl.col("is_payout"))
_given = pl.when(pl.col("is_payout"))

_held = pl.when(~payment.in_collection()).then(_released)
_collected = pl.when(payment.in_collection()).then(_released)
_is_all_of_it = payment.in_collection() & (_approved == payment.open_hold())

_may_hold = frozenset(
    {
        Status.AUTHORIZED,
        Status.PARTIALLY_CAPTURED,
        Status.PARTIALLY_REFUNDED,
        Status.IN_COLLECTION,
    }
)
_taken_whole = frozenset({Status.CAPTURED, Status.CREDITED})


def _statuses(capabilities: Capabilities) -> frozenset[Status]:
    return _may_hold | _taken_whole if capabilities.void_captured else _may_hold


def _left(capabilities: Capabilities) -> pl.Expr:
    hold = payment.open_hold() - pl.col("reserved_capture") - pl.col("reserved_void")
    if not capabilities.void_captured:
        return hold
    unsettled = pl.col("captured") - pl.col("settled") - pl.col("cancelled")
    returned = payment.given_back() + pl.col("reserved_refund")
    return hold + pl.max_horizontal(unsettled - returned, 0)


def _refusals(_: Capabilities) -> tuple[Fault, ...]:
    settled = (pl.col("settled") > 0) & (pl.col("settled") >= payment.kept())
    status = pl.col("status")
    return (
        Fault(Reason.CANCELLED_ALREADY, "payment", status == Status.VOIDED.value),
        Fault(Reason.HOLD_EXPIRED, "payment", status == Status.EXPIRED.value),
        Fault(Reason.SETTLED_ALREADY, "payment", settled & (payment.open_hold() == 0)),
    )


def _unsent(capabilities: Capabilities) -> pl.Expr:
    """Tell of which holds the processor would take no reversal."""
    is_hold = pl.col("amount_minor") <= payment.open_hold()
    return is_hold & holds.is_irreversible(capabilities)


KIND = Kind(
    name="void",
    title="Void",
    group="Follow-ups",
    verb=Verb.VOID,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.FORCE),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=_statuses,
    refusals=_refusals,
    left=_left,
    whole_only=lambda capabilities: not capabilities.partial_void,
    reserves="reserved_void",
    fixed=lambda capabilities: {"rolls_off_on": holds.ends_on(capabilities)},
    unsent=_unsent,
    forced=pl.col("force"),
    reads=(columns.FORCE,),
    effects=(
        ChangePayment(
            amounts={"released": _released, "cancelled": _cancelled},
            state=pl.when(_is_all_of_it).then(pl.lit("approved")),
        ),
    ),
    transfers=(
        Transfer(Account.HOLD_CONTRA, Account.HOLD, _held),
        Transfer(Account.MERCHANT, Account.IN_COLLECTION, _collected),
        Transfer(Account.MERCHANT, Account.RECEIVABLE, _taken.then(_cancelled).otherwise(0)),
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _given.then(_cancelled).otherwise(0)),
    ),
    tells=pl.when("unsent").then(
        filled(
            "closed with us; this brand takes no reversal: its hold rolls off by {}",
            pl.col("rolls_off_on").dt.to_string("%Y-%m-%d"),
        )
    ),
    opposite=None,
    permission="void",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"}, {"payment": "order-2001", "force": "true"}),
)
