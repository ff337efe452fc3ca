"""Accept challenge: let a payment that its fraud score holds go on its course.

When: a person looked at a challenged payment and finds it good. A held sale is captured; a held
authorization is open for its capture. Nothing is sent: the processor has approved it already.

Sources: Sips ``acceptChallenge``.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.effects import ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_captured = pl.when(pl.col("origin") != "authorize").then(payment.open_hold()).otherwise(0)

KIND = Kind(
    name="accept_challenge",
    title="Acceptance of a challenged payment",
    group="Challenges",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset({Status.CHALLENGED}),
    refusals=lambda _: (Fault(Reason.PAYMENT_IN_DOUBT, "payment", payment.hold_in_doubt()),),
    effects=(
        ChangePayment(amounts={"captured": _captured}, state=pl.lit("approved")),
        Record(
            fact=Fact.NOTE,
            values={"name": pl.lit("challenge_accepted"), "text": pl.col("comment")},
        ),
    ),
    reads=(columns.COMMENT,),
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _captured),
        Transfer(Account.HOLD_CONTRA, Account.HOLD, _captured),
    ),
    opposite="reverse",
    undone="the whole payment: voided before settlement, refunded after it",
    permission="challenge",
    risk=Risk.TAKES,
    samples=({"payment": "order-5001"},),
)
