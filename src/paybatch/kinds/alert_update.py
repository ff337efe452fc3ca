"""Alert update: tell the alert service what became of the order that its alert is about.

When: an alert came in before a chargeback, and the order was stopped, given back, or neither. It is
sent to the service once, by the verb ``alert``: the same outcome of an alert is refused the second
time, whichever payment it names. An outcome that turned out differently is another one. The alert
is a dispute of its payment, under its own id.

Source: ConnPay Ethoca Alerts Update.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.connector import Verb
from paybatch.domain.disputes import InDispute
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
                "stage": pl.lit("alert_update"),
                "dispute": pl.col("alert_id"),
                "reason_code": pl.col("alert_outcome"),
                "text": pl.col("comment"),
            },
        ),
    ),
    reads=(columns.COMMENT, columns.ALERT_ID, columns.ALERT_OUTCOME),
    in_dispute=InDispute(by="alert_id", once="alert_outcome"),
    opposite=None,
    permission="chargeback",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "alert_id": "EA-77", "alert_outcome": "stopped"},),
)
