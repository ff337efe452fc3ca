"""Scoring: ask the scoring service how risky a card is, and keep the score with it.

When: before a payment, or for cards and orders that look odd. A payment stands for its card. The
score is 0 (no risk seen) to 100; below 30 is low, below 70 medium.

Source: ConnPay Scoring.
"""

import polars as pl

from paybatch.domain import columns, lists, payment
from paybatch.domain.connector import Verb
from paybatch.domain.effects import Fact, Record, remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.text import filled

_LOW, _MEDIUM = 30, 70
_score = pl.col("score")
_band = (
    pl.when(_score < _LOW)
    .then(pl.lit("low"))
    .when(_score < _MEDIUM)
    .then(pl.lit("medium"))
    .otherwise(pl.lit("high"))
)
_fields = (*columns.MARK, columns.CARD_NUMBER, columns.CARD_REFERENCE)

KIND = Kind(
    name="scoring",
    title="Scoring",
    group="Lists",
    verb=Verb.SCORE,
    subject=Subject.PAYMENT_OR_MEANS,
    fields=_fields,
    amount=AmountRule.NONE,
    faults=lists.one_subject(_fields),
    statuses=lambda _: payment.KNOWN,
    refusals=lists.without_number,
    reserves="reserved_refund",
    effects=(
        Record(
            fact=Fact.SCORE,
            values={
                "number_id": pl.coalesce("payment_number_id", "number_id"),
                "score": _score,
                "band": _band,
            },
        ),
        remark(),
    ),
    reads=(columns.COMMENT,),
    tells=filled("score {}: {} risk", _score, _band),
    opposite=None,
    permission="list",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"}, {"card_number": "4000000000000127"}),
)
