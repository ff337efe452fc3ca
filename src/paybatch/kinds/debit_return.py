"""Debit return: a direct debit or ACH payment came back, whole or in part, some days later.

When: the bank reports it with its code (R01, AC04 ...). It is a fact: approved meant accepted for
collection, and what was given back besides, or cancelled, is not looked at (the message says when
more was given back than taken). Before the debit is due it leaves the collection, and nothing is
captured.

Sources: NACHA return codes; SEPA reason codes.
"""

import polars as pl

from paybatch.domain import columns, payment, reversals
from paybatch.domain.banks import ACCOUNT_BRANDS
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.money import AMOUNT_MAX_MINOR
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_approved = pl.col("approved_minor")
_early = pl.when(payment.in_collection()).then(_approved)
_late = pl.when(~payment.in_collection()).then(_approved)
_is_all_early = payment.in_collection() & (_approved == payment.open_hold())
_statuses = frozenset(
    {
        Status.IN_COLLECTION,
        Status.CAPTURED,
        Status.SETTLED,
        Status.PARTIALLY_REFUNDED,
        Status.REFUNDED,
        Status.CHARGED_BACK,
        Status.RETURNED,
        Status.VOIDED,
    }
)


def _refusals(_: Capabilities) -> tuple[Fault, ...]:
    is_debit = pl.col("payment_brand").is_in(sorted(ACCOUNT_BRANDS)).fill_null(value=False)
    untaken = pl.col("is_payout") | ((pl.col("captured") == 0) & ~payment.in_collection())
    voiding = payment.in_collection() & payment.hold_in_doubt()
    return (
        Fault(Reason.OTHER_UNDER_WAY, "payment", voiding),
        Fault(Reason.NOT_A_DEBIT, "payment", ~is_debit),
        Fault(Reason.STATUS_NOT_ALLOWED, "payment", untaken),
    )


KIND = Kind(
    name="debit_return",
    title="Return of a debit",
    group="Disputes",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.RETURN_CODE, columns.HAPPENED_ON, columns.COMMENT),
    required=frozenset({"payment", "return_code"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: _statuses,
    refusals=_refusals,
    left=lambda _: (
        pl.when(payment.in_collection())
        .then(payment.open_hold())
        .otherwise(pl.lit(AMOUNT_MAX_MINOR) - pl.col("returned"))
    ),
    whole=lambda _: (
        pl.when(payment.in_collection())
        .then(payment.open_hold())
        .otherwise(payment.taken() - pl.col("returned"))
    ),
    effects=(
        ChangePayment(
            amounts={
                "released": _early.otherwise(0),
                "returned": _late.otherwise(0),
                "prepared": reversals.lapsed(_early.otherwise(0)),
            },
            state=pl.when(_is_all_early).then(pl.lit("returned")),
        ),
        Record(
            fact=Fact.DISPUTE_STEP,
            values={
                "stage": pl.lit("return"),
                "amount_minor": _approved,
                "currency": pl.col("currency"),
                "reason_code": pl.col("return_code"),
                "happened_on": pl.col("happened_on"),
                "text": pl.col("comment"),
            },
        ),
    ),
    reads=(columns.RETURN_CODE, columns.HAPPENED_ON, columns.COMMENT),
    transfers=(
        Transfer(Account.MERCHANT, Account.CLEARING, _late),
        Transfer(Account.MERCHANT, Account.IN_COLLECTION, _early),
    ),
    tells=payment.told_over_returned(),
    opposite=None,
    undone="collect again with a new debit",
    permission="chargeback",
    risk=Risk.GIVES,
    samples=({"payment": "order-1002", "return_code": "R01", "happened_on": "2026-11-20"},),
)
