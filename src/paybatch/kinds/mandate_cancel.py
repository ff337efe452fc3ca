"""Mandate cancel: nothing is collected with a mandate any more.

When: the payer or the creditor ends it. What was collected, or is under way, is left as it is.

Sources: Sips ``ABORT`` of a mandate; EPC016-06 (cancellation of a mandate).
"""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.effects import ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.payment import USABLE_MANDATES

KIND = Kind(
    name="mandate_cancel",
    title="End of a mandate",
    group="Direct debits",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: USABLE_MANDATES,
    effects=(
        ChangePayment(state=pl.lit("mandate_cancelled")),
        Record(
            fact=Fact.NOTE,
            values={"name": pl.lit("mandate_cancelled"), "text": pl.col("comment")},
        ),
    ),
    reads=(columns.COMMENT,),
    opposite=None,
    undone="get a new mandate",
    permission="mandate",
    risk=Risk.MARK,
    samples=({"payment": "mandate-7101", "comment": "the payer asks for it"},),
)
