"""Chargeback: the issuer takes a captured amount back, or a part of it, for the card holder.

When: the processor reports it. A chargeback is a fact: nothing is asked of the processor, and it is
recorded also when the payment was refunded before; more given back than taken is then shown. What
is charged back can no longer be refunded. It is a step of the payment's dispute, or opens one.

Sources: ConnPay Chargeback; OPPWA ``CB``.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.disputes import InDispute
from paybatch.domain.effects import ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.text import filled

_approved = pl.col("approved_minor")
_taken = frozenset(
    {
        Status.CAPTURED,
        Status.PARTIALLY_CAPTURED,
        Status.SETTLED,
        Status.PARTIALLY_REFUNDED,
        Status.REFUNDED,
        Status.CHARGED_BACK,
        Status.RETURNED,
    }
)

KIND = Kind(
    name="chargeback",
    title="Chargeback",
    group="Disputes",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, *columns.DISPUTE),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: _taken,
    left=lambda _: payment.kept() - payment.disputed(),
    effects=(
        ChangePayment(amounts={"charged_back": _approved}),
        Record(
            fact=Fact.DISPUTE_STEP,
            values={
                "stage": pl.lit("chargeback"),
                "amount_minor": _approved,
                "currency": pl.col("currency"),
                **{field.name: pl.col(field.name) for field in columns.DISPUTE[:-1]},
                "text": pl.col("comment"),
            },
        ),
    ),
    reads=columns.DISPUTE,
    transfers=(Transfer(Account.DISPUTED, Account.CLEARING, _approved),),
    in_dispute=InDispute(adds=1),
    tells=filled("dispute {}", "dispute"),
    opposite="chargeback_reversal",
    permission="chargeback",
    risk=Risk.GIVES,
    samples=(
        {
            "payment": "order-1001",
            "amount_minor": "1250",
            "currency": "USD",
            "reason_code": "10.4",
            "arn": "74537604221431003881865",
            "happened_on": "2026-11-20",
        },
    ),
)
