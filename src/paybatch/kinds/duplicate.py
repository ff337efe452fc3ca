"""Duplicate: a new payment with the means of an earlier one, whatever became of that.

When: an order that was declined, has expired or was voided is tried again without asking the payer
for the card, or the next order of the same payer comes. The source may itself be a duplicate. It
may be another merchant's (`source_merchant`) where the sender acts for both; then it is one that
was there before this file, and the new payment is the row's merchant's.

One that the merchant starts in a series is sent with the scheme's id of the earlier payment, unless
the row gives one.

Sources: Sips ``duplicate``.
"""

import polars as pl

from paybatch.domain import columns, interchange, payment
from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment, held_if_challenged, is_challenged
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_approved = pl.col("approved_minor")
_no_source = pl.col("payment").is_null() & pl.col("source_merchant").is_null()
_transfers = frozenset({Status.TRANSFER_PENDING, Status.SENT, Status.RECEIVED})
_with_means = payment.KNOWN - payment.MANDATES - payment.RECURRING - _transfers
_held = pl.when(is_challenged()).then(_approved).otherwise(0)

KIND = Kind(
    name="duplicate",
    title="Duplication",
    group="New payments",
    verb=Verb.SALE,
    subject=Subject.NEW_FROM_PAYMENT_OR_MEANS,
    fields=(*columns.FOLLOW_UP, columns.SOURCE_MERCHANT, *columns.SERIES),
    amount=AmountRule.POSITIVE,
    faults=(Fault(Reason.VALUE_MISSING, "payment", _no_source), *interchange.CHAINED_FAULTS),
    statuses=lambda _: _with_means,
    refusals=lambda capabilities: (
        Fault(Reason.MANDATE_NEEDED, "payment", pl.col("payment_brand") == IBAN_BRAND),
        *interchange.no_scheme_id(capabilities),
    ),
    effects=(
        NewPayment(
            state=held_if_challenged(),
            amounts={"authorized": _approved, "captured": _approved - _held},
        ),
    ),
    reads=columns.SERIES,
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _approved - _held),
        Transfer(Account.HOLD, Account.HOLD_CONTRA, _held),
    ),
    opposite="reverse",
    undone="voided before settlement, refunded after it",
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
