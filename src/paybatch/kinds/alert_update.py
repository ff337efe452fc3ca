"""Alert update: tell the alert service what became of the order that its alert is about.

When: an alert came in before a chargeback, and the order was stopped, given back, or neither. It is
sent to the service once, by the verb ``alert``.

Source: ConnPay Ethoca Alerts Update.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.connector import Verb
from paybatch.domain.effects import Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject

KIND = Kind(
    name="alert_update",
    title="Answer to an alert",
    group="Disputes",
    verb=Verb.ALERT,
    subject=Subject.PAYMENT,
    fields=(*columns.MARK, columns.ALERT_ID, columns.ALERT_OUTCOME),
    required=frozenset({"payment", "alert_id", "alert_outcome"}),
    amount=AmountRule.NONE,
    statuses=lambda _: payment.GOOD,
    reserves="reserved_refund",
    effects=(
        Record(
            fact=Fact.DISPUTE_STEP,
            values={
                "stage": pl.lit("alert"),
                "arn": pl.col("alert_id"),
                "reason_code": pl.col("alert_outcome"),
                "text": pl.col("comment"),
            },
        ),
    ),
    reads=(columns.COMMENT, columns.ALERT_ID, columns.ALERT_OUTCOME),
    opposite=None,
    permission="chargeback",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "alert_id": "EA-77", "alert_outcome": "stopped"},),
)
