"""Retrieval: keep that a copy of the sales ticket was asked for, and where the document is.

When: the issuer or the acquirer asks for the documents of a payment, which may become a chargeback.
A zip archive may hold PDF files and pictures beside the file of rows: then `document` is the name
of one of them, which is kept encrypted (`paybatch payment document`). Without any it is a place.

Source: ConnPay Retrieval.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.disputes import InDispute
from paybatch.domain.effects import Fact, Record, keep_document
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.text import filled

KIND = Kind(
    name="retrieval",
    title="Retrieval request",
    group="Disputes",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.MARK, columns.DOCUMENT, *columns.DISPUTE[:-1]),
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: payment.GOOD,
    effects=(
        Record(
            fact=Fact.DISPUTE_STEP,
            values={
                "stage": pl.lit("retrieval"),
                **{field.name: pl.col(field.name) for field in columns.DISPUTE[:-1]},
                "text": pl.col("comment"),
            },
        ),
        keep_document(),
    ),
    reads=(columns.COMMENT, columns.DOCUMENT, *columns.DISPUTE[:-1]),
    in_dispute=InDispute(),
    tells=filled("dispute {}", "dispute"),
    opposite=None,
    permission="chargeback",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "reason_code": "30", "document": "ticket-1001.pdf"},),
)
