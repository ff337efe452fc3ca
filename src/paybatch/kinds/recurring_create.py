"""Recurring create: a card is to be charged, or paid, again and again.

When: a payer agreed to regular charges. The card is the row's, one that we hold, or that of an
earlier payment; its charges carry the scheme's id of the first payment (`scheme_transaction_id`),
which is that of the earlier payment's row where this one gives none. The first charge is made on
`start_on`, the others each `period` after it, in the gate's zone: what starts on a 31st is due on
the last day of a shorter month. A start that is over charges its newest date at once. The amount is
fixed, drawn anew between two, or the next of a sequence. It ends with `finish_on`, after
`finish_count` dates, or with the sequence. The clock makes the charges (`recurring_charge`); what
is declined softly is tried again on the next day, as often as `attempts` says.

It stands with the payments, without amounts; its id or `reference` names it.

Source: ConnPay Create Recurring Payments.
"""

import polars as pl

from paybatch.domain import card_subject, columns, payment, recurring, terms
from paybatch.domain.effects import Fact, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_is_paid = (pl.col("card_side") == "DST").fill_null(value=False)
_start = pl.coalesce(pl.col("start_on"), pl.col("business_day").str.to_date("%Y-%m-%d"))
_days = {name: pl.col(name).str.to_date(strict=False) for name in ("start_on", "finish_on")}

KIND = Kind(
    name="recurring_create",
    title="New recurring payment",
    group="Recurring payments",
    verb=None,
    subject=Subject.NEW_FROM_PAYMENT_OR_MEANS,
    fields=(
        *(*columns.ADDRESS, *terms.AMOUNT_TERMS, *columns.CARD, columns.CARD_CVV),
        *(terms.CARD_SIDE, terms.PERIOD, terms.EVERY, terms.START_ON, terms.FINISH_ON),
        *(terms.FINISH_COUNT, terms.ATTEMPTS, columns.SCHEME_TRANSACTION_ID, *terms.PAYER),
        columns.DESCRIPTION,
    ),
    required=frozenset({"period"}),
    amount=AmountRule.TERMS,
    faults=(
        *card_subject.card_faults(columns.CARD, needs_expiry=~_is_paid),
        recurring.ALWAYS,
        *recurring.AMOUNT_FAULTS,
        Fault(
            Reason.FINISH_BEFORE_START,
            "finish_on",
            _days["finish_on"] < _days["start_on"],
            about=("finish_on",),
        ),
    ),
    statuses=lambda _: payment.GOOD | {Status.VERIFIED},
    refusals=card_subject.card_refusals,
    effects=(
        recurring.new(_is_paid),
        Record(
            fact=Fact.RECURRING,
            values={
                "source_id": pl.when(pl.col("source_id") != pl.col("id")).then("source_id"),
                **recurring.amounts(),
                "period": pl.col("period"),
                "every": pl.col("every").fill_null(1),
                "start_on": _start,
                "finish_on": pl.col("finish_on"),
                "finish_count": pl.col("finish_count"),
                "attempts": pl.col("attempts").fill_null(recurring.ATTEMPTS),
                "scheme_transaction_id": pl.col("scheme_transaction_id"),
                "next_on": _start,
            },
        ),
        recurring.payer(),
    ),
    reads=(
        *(terms.AMOUNT_FROM, terms.AMOUNT_TO, terms.AMOUNT_SEQUENCE, terms.CARD_SIDE),
        *(terms.PERIOD, terms.EVERY, terms.START_ON, terms.FINISH_ON, terms.FINISH_COUNT),
        *(terms.ATTEMPTS, columns.SCHEME_TRANSACTION_ID, *terms.PAYER),
    ),
    continues=True,
    opposite=None,
    permission="recurring",
    risk=Risk.MARK,
    samples=(
        {
            "amount_minor": "1990",
            "currency": "USD",
            "card_number": "4111111111111111",
            "card_expiry": "12/39",
            "period": "month",
            "start_on": "2039-01-31",
            "reference": "recurring-8101",
        },
        {
            "amount_minor": "5000",
            "currency": "USD",
            "card_number": "5555555555554444",
            "card_expiry": "11/39",
            "card_side": "DST",
            "period": "week",
            "every": "2",
            "start_on": "2039-01-07",
            "finish_count": "12",
            "reference": "recurring-8102",
        },
        {
            "payment": "order-1001",
            "amount_sequence": "10.00;20.00;30.00",
            "currency": "USD",
            "period": "month",
            "start_on": "2039-02-01",
            "scheme_transaction_id": "MCC4711",
            "reference": "recurring-8103",
        },
    ),
)
