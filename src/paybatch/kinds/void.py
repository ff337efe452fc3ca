"""Void: undo a payment, or a part of it, before it is settled.

When: an order is cancelled the same day. What is only authorized is released; what is captured and
not settled and not refunded is cancelled, where the gate can. A direct debit that is not due yet
leaves the collection; a bank transfer that was not sent yet is called off. What is settled is never
voided, nor what a bank transfer moved, and a void is never turned into a refund.

With ``force`` it leaves the batch even when the processor declines. An authorization of a brand
that takes no reversal is closed with us and not sent (of a payment that was captured in part the
processor is asked for that part only); the message tells when its hold rolls off.

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

_approved = pl.col("approved_minor")
_released = pl.min_horizontal(_approved, payment.open_hold())
_cancelled = _approved - _released
_taken = pl.when(~pl.col("is_payout"))
_given = pl.when(pl.col("is_payout"))

_held = pl.when(~payment.in_collection()).then(_released)
_collected = pl.when(payment.in_collection()).then(_released)
_is_pending = pl.col("state") == Status.TRANSFER_PENDING.value
_is_all_of_it = (payment.in_collection() | _is_pending) & (_approved == payment.open_hold())

_may_hold = frozenset(
    {
        Status.AUTHORIZED,
        Status.PARTIALLY_CAPTURED,
        Status.PARTIALLY_REFUNDED,
        Status.CHARGED_BACK,
        Status.IN_COLLECTION,
        Status.TRANSFER_PENDING,
    }
)
_taken_whole = frozenset({Status.CAPTURED, Status.CREDITED})


def _statuses(capabilities: Capabilities) -> frozenset[Status]:
    return _may_hold | _taken_whole if capabilities.void_captured else _may_hold


def _left(capabilities: Capabilities) -> pl.Expr:
    hold = payment.free_hold()
    if not capabilities.void_captured:
        return hold
    unsettled = payment.kept() - pl.col("settled")
    stays = payment.kept() - payment.given_back() - pl.col("reserved_refund")
    taken = pl.max_horizontal(pl.min_horizontal(unsettled, stays), 0)
    return hold + pl.when(payment.is_transfer()).then(0).otherwise(taken)


def _refusals(_: Capabilities) -> tuple[Fault, ...]:
    settled = (pl.col("settled") > 0) & (pl.col("settled") >= payment.kept())
    status, arrived = pl.col("status"), payment.is_transfer() & (payment.kept() > 0)
    # What it releases and what it cancels is told by what it finds: no capture may change that.
    capturing = pl.col("reserved_capture") > 0
    return (
        Fault(Reason.PAYMENT_IN_DOUBT, "payment", capturing),
        Fault(Reason.CANCELLED_ALREADY, "payment", status == Status.VOIDED.value),
        Fault(Reason.HOLD_EXPIRED, "payment", status == Status.EXPIRED.value),
        Fault(Reason.TRANSFER_ARRIVED, "payment", arrived & (payment.open_hold() == 0)),
        Fault(Reason.SETTLED_ALREADY, "payment", settled & (payment.open_hold() == 0)),
    )


def _closes(capabilities: Capabilities) -> pl.Expr:
    """Give the hold that the processor would not reverse, or never heard of."""
    hold = pl.min_horizontal("amount_minor", payment.open_hold())
    return pl.when(holds.is_irreversible(capabilities) | _is_pending).then(hold).otherwise(0)


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
    fixed=holds.rolls_off,
    closes=_closes,
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
    tells=holds.told_closed(),
    opposite=None,
    undone="`duplicate` makes a new payment",
    permission="void",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"}, {"payment": "order-2001", "force": "true"}),
)
