"""Recurring charge: charge a recurring payment, by hand or by the clock.

When: the clock makes one for each due date, with the amount that was drawn for it. A row of yours
is one more, by hand, of the amount that it gives: the due dates are charged all the same. The
merchant starts it, as one of a series that the payer agreed to. A hard decline (the card has
expired, is unknown, lost or stolen) fails the recurring payment until it gets another card; when
the payer took the agreement back (stop recurring) it is stopped. Of a recurring payment that pays
its card (`card_side` DST) it is a `recurring_payout`.

Sources: ConnPay Process Recurring Payment; Visa and Mastercard rules on declined recurring charges.
"""

import polars as pl

from paybatch.domain import columns, recurring, terms
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment, NewPayment, is_challenged
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import OPEN_RECURRING, Status

_approved = pl.col("approved_minor")
_is_open = pl.col("state").is_in(sorted(each.value for each in OPEN_RECURRING))
_held = pl.when(is_challenged()).then(_approved).otherwise(0)

KIND = Kind(
    name="recurring_charge",
    title="Recurring charge",
    group="Recurring payments",
    verb=Verb.SALE,
    subject=Subject.NEW_FROM_PAYMENT,
    fields=terms.RECURRING_CHARGE,
    required=frozenset({"payment"}),
    amount=AmountRule.POSITIVE,
    statuses=lambda _: frozenset({Status.RECURRING_ACTIVE}),
    refusals=recurring.not_active,
    fixed=recurring.by_merchant,
    effects=(
        NewPayment(amounts={"authorized": _approved, "captured": _approved - _held}),
        # What was stopped or has finished while the charge was under way stays so.
        ChangePayment(state_declined=pl.when(_is_open).then(recurring.after_decline())),
    ),
    stands_for=lambda _: {"recurring_payout": pl.col("is_payout")},
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _approved - _held),
        Transfer(Account.HOLD, Account.HOLD_CONTRA, _held),
    ),
    reads=(columns.SCHEME_TRANSACTION_ID,),
    continues=True,
    opposite="void",
    permission="recurring",
    risk=Risk.TAKES,
    samples=(
        {
            "payment": "recurring-8101",
            "amount_minor": "1990",
            "currency": "USD",
            "reference": "charge-8201",
        },
    ),
)
