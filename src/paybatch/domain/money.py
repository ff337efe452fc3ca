"""Money: integer minor units of an ISO 4217 currency, with its real exponent. No floats, ever.

Source: ISO 4217 (package ``iso4217``, which carries the published table); the length of an amount
is that of ISO 8583 field 4: twelve digits.
"""

from functools import cache

import polars as pl
from iso4217 import Currency

from paybatch.domain.few import chosen

AMOUNT_DIGITS_MAX = 12
AMOUNT_MAX_MINOR = 10**AMOUNT_DIGITS_MAX - 1
_DECIMAL = r"^[0-9]+(?:\.[0-9]+)?$"


@cache
def currency_exponents() -> dict[str, int]:
    """Code of each currency with a minor unit -> its number of decimal digits (JPY 0, KWD 3)."""
    return {each.code: each.exponent for each in Currency if each.exponent is not None}


def exponents_of(currencies: pl.Series) -> pl.Series:
    """Give the decimal digits (Int32) of each currency code; null where it is unknown."""
    return chosen(currencies, currency_exponents(), pl.Int32())


def minor_from_decimal(amount: pl.Expr, exponent: pl.Expr) -> pl.Expr:
    """Turn text such as ``12.50`` into minor units (Int64); null unless the digits fit exactly.

    ``exponent`` is a column of decimal digits. ``12.5`` in a currency of two digits is null: an
    amount with fewer or more digits than its currency is never guessed at.
    """
    digits = amount.str.replace(".", "", literal=True)
    found = pl.when(amount.str.contains(".", literal=True)).then(
        amount.str.len_chars().cast(pl.Int32)
        - amount.str.find(".", literal=True).cast(pl.Int32)
        - 1,
    )
    fits = (found.otherwise(0) == exponent) & amount.str.contains(_DECIMAL)
    return pl.when(fits).then(digits.cast(pl.Int64, strict=False))


def decimal_text(amount_minor: int, currency: str) -> str:
    """Write minor units for people: ``decimal_text(1250, "EUR")`` is ``'12.50'``."""
    exponent = currency_exponents()[currency]
    if exponent == 0:
        return f"{amount_minor:,}"
    sign = "-" if amount_minor < 0 else ""
    whole, rest = divmod(abs(amount_minor), 10**exponent)
    return f"{sign}{whole:,}.{rest:0{exponent}d}"
