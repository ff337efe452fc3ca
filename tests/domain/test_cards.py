"""Numbers: brands at both ends of their ranges, check digits, one by one and in columns."""

import polars as pl
import pytest

from paybatch.domain.cards import brands_of, luhn_fails, routing_fails
from paybatch.domain.few import FEW_ROWS

# The first six digits at each end of each range, and what stands just outside of it.
ENDS = {
    "visa": ("400000", "499999"),
    "mastercard": ("510000", "559999", "222100", "272099"),
    "amex": ("340000", "349999", "370000", "379999"),
    "discover": ("601100", "601199", "644000", "649999", "650000", "659999"),
    "jcb": ("352800", "358999"),
    "diners": ("300000", "305999", "309500", "309599", "360000", "369999", "380000", "399999"),
    "unionpay": ("620000", "629999", "810000", "817199"),
    "mir": ("220000", "220499"),
    "maestro": (
        *("500000", "509999", "560000", "589999", "599999", "600000", "601099", "601200"),
        *("619999", "630000", "643999", "660000", "699999"),
    ),
    "other": (
        *("000000", "100000", "219999", "220500", "222099", "272100", "299999", "306000", "309499"),
        *("309600", "339999", "350000", "352799", "359000", "700000", "809999", "817200", "999999"),
    ),
}
# Number -> brand; 4217651111111119 and its like are published test cards.
CARDS = {
    "4111111111111111": "visa",
    "4217651111111119": "visa",
    "5555555555554444": "mastercard",
    "2223000048400011": "mastercard",
    "378282246310005": "amex",
    "341111111111111": "amex",
    "6011111111111117": "discover",
    "3530111333300000": "jcb",
    "30569309025904": "diners",
    "38520000023237": "diners",
    "6200000000000005": "unionpay",
    "2200000000000004": "mir",
    "6759649826438453": "maestro",
}
MANY = FEW_ROWS + 1  # a column that is not few goes another way


def brands(numbers: list[str | None], times: int) -> list[str | None]:
    """Tell the brands of numbers that stand so many times in a column."""
    found = brands_of(pl.Series(numbers * times, dtype=pl.String)).to_list()
    assert found == found[: len(numbers)] * times
    return found[: len(numbers)]


@pytest.mark.parametrize("times", [1, MANY])
@pytest.mark.parametrize("brand", ENDS)
def test_a_range_goes_from_end_to_end(brand: str, times: int) -> None:
    told = dict(
        zip(ENDS[brand], brands([each + "0" * 10 for each in ENDS[brand]], times), strict=True)
    )
    assert told == dict.fromkeys(ENDS[brand], brand)


@pytest.mark.parametrize("times", [1, MANY])
def test_cards_have_their_brand(times: int) -> None:
    assert brands(list(CARDS), times) == list(CARDS.values())
    assert brands([None, "", "41111", "4111x1", "\u0664" * 6, "411111"], times) == [
        *[None] * 5,
        "visa",
    ]


@pytest.mark.parametrize("times", [1, MANY])
def test_check_digits(times: int) -> None:
    numbers = pl.Series(list(CARDS) * times)
    assert not luhn_fails(numbers).any()
    for change in (1, 5, 9):
        last = numbers.str.slice(-1).cast(pl.Int64)
        wrong = numbers.str.head(-1) + ((last + change) % 10).cast(pl.String)
        assert luhn_fails(wrong).all()
    swapped = pl.Series(["4111111111111111", "1411111111111111", None, "x", "4" * 20] * times)
    assert luhn_fails(swapped).to_list() == [False, True, False, False, False] * times


@pytest.mark.parametrize("times", [1, MANY])
def test_routing_digits(times: int) -> None:
    numbers = ["021000021", "011401533", "091000019", "021000022", "012000021", None, "0210000210"]
    wrong = [False, False, False, True, True, False, False]
    assert routing_fails(pl.Series(numbers * times)).to_list() == wrong * times
