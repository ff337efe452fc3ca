"""Recurring payments: their dates and amounts, and the rules of the rows that say so.

A date is counted from the start, never from the date before: what begins on a 31st is due on the
28th of February and on the 31st of March.

Source: ConnPay Create Recurring Payments (amount, amount-from and amount-to, amount-sequence).
"""

import polars as pl

from paybatch.domain import money
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.declines import is_hard, stops_agreement
from paybatch.domain.effects import Fact, NewPayment, Record
from paybatch.domain.kind import Fault
from paybatch.domain.money import currency_exponents
from paybatch.domain.reasons import Reason

ATTEMPTS = 3  # of a charge, where a row does not say how many
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "year": 12}
_PAYER = (
    *("billing_first_name", "billing_last_name", "billing_address_line_1", "billing_city"),
    *("billing_state", "billing_postal_code", "billing_country", "billing_phone", "email"),
    "customer_ip",
)


def date_of(number: pl.Expr) -> pl.Expr:
    """Give a due date of ``start_on, period, every``; the start has the number 0."""
    steps = (number * pl.col("every")).cast(pl.String)
    units = pl.col("period").replace_strict({"day": "d", "week": "w", "month": "mo", "year": "y"})
    return pl.col("start_on").dt.offset_by(steps + units)


def number_by(day: pl.Expr) -> pl.Expr:
    """Give the number of the newest due date up to a day; negative where there is none."""
    start, every = pl.col("start_on"), pl.col("every").cast(pl.Int64)
    days = (day - start).dt.total_days()
    months = (day.dt.year() - start.dt.year()).cast(pl.Int64) * 12 + (
        day.dt.month().cast(pl.Int64) - start.dt.month().cast(pl.Int64)
    )
    unit = pl.col("period")
    by_days = days // (every * unit.replace_strict(_DAYS, default=1, return_dtype=pl.Int64))
    about = months // (every * unit.replace_strict(_MONTHS, default=1, return_dtype=pl.Int64))
    by_months = about - (date_of(about) > day).cast(pl.Int64)
    return pl.when(unit.is_in(list(_DAYS))).then(by_days).otherwise(by_months)


_FIXED = pl.col("amount_minor").is_not_null() | pl.col("amount").is_not_null()
_FROM, _TO, _SEQUENCE = pl.col("amount_from"), pl.col("amount_to"), pl.col("amount_sequence")
_HAS_RANGE = _FROM.is_not_null() | _TO.is_not_null()
_WAYS = pl.sum_horizontal(
    each.cast(pl.Int8) for each in (_FIXED, _HAS_RANGE, _SEQUENCE.is_not_null())
)
_NAMES = ("amount_from", "amount_to", "amount_sequence")


def _minor(amount: pl.Expr) -> pl.Expr:
    return money.minor_from_decimal(amount, pl.col("exponent"))


def _sequence_fits() -> pl.Expr:
    """Tell where every amount of a sequence has exactly the currency's digits."""
    fits = pl.lit(value=False)
    for digits in sorted(set(currency_exponents().values())):
        one = rf"[0-9]+\.[0-9]{{{digits}}}" if digits else "[0-9]+"
        own, whole = pl.col("exponent") == digits, f"^{one}(?:[;,]{one})*$"
        fits = pl.when(own).then(_SEQUENCE.str.contains(whole)).otherwise(fits)
    return fits


ALWAYS = Fault(Reason.AMOUNT_MISSING, "amount_minor", _WAYS == 0)
AMOUNT_FAULTS = (
    Fault(Reason.AMOUNT_TWICE, "amount_minor", _WAYS > 1, about=_NAMES),
    Fault(
        Reason.CURRENCY_MISSING,
        "currency",
        (_HAS_RANGE | _SEQUENCE.is_not_null()) & pl.col("currency_code").is_null(),
        about=_NAMES,
    ),
    Fault(
        Reason.RANGE_WRONG,
        "amount_from",
        _HAS_RANGE & (_FROM.is_null() | _TO.is_null() | (_minor(_FROM) > _minor(_TO))),
        about=("amount_from", "amount_to"),
    ),
    *(
        Fault(
            Reason.AMOUNT_NOT_DECIMAL,
            name,
            pl.col(name).is_not_null() & _minor(pl.col(name)).is_null(),
            about=(name,),
        )
        for name in ("amount_from", "amount_to")
    ),
    Fault(Reason.AMOUNT_ZERO, "amount_from", _minor(_FROM) == 0, about=("amount_from",)),
    Fault(
        Reason.AMOUNT_NOT_DECIMAL,
        "amount_sequence",
        pl.col("exponent").is_not_null() & ~_sequence_fits(),
        about=("amount_sequence",),
    ),
    Fault(
        Reason.AMOUNT_ZERO,
        "amount_sequence",
        _SEQUENCE.str.contains(r"(?:^|[;,])0+(?:\.0+)?(?:$|[;,])"),
        about=("amount_sequence",),
    ),
)


def amounts() -> dict[str, pl.Expr]:
    """Give the amounts of a row's terms as the tables keep them (minor units)."""
    exponent = pl.col("currency").replace_strict(
        currency_exponents(), default=None, return_dtype=pl.Int32
    )
    lowest = money.minor_from_decimal(_FROM, exponent)
    listed = _SEQUENCE.str.replace_all(".", "", literal=True).str.replace_all(";", ",")
    return {
        "amount_minor": pl.coalesce("requested_minor", lowest),
        "amount_to_minor": money.minor_from_decimal(_TO, exponent),
        "amounts": pl.lit("{") + listed + pl.lit("}"),
    }


def payer() -> Record:
    """Give the effect that keeps who pays, where a row says so."""
    values = {name: pl.col(name) for name in _PAYER}
    said = pl.any_horizontal(pl.col(name).is_not_null() for name in _PAYER)
    return Record(fact=Fact.RECURRING_PAYER, values=values, when=said, about=_PAYER)


def after_decline() -> pl.Expr:
    """Give the state of a recurring payment of which a charge was declined; null = as before."""
    response = pl.col("declined_for")
    return (
        pl.when(stops_agreement(response))
        .then(pl.lit("recurring_stopped"))
        .when(is_hard(response))
        .then(pl.lit("recurring_failed"))
    )


def not_active(_: Capabilities) -> tuple[Fault, ...]:
    """Give the refusals of what is not charged now."""
    status, ended = pl.col("status"), ["recurring_stopped", "recurring_finished"]
    return (
        Fault(Reason.RECURRING_OVER, "payment", status.is_in(ended)),
        Fault(Reason.RECURRING_PAUSED, "payment", status == "recurring_paused"),
        Fault(Reason.CARD_USED_UP, "payment", status == "recurring_failed"),
    )


def by_merchant(_: Capabilities) -> dict[str, pl.Expr]:
    """Give what every charge is, whatever its row says: the merchant starts it, in a series."""
    return {"initiator": pl.lit("merchant"), "pattern": pl.lit("recurring")}


def new(is_payout: pl.Expr) -> NewPayment:
    """Give the effect that makes a recurring payment."""
    return NewPayment(
        state=pl.lit("recurring_active"),
        amounts={"authorized": pl.lit(0, pl.Int64)},
        is_payout=is_payout,
    )
