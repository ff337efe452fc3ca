"""Authorize: reserve an amount on the payer's card, to be captured later.

When: goods are shipped later, or the final amount is not known yet. The amount is held, not
debited; a capture takes it, a void releases it. What nobody takes expires when its days are over.

With the ``capture_mode`` author_capture the clock captures it when ``capture_day`` days have
passed; with validation it expires when nobody captured it in so many days.

Sources: filebatch ``authorize``; Commerce Web Services ``Authorize``; OPPWA ``PA``.
"""

import polars as pl

from paybatch.domain import columns, interchange, timing
from paybatch.domain.banks import ACCOUNT_BRANDS
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment, held_if_challenged
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.reasons import Reason

_approved = pl.col("approved_minor")

KIND = Kind(
    name="authorize",
    title="Authorization",
    group="New payments",
    verb=Verb.AUTHORIZE,
    subject=Subject.NEW_PAYMENT,
    fields=columns.TAKING,
    amount=AmountRule.POSITIVE,
    faults=(
        *interchange.FAULTS,
        *timing.FAULTS,
        timing.NOT_AT_ONCE,
        Fault(
            Reason.VALUE_NOT_ALLOWED,
            "account_number",
            pl.col("account_number").is_not_null(),
        ),
        # A bank account that is named by its reference, or as a customer's means.
        Fault(
            Reason.VALUE_NOT_ALLOWED,
            "card_number",
            pl.col("found_brand").is_in(list(ACCOUNT_BRANDS)),
        ),
    ),
    effects=(
        NewPayment(state=held_if_challenged(), amounts={"authorized": _approved}),
        timing.put_off(),
    ),
    reads=(columns.PARTIAL_APPROVAL, *columns.TIMING),
    transfers=(Transfer(Account.HOLD, Account.HOLD_CONTRA, _approved),),
    opposite="void",
    permission="authorize",
    risk=Risk.TAKES,
    samples=(
        {
            "amount_minor": "5000",
            "currency": "USD",
            "card_number": "5555555555554444",
            "card_expiry": "11/39",
            "reference": "order-2001",
        },
        {
            "amount_minor": "6400",
            "currency": "USD",
            "card_number": "4111111111111111",
            "card_expiry": "12/39",
            "reference": "order-2002",
            "capture_mode": "author_capture",
            "capture_day": "3",
            "partial_approval": "not_allowed",
        },
    ),
)
