"""Chargeback reversal: a chargeback is undone, whole or in part, and the money comes back.

When: the issuer withdrew it, or the dispute was won. It is a fact that the processor reports.

Sources: OPPWA ``CR``; ConnPay dispute.
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

KIND = Kind(
    name="chargeback_reversal",
    title="Chargeback reversal",
    group="Disputes",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, *columns.DISPUTE),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: frozenset({Status.CHARGED_BACK}),
    left=lambda _: payment.disputed(),
    effects=(
        ChangePayment(amounts={"represented": _approved}),
        Record(
            fact=Fact.DISPUTE_STEP,
            values={
                "stage": pl.lit("chargeback_reversal"),
                "amount_minor": _approved,
                "currency": pl.col("currency"),
                **{field.name: pl.col(field.name) for field in columns.DISPUTE[:-1]},
                "text": pl.col("comment"),
            },
        ),
    ),
    reads=columns.DISPUTE,
    transfers=(Transfer(Account.CLEARING, Account.DISPUTED, _approved),),
    in_dispute=InDispute(opens=False, adds=-1),
    tells=filled("dispute {}", "dispute"),
    opposite="chargeback",
    permission="chargeback",
    risk=Risk.TAKES,
    samples=({"payment": "order-1001", "comment": "won"},),
    samples_need=("chargeback",),
)
