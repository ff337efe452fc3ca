"""Resend callback: owe the merchant a new notice of what became of a payment.

When: a callback was lost, or the receiver was down. The notice is queued; the outcome must be
final.

Source: ConnPay Resend Callbacks.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.effects import Fact, Record, remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject

KIND = Kind(
    name="resend_callback",
    title="New callback",
    group="Marks",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: payment.KNOWN,
    effects=(Record(fact=Fact.NOTICE, values={"state": pl.lit("queued")}), remark()),
    reads=(columns.COMMENT,),
    opposite=None,
    permission="mark",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"},),
)
