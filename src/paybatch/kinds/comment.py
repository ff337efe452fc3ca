"""Comment: keep words with a payment; a further comment is added to those before.

When: a person or a program wants to remember something about a payment, whatever became of it.
Nothing is sent and no money moves. ``payment show`` lists the comments in their order.

Sources: ConnPay Add Comment To Transactions.
"""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.effects import Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.payment import Status

KIND = Kind(
    name="comment",
    title="Comment",
    group="Marks",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment", "comment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset(Status),
    effects=(
        Record(fact=Fact.NOTE, values={"name": pl.lit("comment"), "text": pl.col("comment")}),
    ),
    reads=(columns.COMMENT,),
    opposite=None,
    permission="mark",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "comment": "the payer called"},),
)
