"""Mandate: keep that a payer lets a creditor collect from a bank account (SEPA direct debit).

When: the payer has signed it. It is for one debit (`OOFF`) or for several (`RCUR`), which is the
default. A `direct_debit` names it as its `payment`, by its id or by the `reference` of this row.
It stands with the payments, without amounts; its status says what may be collected with it.

Sources: Sips mandates; EPC016-06 (SEPA core direct debit, mandate).
"""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.effects import Fact, NewPayment, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.reasons import Reason

_is_for_one = pl.col("mandate_type") == "OOFF"

KIND = Kind(
    name="mandate",
    title="Mandate",
    group="Direct debits",
    verb=None,
    subject=Subject.NEW_PAYMENT,
    fields=(
        *(*columns.ADDRESS, columns.CURRENCY, columns.IBAN, columns.CARD_REFERENCE, columns.BIC),
        *(columns.CREDITOR_ID, columns.MANDATE_TYPE, columns.SIGNED_ON, columns.DESCRIPTION),
    ),
    required=frozenset({"reference", "creditor_id", "signed_on"}),
    amount=AmountRule.NONE,
    faults=(
        Fault(
            Reason.IBAN_NEEDED,
            "iban",
            pl.col("iban").is_null() & pl.col("card_reference").is_null(),
        ),
        Fault(Reason.IBAN_NEEDED, "card_reference", pl.col("found_brand") != IBAN_BRAND),
    ),
    effects=(
        NewPayment(
            state=pl.when(_is_for_one)
            .then(pl.lit("mandate_once"))
            .otherwise(pl.lit("mandate_open")),
            amounts={"authorized": pl.lit(0, pl.Int64)},
        ),
        Record(
            fact=Fact.MANDATE,
            values={
                "creditor_id": pl.col("creditor_id"),
                "bic": pl.col("bic"),
                "mandate_type": pl.col("mandate_type").fill_null("RCUR"),
                "signed_on": pl.col("signed_on"),
            },
        ),
    ),
    reads=(columns.CREDITOR_ID, columns.BIC, columns.MANDATE_TYPE, columns.SIGNED_ON),
    opposite="mandate_cancel",
    permission="mandate",
    risk=Risk.MARK,
    samples=(
        {
            "currency": "USD",
            "iban": "DE89370400440532013000",
            "bic": "COBADEFFXXX",
            "creditor_id": "DE98ZZZ09999999999",
            "mandate_type": "RCUR",
            "signed_on": "2026-11-01",
            "reference": "mandate-7101",
        },
    ),
)
