"""Sale: take an amount from a payer at once (authorization and capture in one step).

When: the goods are ready or the service is rendered. The amount is authorized and captured; it is
settled with the gate's next close of day. A processor may approve less than was asked for. A sale
that the fraud score holds is captured when it is accepted (`accept_challenge`).

With the ``capture_mode`` author_capture it is authorized now and captured by the clock when
``capture_day`` days have passed; with validation it waits for a `capture`, and expires.

Sources: filebatch ``sale``; Commerce Web Services ``AuthorizeAndCapture``; OPPWA ``DB``.
"""

import polars as pl

from paybatch.domain import columns, interchange, timing
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment, held_if_challenged, is_challenged
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer

_approved = pl.col("approved_minor")
_held = pl.when(is_challenged()).then(_approved).otherwise(0)

KIND = Kind(
    name="sale",
    title="Sale",
    group="New payments",
    verb=Verb.SALE,
    subject=Subject.NEW_PAYMENT,
    fields=columns.TAKING,
    amount=AmountRule.POSITIVE,
    faults=(*interchange.FAULTS, *timing.FAULTS),
    effects=(
        NewPayment(
            state=held_if_challenged(),
            amounts={"authorized": _approved, "captured": _approved - _held},
        ),
    ),
    reads=(columns.PARTIAL_APPROVAL, *columns.TIMING),
    stands_for=lambda _: {"authorize": timing.is_held()},
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
            "amount_minor": "1250",
            "currency": "USD",
            "card_number": "4111111111111111",
            "card_expiry": "12/39",
            "reference": "order-1001",
        },
        {
            "amount_minor": "9900",
            "currency": "USD",
            "account_number": "1234567890",
            "routing_number": "021000021",
            "account_type": "checking",
            "sec_code": "WEB",
            "reference": "order-1002",
        },
        {
            "amount_minor": "3300",
            "currency": "USD",
            "card_number": "4000000000000119",
            "card_expiry": "12/39",
            "reference": "order-5001",
        },
        {
            "amount_minor": "2500",
            "currency": "USD",
            "card_number": "4111111111111111",
            "card_expiry": "12/39",
            "reference": "order-1003",
            "initiator": "merchant",
            "pattern": "instalment",
            "instalment_number": "2",
            "instalment_count": "4",
            "scheme_transaction_id": "MCC4711",
            "po_number": "PO-77",
            "customer_code": "C-12",
            "line_items": (
                '[{"amount_minor":2500,"quantity":5,"unit_price_minor":500,"tax_included":true}]'
            ),
        },
    ),
)
