"""Recurring update: change the card, the payer or the amounts of a recurring payment, or end it.

When: the payer has a new card or address, the price changes, or the charges are to rest. Nothing is
charged while it is paused, and what was due meanwhile is not charged later. After a card was
declined for good the recurring payment has failed; another card, or a new expiry of it, lets it go
on with the next due date. A sequence of amounts begins anew. Stopped is stopped for ever.

Source: ConnPay Update Recurring Payments.
"""

import polars as pl

from paybatch.domain import columns, payment, recurring, terms
from paybatch.domain.banks import ACCOUNT_BRANDS
from paybatch.domain.effects import ChangeMeans, ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.reasons import Reason

_card, _action, _state = pl.col("number_id"), pl.col("action"), pl.col("state")
_means = (columns.CARD_NUMBER, columns.CARD_EXPIRY, columns.CARD_REFERENCE)
_is_given = pl.col("card_number").is_not_null() | pl.col("card_reference").is_not_null()
_no_expiry = pl.col("expiry").is_null() & pl.col("card_expiry").is_null()
_is_other = (
    _card.is_not_null()
    & (
        (_card != pl.col("payment_number_id"))
        | pl.col("expiry").ne_missing(pl.col("payment_expiry"))
    )
).fill_null(value=False)
_mends = (_state == "recurring_failed") & _is_other
_resumes = ((_action == "resume") & (_state == "recurring_paused")).fill_null(value=False)
_is_back = _resumes | _mends
_goes_on = _action.is_in(["pause", "resume"]).fill_null(value=False)
_ended = ["recurring_stopped", "recurring_finished"]

KIND = Kind(
    name="recurring_update",
    title="Change of a recurring payment",
    group="Recurring payments",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(
        *(*columns.ADDRESS, *terms.AMOUNT_TERMS, columns.PAYMENT, *_means, columns.CARD_CVV),
        *(terms.RECURRING_ACTION, *terms.PAYER, columns.DESCRIPTION),
    ),
    required=frozenset({"payment"}),
    amount=AmountRule.TERMS,
    faults=(
        *recurring.AMOUNT_FAULTS,
        Fault(
            Reason.CARD_NEEDED, "card_reference", pl.col("found_brand").is_in(list(ACCOUNT_BRANDS))
        ),
        Fault(
            Reason.MEANS_SEVERAL,
            "card_number",
            pl.col("card_number").is_not_null() & pl.col("card_reference").is_not_null(),
        ),
        Fault(Reason.MEANS_INCOMPLETE, "card_expiry", _is_given & _no_expiry),
        Fault(
            Reason.MEANS_INCOMPLETE, "card_number", pl.col("card_expiry").is_not_null() & ~_is_given
        ),
    ),
    statuses=lambda _: payment.OPEN_RECURRING,
    refusals=lambda _: (
        Fault(Reason.RECURRING_OVER, "payment", pl.col("status").is_in(_ended)),
        Fault(
            Reason.CARD_USED_UP,
            "payment",
            (_state == "recurring_failed") & ~_is_other & (_card.is_not_null() | _goes_on),
        ),
    ),
    effects=(
        ChangePayment(
            state=pl.when(_action == "stop")
            .then(pl.lit("recurring_stopped"))
            .when(_action == "finish")
            .then(pl.lit("recurring_finished"))
            .when(_action == "pause")
            .then(pl.lit("recurring_paused"))
            .when(_is_back)
            .then(pl.lit("recurring_active"))
        ),
        ChangeMeans(),
        Record(
            fact=Fact.RECURRING_CHANGE,
            values={**recurring.amounts(), "is_back": _is_back},
        ),
        recurring.payer(),
    ),
    reads=(
        *(terms.AMOUNT_FROM, terms.AMOUNT_TO, terms.AMOUNT_SEQUENCE),
        *(terms.RECURRING_ACTION, *terms.PAYER),
    ),
    allows_more=True,
    opposite=None,
    permission="recurring",
    risk=Risk.MARK,
    samples=(
        {"payment": "recurring-8101", "amount_minor": "2490", "currency": "USD"},
        {
            "payment": "recurring-8101",
            "card_number": "5555555555554444",
            "card_expiry": "11/39",
            "billing_postal_code": "10115",
        },
        {"payment": "recurring-8101", "action": "stop"},
    ),
)
