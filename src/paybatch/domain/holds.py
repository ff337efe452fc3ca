"""Holds: until when an authorization holds its amount, by brand and gate.

Sources: Commerce Web Services (American Express: 30 days, no reversal); ConnPay (about 7 days for
debit cards, 28 for credit cards; which of the two a card is, its brand tells of Maestro only).
"""

import polars as pl

from paybatch.domain.capabilities import Capabilities
from paybatch.domain.text import filled


def ends_on(capabilities: Capabilities) -> pl.Expr:
    """Give the day (Date) on which the hold of a payment ends, over the payment's columns."""
    told = capabilities.days_by_brand
    days = pl.lit(told["other"])
    for brand in sorted(told.keys() - {"other"}):
        days = pl.when(pl.col("payment_brand") == brand).then(told[brand]).otherwise(days)
    return pl.col("payment_day") + pl.duration(days=days)


def rolls_off(capabilities: Capabilities) -> dict[str, pl.Expr]:
    """Give ``rolls_off_on``: until when a hold that nobody reverses lasts; null for others."""
    irreversible = is_irreversible(capabilities)
    return {"rolls_off_on": pl.when(irreversible).then(ends_on(capabilities))}


def told_closed() -> pl.Expr:
    """Say of rows that closed a hold with us (``closed_minor``) when the issuer lets go of it."""
    is_closed = (pl.col("closed_minor") > 0) & pl.col("rolls_off_on").is_not_null()
    return pl.when(is_closed).then(
        filled(
            "closed with us; this brand takes no reversal: its hold rolls off by {}",
            pl.col("rolls_off_on").dt.to_string("%Y-%m-%d"),
        )
    )


def is_irreversible(capabilities: Capabilities, brand: str = "payment_brand") -> pl.Expr:
    """Tell whose authorization the processor does not reverse."""
    return pl.col(brand).is_in(sorted(capabilities.no_reversal_brands)).fill_null(value=False)
