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

from paybatch.domain import columns, holds, payment, reversals
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status

_approved = pl.col("approved_minor")
_released = pl.min_horizontal(_approved, payment.open_hold())
_cancelled = _approved - _released
_taken = pl.when(~pl.col("is_payout"))
_given = pl.when(pl.col("is_payout"))

_held = pl.when(~payment.in_collection()).then(_released)
_collected = pl.when(payment.in_collection()).then(_released)
_is_pending = pl.col("state") == Status.TRANSFER_PENDING.value
_is_all_of_it = (payment.in_collection() | _is_pending) & (_approved == payment.open_hold())

KIND = Kind(
    name="void",
    title="Void",
    group="Follow-ups",
    verb=Verb.VOID,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.FORCE),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=reversals.void_statuses,
    refusals=lambda gate: reversals.completing(
        gate,
        *reversals.void_refusals(),
        reversals.unprepared(gate, reversals.void_statuses(gate)),
        reversals.meant_otherwise(gate),
        reversals.voids_a_part(gate),
    ),
    left=lambda gate: reversals.within_prepared(reversals.void_left(gate)),
    whole_only=lambda gate: pl.lit(not gate.partial_void),
    reserves="reserved_void",
    fixed=holds.rolls_off,
    closes=reversals.void_closes,
    forced=pl.col("force"),
    reads=(columns.FORCE,),
    effects=(
        ChangePayment(
            amounts={
                "released": _released,
                "cancelled": _cancelled,
                "prepared": reversals.completed(_approved),
            },
            state=pl.when(_is_all_of_it).then(pl.lit("approved")),
        ),
    ),
    transfers=(
        Transfer(Account.HOLD_CONTRA, Account.HOLD, _held),
        Transfer(Account.MERCHANT, Account.IN_COLLECTION, _collected),
        Transfer(Account.MERCHANT, Account.RECEIVABLE, _taken.then(_cancelled).otherwise(0)),
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _given.then(_cancelled).otherwise(0)),
    ),
    tells=pl.coalesce(reversals.told_prepared(), holds.told_closed()),
    opposite=None,
    undone="`duplicate` makes a new payment",
    permission="void",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"}, {"payment": "order-2001", "force": "true"}),
)
