"""Fraud: mark a payment as fraudulent; money does not move.

When: the payment turned out to be fraud, and reports and later rules are to know it. What is to be
given back needs a refund or a void of its own; a card is kept out by `blacklist`.

Sources: ConnPay Fraud.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.effects import Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject

KIND = Kind(
    name="fraud",
    title="Fraud mark",
    group="Marks",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: payment.GOOD,
    effects=(Record(fact=Fact.NOTE, values={"name": pl.lit("fraud"), "text": pl.col("comment")}),),
    reads=(columns.COMMENT,),
    opposite=None,
    permission="mark",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "comment": "the holder denies it"},),
)
