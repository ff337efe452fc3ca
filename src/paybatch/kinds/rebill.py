"""Rebill: debit the means of an earlier good debit again, as a new payment.

When: goods are added to an order, or a chargeback is to be collected again. The earlier payment is
left as it is; the new one stands for itself and can be refunded.

One that the merchant starts in a series is sent with the scheme's id of the earlier payment, unless
the row gives one.

Sources: OPPWA ``RB``.
"""

import polars as pl

from paybatch.domain import columns, interchange
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment, held_if_challenged, is_challenged
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status

_approved = pl.col("approved_minor")
_held = pl.when(is_challenged()).then(_approved).otherwise(0)
_good = frozenset(
    {
        Status.CAPTURED,
        Status.SETTLED,
        Status.PARTIALLY_REFUNDED,
        Status.REFUNDED,
        Status.CHARGED_BACK,
        Status.RETURNED,
    }
)

KIND = Kind(
    name="rebill",
    title="Rebill",
    group="New payments",
    verb=Verb.SALE,
    subject=Subject.NEW_FROM_PAYMENT,
    fields=(*columns.FOLLOW_UP, *columns.SERIES),
    required=frozenset({"payment"}),
    amount=AmountRule.POSITIVE,
    faults=interchange.CHAINED_FAULTS,
    refusals=interchange.no_scheme_id,
    statuses=lambda _: _good,
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
            "payment": "order-1001",
            "amount_minor": "400",
            "currency": "USD",
            "reference": "rebill-6001",
        },
    ),
)
