"""Withdraw reversal: take back what was prepared to be reversed, or a part of it.

When: the wrong payment was prepared, or the preparation is not to be completed: what it kept from
being captured, voided and refunded is free again. No money moves. Where the gate reverses in two
stages and the processor knows withdrawals it is asked, but for what it was not told, such as a hold
of a brand that takes no reversal. When it declines, the preparation stays; with ``force`` it is
taken back with us even then, as where the processor never heard of it.

Sources: ours; a preparation that nobody could take back would hold its payment for ever.
"""

import polars as pl

from paybatch.domain import columns, reversals
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment, remark
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.payment import GOOD
from paybatch.domain.reasons import Reason

_approved, _prepared = pl.col("approved_minor"), pl.col("prepared")


def _refusals(_: Capabilities) -> tuple[Fault, ...]:
    return (
        Fault(Reason.OTHER_UNDER_WAY, "payment", reversals.under_way()),
        Fault(Reason.NOTHING_PREPARED, "payment", _prepared == 0),
    )


def _closes(capabilities: Capabilities) -> pl.Expr:
    """Give what the processor never heard of, as the preparation gives it."""
    if not capabilities.two_stage_reversal:
        return pl.col("amount_minor")
    hold = reversals.void_closes(capabilities)
    return pl.when(reversals.is_refunded(capabilities)).then(0).otherwise(hold)


KIND = Kind(
    name="withdraw_reversal",
    title="Withdrawal of a prepared reversal",
    group="Follow-ups",
    verb=Verb.WITHDRAW_REVERSAL,
    if_able=True,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.FORCE, columns.COMMENT),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: GOOD,
    refusals=_refusals,
    left=lambda _: _prepared,
    whole_only=reversals.whole_only,
    reserves="reserved_void",
    closes=_closes,
    forced=pl.col("force"),
    effects=(ChangePayment(amounts={"prepared": -_approved}), remark()),
    reads=(columns.FORCE, columns.COMMENT),
    opposite="prepare_reversal",
    permission="refund",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "comment": "the wrong order"},),
    samples_need=("prepare_reversal",),
)
