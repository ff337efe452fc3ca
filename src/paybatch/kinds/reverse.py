"""Reverse: undo a payment the way it can be undone now: void before settlement, refund after.

When: an order is to be undone and nobody wants to look up whether it is settled. What is only
authorized, or captured and not settled, is voided; what is settled, or was refunded in part
already, is refunded, and so is what a bank transfer brought. Where a hold is left besides, the
message says so: once nothing is left to refund, a further reversal voids it. The rules of the void
or of the refund hold.

Sources: ConnPay Reversal.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject


def _stands_for(capabilities: Capabilities) -> dict[str, pl.Expr]:
    is_refunded = (pl.col("settled") > 0) | (payment.given_back() > 0)
    if not capabilities.void_captured:
        is_refunded |= pl.col("captured") > 0
    is_payout, arrived = pl.col("is_payout"), payment.is_transfer() & (payment.kept() > 0)
    is_refunded = (is_refunded | arrived) & ~(arrived & is_payout)
    is_refunded &= (payment.refundable() > 0) | (payment.open_hold() == 0)
    return {"refund": is_refunded, "void": ~is_refunded}


KIND = Kind(
    name="reverse",
    title="Reversal",
    group="Follow-ups",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.COMMENT),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    effects=(remark(),),
    reads=(columns.COMMENT,),
    stands_for=_stands_for,
    opposite=None,
    undone="`duplicate` makes a new payment",
    permission="refund",
    risk=Risk.GIVES,
    samples=({"payment": "order-1001"},),
)
