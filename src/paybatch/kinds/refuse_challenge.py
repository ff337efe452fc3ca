"""Refuse challenge: refuse a payment that its fraud score holds, and give its hold back.

When: a person looked at a challenged payment and does not trust it. Its hold is voided at the
processor and the payment is closed. The hold of a
brand that takes no reversal is closed with us only.

Sources: Sips ``refuseChallenge``.
"""

import polars as pl

from paybatch.domain import columns, holds, payment
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status

KIND = Kind(
    name="refuse_challenge",
    title="Refusal of a challenged payment",
    group="Challenges",
    verb=Verb.VOID,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: frozenset({Status.CHALLENGED}),
    left=lambda _: payment.open_hold() - pl.col("reserved_void"),
    reserves="reserved_void",
    closes=lambda capabilities: (
        pl.when(holds.is_irreversible(capabilities) & (pl.col("origin") == "authorize"))
        .then("amount_minor")
        .otherwise(0)
    ),
    effects=(
        ChangePayment(amounts={"released": pl.col("approved_minor")}, state=pl.lit("approved")),
        Record(
            fact=Fact.NOTE,
            values={"name": pl.lit("challenge_refused"), "text": pl.col("comment")},
        ),
    ),
    reads=(columns.COMMENT,),
    transfers=(Transfer(Account.HOLD_CONTRA, Account.HOLD, pl.col("approved_minor")),),
    opposite=None,
    undone="`duplicate` makes a new payment",
    permission="challenge",
    risk=Risk.MARK,
    samples=({"payment": "order-5001", "comment": "another country"},),
)
