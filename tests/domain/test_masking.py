"""No valid card number survives a mask, whatever stands around it; other text is not touched."""

import io
import json
import re

import polars as pl
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from paybatch.domain.masking import (
    mask_account,
    mask_cells,
    mask_digits,
    mask_event,
    mask_number,
    mask_text,
    mask_wrong,
)

MASKED = """
4111111111111111                     | 411111******1111
2221000000000009                     | 222100******0009
4222222222222                        | 422222***2222
6304000000000000000                  | 630400*********0000
4111 1111 1111 1111                  | 4111 11** **** 1111
3782-822463-10005                    | 3782-82****-*0005
4111\u00a01111\u00a01111\u00a01111   | 4111\u00a011**\u00a0****\u00a01111
PAN4111111111111111x                 | PAN411111******1111x
4111111111111111,5555555555554444    | 411111******1111,555555******4444
4111111111111111 5555555555554444    | 411111******1111 555555******4444
1 4111 1111 1111 1111                | 1 4111 11** **** 1111
2024-4111111111111111                | 2024-411111******1111
4111 1111 1111 1111 exp 12/27        | 4111 11** **** 1111 exp 12/27
234567 890123 4 4111 1111 1111 1111  | 234567 890123 4 4111 11** **** 1111
4111-111111111111-9-4111111111111111 | 4111-11******1111-9-411111******1111
"""

UNTOUCHED = """
order 123456789012
1706700000000
12345678901234567890123
41111111111111111111
4111111111111112
4111 1111 1111 1112
order 20261121035633123
550e8400-e29b-41d4-a716-446655440000
2024-01-31 12:34:56
4111.1111.1111.1111
4111  1111  1111  1111
"""


def _rows(table: str) -> list[list[str]]:
    return [[cell.strip(" ") for cell in line.split("|")] for line in table.strip().split("\n")]


@pytest.mark.parametrize(("text", "masked"), _rows(MASKED))
def test_card_numbers_are_hidden(text: str, masked: str) -> None:
    assert mask_text(text) == masked
    assert _cells([text, None, "x"]) == [masked, None, "x"]


@pytest.mark.parametrize("text", UNTOUCHED.strip().split("\n"))
def test_other_text_is_not_touched(text: str) -> None:
    assert mask_text(text) == text
    assert _cells([text]) == [text]


def test_of_order_numbers_only_one_in_ten_is_taken_for_a_card() -> None:
    orders: list[str | None] = [f"4{number:015d}" for number in range(1_000)]
    changed = [a != b for a, b in zip(orders, _cells(orders), strict=True)]
    assert sum(changed) == 100


WRONG = """
4111111111111112        | ************1112
4111 1111 1111 1112     | **** **** **** 1112
no 4111-1111-1111-1112. | no ****-****-****-1112.
4111111111111112 999    | **************** ***
411111111111            | ********1111
12345678901             | 12345678901
12345678901234567890    | ****************7890
"""


@pytest.mark.parametrize(("text", "masked"), _rows(WRONG))
def test_of_a_wrong_number_four_digits_are_shown(text: str, masked: str) -> None:
    frame = pl.DataFrame({"cell": [text, None, "x"]})
    shown = frame.select(mask_wrong(pl.col("cell")))["cell"]
    assert shown.to_list() == [masked, None, "x"]


def test_every_number_in_text_without_order_is_hidden() -> None:
    frame = pl.DataFrame({"cell": ["sale,41,999,4111111111111111,09/29"]})
    assert frame.select(mask_digits(pl.col("cell"))).item() == "sale,41,***,***,09/29"


def _cells(cells: list[str | None]) -> list[str | None]:
    frame = pl.DataFrame({"cell": cells}, schema={"cell": pl.String})
    masked = frame.select(mask_cells(pl.col("cell")))["cell"].to_list()
    assert frame["cell"].to_list() == cells
    lazy = frame.lazy().with_columns(mask_cells(pl.col("cell"))).collect(engine="streaming")
    assert lazy["cell"].to_list() == masked
    return masked


@st.composite
def _card_numbers(draw: st.DrawFn) -> str:
    length = draw(st.integers(13, 19))
    body = draw(st.sampled_from("23456")) + draw(
        st.text("0123456789", min_size=length - 2, max_size=length - 2)
    )
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(body[::-1])]
    return body + str(-sum(value // 10 + value % 10 for value in doubled) % 10)


@st.composite
def _written(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a valid number, and the same with single blanks or dashes between some digits."""
    number = draw(_card_numbers())
    separators = draw(
        st.one_of(
            st.just([""] * len(number)),
            st.lists(
                st.sampled_from(["", "", "", " ", "-", "\u00a0"]),
                min_size=len(number),
                max_size=len(number),
            ),
        )
    )
    pairs = zip(number, [*separators[:-1], ""], strict=True)
    return number, "".join(digit + separator for digit, separator in pairs)


# The test cuts off the digits directly around a number: a part of a longer run is no card number.
AROUND = st.one_of(
    st.text(max_size=12),
    st.text("0123456789 -x", max_size=40),
)


@settings(deadline=None)  # the machine may be busy
@given(_written(), AROUND, AROUND)
def test_no_valid_number_survives(written: tuple[str, str], before: str, after: str) -> None:
    number, spelled = written
    before, after = before.rstrip("0123456789"), after.lstrip("0123456789")
    text = before + spelled + after
    masked = mask_text(text)
    assert len(masked) == len(text)
    assert all(new in (old, "*") for old, new in zip(text, masked, strict=True))
    place = [at for at, letter in enumerate(spelled, len(before)) if letter.isdigit()]
    assert {masked[at] for at in place[6:-4]} == {"*"}
    assert number not in re.sub("[ \u00a0-]", "", masked)
    assert _cells([text, "x"]) == [masked, "x"]


@settings(deadline=None)  # the machine may be busy
@given(st.text(st.characters(exclude_categories=["Nd"])))
def test_text_without_digits_is_the_same(text: str) -> None:
    assert mask_text(text) == text


def test_a_long_row_of_groups_takes_no_long_time() -> None:
    assert "*" in mask_text("2 " * 100_000)


def test_numbers_and_accounts_keep_their_length() -> None:
    frame = pl.DataFrame(
        {
            "number": ["4111111111111111", "411111111111", "6304000000000000000", None],
            "account": ["12345678901234", "1234567", "DE89370400440532013000", None],
        }
    )
    masked = frame.select(mask_number(pl.col("number")), mask_account(pl.col("account")))
    assert masked["number"].to_list() == [
        "411111******1111",
        "************",
        "630400*********0000",
        None,
    ]
    assert masked["account"].to_list() == [
        "12**********34",
        "*******",
        "DE******************00",
        None,
    ]


class _Shown:
    def __repr__(self) -> str:
        return "<number 4111111111111111>"


def test_a_log_record_is_masked_everywhere() -> None:
    event = {
        "event": "refused 4111111111111111",
        "rows": [{"4111111111111111": ("a", "5555-5555-5555-4444")}],
        "object": _Shown(),
        "bytes": b"4111111111111111",
        "id": 4111111111111111111,
        "ratio": 0.5,
        "none": None,
    }
    assert mask_event(None, "info", event) == {
        "event": "refused 411111******1111",
        "rows": [{"411111******1111": ["a", "5555-55**-****-4444"]}],
        "object": "<number 411111******1111>",
        "bytes": "b'411111******1111'",
        "id": 4111111111111111111,
        "ratio": 0.5,
        "none": None,
    }


def test_a_trace_is_masked_by_structlog() -> None:
    output = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.WriteLogger(output),
        processors=[
            structlog.processors.format_exc_info,
            mask_event,
            structlog.processors.JSONRenderer(),
        ],
    )
    try:
        int("number 4111111111111111")
    except ValueError:
        logger.exception("broken", columns=["number"])
    assert "number 411111******1111" in json.loads(output.getvalue())["exception"]
    assert "4111111111111111" not in output.getvalue()
