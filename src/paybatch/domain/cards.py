"""Card and routing numbers as columns: check digits, brands, masks.

Sources: ISO/IEC 7812-1 (Luhn check digit, issuer identification numbers); American Bankers
Association (routing number check digit).
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from paybatch.domain.few import FEW_ROWS

_LUHN_DIGITS = 19
_ROUTING_DIGITS = 9
_PLAIN = np.arange(10, dtype=np.uint8)
_DOUBLED = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], dtype=np.uint8)
# Place -> digit -> what it counts: every second place from the right is doubled.
_LUHN = np.array([_PLAIN if place % 2 == 0 else _DOUBLED for place in range(_LUHN_DIGITS)])
_ROUTING = np.array([_PLAIN * weight for weight in (3, 7, 1) * 3], dtype=np.uint8)
_ZERO = ord("0")
_FIRST_DIGITS = 6
_NONE = pl.Series([None], dtype=pl.String)

# First digits -> brand, as ranges of the first six digits; the first range that fits wins.
_BRANDS: tuple[tuple[int, int, str], ...] = (
    (400000, 499999, "visa"),
    (510000, 559999, "mastercard"),
    (222100, 272099, "mastercard"),
    (340000, 349999, "amex"),
    (370000, 379999, "amex"),
    (601100, 601199, "discover"),
    (644000, 659999, "discover"),
    (352800, 358999, "jcb"),
    (300000, 305999, "diners"),
    (309500, 309599, "diners"),
    (360000, 369999, "diners"),
    (380000, 399999, "diners"),
    (620000, 629999, "unionpay"),
    (810000, 817199, "unionpay"),
    (220000, 220499, "mir"),
    (500000, 509999, "maestro"),
    (560000, 599999, "maestro"),
    (600000, 699999, "maestro"),
)


def _digits(numbers: pl.Series, width: int) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
    """Give the digits of each number, right-aligned in ``width`` columns, zeros in front."""
    text = str(numbers.str.zfill(width).str.join("").item())
    cells = np.frombuffer(text.encode("ascii"), dtype=np.uint8).reshape(len(numbers), width)
    return cells - np.uint8(_ZERO)


def _wrong(numbers: pl.Series, width: int, weights: "np.ndarray[Any, Any]") -> pl.Series:
    """Tell which numbers have a weighted sum of digits that is not a multiple of ten.

    ``weights`` gives for each place and digit what the digit counts there.
    """
    if len(numbers) <= FEW_ROWS:
        wrong = [_is_wrong(number or "", width, weights) for number in numbers.to_list()]
        return pl.Series(numbers.name, wrong, dtype=pl.Boolean)
    whole = numbers.str.contains(rf"^[0-9]{{1,{width}}}$").fill_null(value=False)
    safe = numbers if whole.all() else numbers.zip_with(whole, pl.Series(["0"]))
    sums = weights[np.arange(width), _digits(safe, width)].sum(axis=1, dtype=np.uint16)
    return pl.Series(numbers.name, sums % 10 != 0) & whole


def _is_wrong(number: str, width: int, weights: "np.ndarray[Any, Any]") -> bool:
    if not (number.isascii() and number.isdigit() and len(number) <= width):
        return False
    digits = [int(digit) for digit in number.zfill(width)]
    return bool(sum(int(weights[place, digit]) for place, digit in enumerate(digits)) % 10)


def luhn_fails(numbers: pl.Series) -> pl.Series:
    """Tell which numbers (String, up to 19 digits) have a wrong check digit; null -> False."""
    return _wrong(numbers, _LUHN_DIGITS, _LUHN)


def routing_fails(numbers: pl.Series) -> pl.Series:
    """Tell which routing numbers (String, nine digits) have a wrong check digit; null -> False."""
    return _wrong(numbers, _ROUTING_DIGITS, _ROUTING)


def brands_of(numbers: pl.Series) -> pl.Series:
    """Tell the brand of card numbers from their first six digits; "other" where none is known.

    Null where a cell does not begin with six digits.
    """
    if len(numbers) <= FEW_ROWS:
        brands = [_brand(number) for number in numbers.to_list()]
        return pl.Series(numbers.name, brands, dtype=pl.String)
    first = numbers.str.slice(0, _FIRST_DIGITS)
    whole = first.str.contains(rf"^[0-9]{{{_FIRST_DIGITS}}}$").fill_null(value=False)
    issuers = first.zip_with(whole, _NONE).cast(pl.Int32)
    places = _STARTS.search_sorted(issuers.fill_null(0), side="right") - 1
    return _NAMES.gather(places).zip_with(whole, _NONE).alias(numbers.name)


def _brand(number: str | None) -> str | None:
    first = (number or "")[:_FIRST_DIGITS]
    if len(first) < _FIRST_DIGITS or not (first.isascii() and first.isdigit()):
        return None
    return next((name for low, high, name in _BRANDS if low <= int(first) <= high), "other")


def _segments() -> tuple[pl.Series, pl.Series]:
    """Cut the ranges of brands at each start and end: where each piece begins, and its brand."""
    starts = sorted({0, *(each for low, high, _ in _BRANDS for each in (low, high + 1))})
    names = [
        next((name for low, high, name in _BRANDS if low <= start <= high), "other")
        for start in starts
    ]
    return pl.Series(starts, dtype=pl.Int32), pl.Series(names, dtype=pl.String)


_STARTS, _NAMES = _segments()


def oldest_good_expiry(now: datetime) -> int:
    """Give the oldest expiry (YYMM) that is not past yet, somewhere on earth.

    A card is good to the last day of its month; the latest zone is 12 hours behind UTC.
    """
    return int(f"{now.astimezone(UTC) - timedelta(hours=12):%y%m}")
