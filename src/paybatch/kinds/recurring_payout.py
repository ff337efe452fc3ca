"""Recurring payout: pay the card of a recurring payment that is for payouts, by hand or by clock.

When: a payee gets regular payments (`recurring_create` with `card_side` DST). Otherwise it is a
`recurring_charge`, which acts so for such recurring payments: the clock hands in that word.

Source: ConnPay Process Recurring Payment (DST).
"""

import polars as pl

from paybatch.domain import columns, recurring, terms
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment, NewPayment
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import OPEN_RECURRING, Status
from paybatch.domain.reasons import Reason

_approved = pl.col("approved_minor")
_is_open = pl.col("state").is_in(sorted(each.value for each in OPEN_RECURRING))

KIND = Kind(
    name="recurring_payout",
    title="Recurring payout",
    group="Recurring payments",
    verb=Verb.CREDIT,
    subject=Subject.NEW_FROM_PAYMENT,
    fields=terms.RECURRING_CHARGE,
    required=frozenset({"payment"}),
    amount=AmountRule.POSITIVE,
    statuses=lambda _: frozenset({Status.RECURRING_ACTIVE}),
    refusals=lambda capabilities: (
        *recurring.not_active(capabilities),
        Fault(Reason.STATUS_NOT_ALLOWED, "payment", ~pl.col("is_payout")),
    ),
    fixed=recurring.by_merchant,
    effects=(
        NewPayment(
            amounts={"authorized": _approved, "captured": _approved}, is_payout=pl.lit(value=True)
        ),
        # What was stopped or has finished while the payout was under way stays so.
        ChangePayment(state_declined=pl.when(_is_open).then(recurring.after_decline())),
    ),
    transfers=(Transfer(Account.MERCHANT, Account.RECEIVABLE, _approved),),
    reads=(columns.SCHEME_TRANSACTION_ID,),
    continues=True,
    opposite="void",
    permission="recurring",
    risk=Risk.GIVES,
    samples=(
        {
            "payment": "recurring-8102",
            "amount_minor": "5000",
            "currency": "USD",
            "reference": "payout-8301",
        },
    ),
)
