"""Bank accounts by the rules of SEPA, as columns: check digits of IBANs and creditors.

Sources: ISO 13616 (IBAN) and its registry; EPC262-08 (creditor identifier, AT-02).
"""

from collections.abc import Callable

import polars as pl
from stdnum import iban
from stdnum.eu import at_02

IBAN_BRAND = "iban"  # what stands for a brand where the number is an IBAN
ACCOUNT_BRANDS = ("bank", IBAN_BRAND)


def iban_fails(numbers: pl.Expr) -> pl.Expr:
    """Tell which IBANs (String) have wrong check digits, or a form that their country has not."""
    return _fails(numbers, iban.is_valid)


def creditor_fails(numbers: pl.Expr) -> pl.Expr:
    """Tell which creditor identifiers (String) have wrong check digits."""
    return _fails(numbers, at_02.is_valid)


def _fails(numbers: pl.Expr, is_valid: Callable[[str], bool]) -> pl.Expr:
    def fails(column: pl.Series) -> pl.Series:
        wrong = {each: not is_valid(each) for each in column.drop_nulls().unique().to_list()}
        return pl.Series(column.name, map(wrong.get, column.to_list()), dtype=pl.Boolean)

    return numbers.map_batches(fails, return_dtype=pl.Boolean, is_elementwise=True)
