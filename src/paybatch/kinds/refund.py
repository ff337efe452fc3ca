"""Refund: give back a captured payment, or a part of it, to the payer.

When: goods come back. Several partial refunds are allowed up to what was captured; some gates
refund settled payments only, some allow a little more than was captured, also in a further refund;
without an amount never more is given than was taken.
A credit gave money away already and cannot be refunded. What is charged back or returned is with
the payer already and counts as given back.

Sources: Commerce Web Services ``ReturnById``; Sips ``refund``; OPPWA ``RF``; FluidPay refund.
"""

import polars as pl

from paybatch.domain import columns, payment, reversals
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer

_approved = pl.col("approved_minor")
# Who reverses wants the hold undone as well.
_is_held = reversals.stands_in() & (payment.open_hold() > 0)
_told_held = pl.lit("refunded; a part of the payment is still held: reverse it again")

KIND = Kind(
    name="refund",
    title="Refund",
    group="Follow-ups",
    verb=Verb.REFUND,
    subject=Subject.PAYMENT,
    fields=columns.FOLLOW_UP,
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=reversals.refund_statuses,
    refusals=lambda gate: reversals.completing(
        gate,
        *reversals.refund_refusals(gate),
        reversals.unprepared(gate, reversals.refund_statuses(gate)),
    ),
    left=lambda gate: reversals.within_prepared(reversals.refund_left(gate)),
    # What was taken and is not given back: an excess is given to those only who name it.
    whole=lambda gate: reversals.within_prepared(reversals.refund_left(gate), payment.refundable()),
    reserves="reserved_refund",
    effects=(
        ChangePayment(
            amounts={"refunded": _approved, "prepared": reversals.completed(_approved)},
        ),
    ),
    transfers=(Transfer(Account.MERCHANT, Account.RECEIVABLE, _approved),),
    tells=pl.coalesce(reversals.told_prepared(), pl.when(_is_held).then(_told_held)),
    opposite=None,
    undone="what was given back is taken by a new payment only",
    permission="refund",
    risk=Risk.GIVES,
    samples=({"payment": "order-1001", "amount_minor": "250", "currency": "USD"},),
)
