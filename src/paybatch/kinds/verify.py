"""Verify: ask whether a card is good, without holding or taking money.

When: before a card is kept for later. Visa and Mastercard take an authorization of zero; American
Express and Discover do not (Commerce Web Services, implementation notes on Authorize).

Sources: Commerce Web Services ``Verify``; ConnPay account verification.
"""

import polars as pl

from paybatch.domain import columns, interchange
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.reasons import Reason

KIND = Kind(
    name="verify",
    title="Verification",
    group="New payments",
    verb=Verb.VERIFY,
    subject=Subject.NEW_PAYMENT,
    fields=(*columns.NEW_PAYMENT, *columns.SERIES),
    amount=AmountRule.ZERO,
    faults=(
        *interchange.SERIES_FAULTS,
        Fault(
            Reason.VALUE_NOT_ALLOWED,
            "account_number",
            pl.col("account_number").is_not_null(),
        ),
        Fault(
            Reason.ZERO_NOT_AT_BRAND,
            "card_number",
            pl.col("brand").is_not_null() & ~pl.col("zero_brands").list.contains(pl.col("brand")),
        ),
    ),
    effects=(NewPayment(state=pl.lit("verified"), amounts={"authorized": pl.lit(0, pl.Int64)}),),
    opposite=None,
    permission="verify",
    risk=Risk.MARK,
    samples=(
        {
            "currency": "USD",
            "card_number": "4111111111111111",
            "card_expiry": "12/39",
            "reference": "verify-4001",
        },
    ),
)
