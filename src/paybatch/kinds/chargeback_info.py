"""Chargeback info: keep what is learned about a dispute while it is under way; no money moves.

When: the processor or the scheme sends news of a dispute, also before there is any chargeback: an
inquiry, the stage that it has reached, its reference number, the day by which an answer is due.

Source: ConnPay Upload Chargebacks Info.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.disputes import InDispute
from paybatch.domain.effects import Fact, Record, keep_document
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.text import filled

KIND = Kind(
    name="chargeback_info",
    title="News of a dispute",
    group="Disputes",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.STAGE, columns.DOCUMENT, *columns.DISPUTE),
    required=frozenset({"payment", "stage"}),
    amount=AmountRule.NONE,
    statuses=lambda _: payment.GOOD,
    effects=(
        Record(
            fact=Fact.DISPUTE_STEP,
            values={
                "stage": pl.col("stage"),
                "amount_minor": pl.col("amount_minor"),
                "currency": pl.col("currency"),
                **{field.name: pl.col(field.name) for field in columns.DISPUTE[:-1]},
                "text": pl.col("comment"),
            },
        ),
        keep_document(),
    ),
    reads=(columns.STAGE, columns.DOCUMENT, *columns.DISPUTE),
    in_dispute=InDispute(),
    tells=filled("dispute {}", "dispute"),
    opposite=None,
    permission="chargeback",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "stage": "inquiry", "due_on": "2026-12-15"},),
)
