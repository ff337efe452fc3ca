"""Commit reversal: complete a prepared reversal, or where none is prepared begin and complete one.

When: what was prepared at a gate that reverses in two stages is to be done now. The prepared
amount is voided or refunded, as the payment stands by then: what was settled since the
preparation is refunded. Without an amount it completes all that is prepared, with one a part of
it. When the processor declines, the preparation stays and may be committed again, or withdrawn.

Where nothing is prepared it is a reversal in one stage of the row's amount. Without an amount it is
refused then at a gate that reverses in two stages, so that a row that is sent twice, or follows a
preparation that was refused or withdrawn, does not undo the payment; at a gate of one stage it is
of all that is left.

Sources: ConnPay Commit Reversal (what it does there is not published; this is our reading).
"""

import polars as pl

from paybatch.domain import columns, reversals
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject


def _stands_for(capabilities: Capabilities) -> dict[str, pl.Expr]:
    is_refunded = reversals.is_refunded(capabilities)
    return {"refund": is_refunded, "void": ~is_refunded}


KIND = Kind(
    name="commit_reversal",
    title="Commit of a reversal",
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
    samples=({"payment": "order-1001", "comment": "checked by two"},),
    samples_need=("prepare_reversal",),
)
