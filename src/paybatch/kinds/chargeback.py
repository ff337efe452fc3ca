"""Chargeback: the issuer takes a captured amount back, or a part of it, for the card holder.

When: the processor reports it. A chargeback is a fact: nothing is asked of the processor, and it is
recorded whatever it adds up to: also when the payment was refunded or cancelled before, or of more
than was captured. The message says when more was given back than taken, and the payment shows
`over_returned`. What is charged back can no longer be refunded. It is a step of the payment's
dispute, or opens one.

Sources: ConnPay Chargeback; OPPWA ``CB``.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.disputes import InDispute
from paybatch.domain.effects import ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.money import AMOUNT_MAX_MINOR
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason
from paybatch.domain.text import filled

_approved = pl.col("approved_minor")
_statuses = frozenset(
    {
        Status.CAPTURED,
        Status.PARTIALLY_CAPTURED,
        Status.SETTLED,
        Status.PARTIALLY_REFUNDED,
        Status.REFUNDED,
        Status.CHARGED_BACK,
        Status.RETURNED,
        Status.VOIDED,
        Status.EXPIRED,
    }
)


def _refusals(_: Capabilities) -> tuple[Fault, ...]:
    untaken = pl.col("is_payout") | (pl.col("captured") == 0)
    return (Fault(Reason.STATUS_NOT_ALLOWED, "payment", untaken),)


KIND = Kind(
    name="chargeback",
    title="Chargeback",
    group="Disputes",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, *columns.DISPUTE),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: _statuses,
    refusals=_refusals,
    left=lambda _: pl.lit(AMOUNT_MAX_MINOR) - payment.disputed(),
    whole=lambda _: payment.taken() - payment.disputed(),
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
    tells=pl.concat_str(
        filled("dispute {}", "dispute"),
        payment.told_over_returned(),
        separator="; ",
        ignore_nulls=True,
    ),
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
