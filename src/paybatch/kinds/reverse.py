"""Reverse: undo a payment the way it can be undone now: void before settlement, refund after.

When: an order is to be undone and nobody wants to look up whether it is settled. What is only
authorized, or captured and not settled, is voided; what is settled, or was refunded in part
already, is refunded, and so is what a bank transfer brought. Where a hold is left besides, the
message says so: once nothing is left to refund, a further reversal voids it. The rules of the void
or of the refund hold.

At a gate that reverses in two stages (`two_stage_reversal`) it only prepares, as
`prepare_reversal` does; `commit_reversal` completes it.

Sources: ConnPay Reversal.
"""

import polars as pl

from paybatch.domain import columns, reversals
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject


def _stands_for(capabilities: Capabilities) -> dict[str, pl.Expr]:
    is_refunded = reversals.is_refunded(capabilities)
    # Where one is prepared at a gate of one stage, the rules of preparing refuse another.
    prepares = pl.lit(capabilities.two_stage_reversal) | (pl.col("prepared") > 0)
    return {"prepare_reversal": prepares, "refund": is_refunded, "void": ~is_refunded}


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
    undone="`duplicate` makes a new payment; `withdraw_reversal` undoes what is only prepared",
    permission="refund",
    risk=Risk.GIVES,
    samples=({"payment": "order-1001"},),
)
