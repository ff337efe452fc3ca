"""Duplicate: a new payment with the means of an earlier one, whatever became of that.

When: an order that was declined, has expired or was voided is tried again without asking the payer
for the card, or the next order of the same payer comes. The source may itself be a duplicate.

One that the merchant starts in a series is sent with the scheme's id of the earlier payment, unless
the row gives one.

Sources: Sips ``duplicate``.
"""

import polars as pl

from paybatch.domain import columns, interchange, payment
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment, is_challenged
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status

_approved = pl.col("approved_minor")
_transfers = frozenset({Status.TRANSFER_PENDING, Status.SENT, Status.RECEIVED})
_with_means = payment.KNOWN - payment.MANDATES - _transfers
_held = pl.when(is_challenged()).then(_approved).otherwise(0)

KIND = Kind(
    name="duplicate",
    title="Duplication",
    group="New payments",
    verb=Verb.SALE,
    subject=Subject.NEW_FROM_PAYMENT,
    fields=(*columns.FOLLOW_UP, *columns.SERIES),
    required=frozenset({"payment"}),
    amount=AmountRule.POSITIVE,
    faults=interchange.CHAINED_FAULTS,
    refusals=interchange.no_scheme_id,
    statuses=lambda _: _with_means,
    effects=(NewPayment(amounts={"authorized": _approved, "captured": _approved - _held}),),
    reads=columns.SERIES,
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _approved - _held),
        Transfer(Account.HOLD, Account.HOLD_CONTRA, _held),
    ),
    opposite="void",
    permission="sale",
    risk=Risk.TAKES,
    samples=(
        {
            "payment": "order-2001",
            "amount_minor": "400",
            "currency": "USD",
            "reference": "duplicate-7001",
        },
    ),
)
