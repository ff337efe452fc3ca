"""Acknowledge: note that the answer to a payment has arrived where it was meant to.

When: a program took over the outcome of a payment and wants that to be known. Nothing is sent.

Source: Commerce Web Services ``Acknowledge``.
"""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.effects import Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.payment import Status

KIND = Kind(
    name="acknowledge",
    title="Acknowledgement",
    group="Marks",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset(Status),
    effects=(
        Record(fact=Fact.NOTE, values={"name": pl.lit("acknowledged"), "text": pl.col("comment")}),
    ),
    reads=(columns.COMMENT,),
    opposite=None,
    permission="mark",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"},),
)
