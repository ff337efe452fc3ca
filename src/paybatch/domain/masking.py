"""Masks: no card number in clear in kept text, logs, errors, exports, notices or pages.

Hidden are runs of 13 to 19 digits that begin with 2 to 6 (every card scheme of ISO/IEC 7812-1
major industries 2 to 6) and have a right check digit (ISO/IEC 7812-1 annex B), also with single
blanks, no-break blanks or dashes between groups of digits, wherever they stand: the first six and
last four digits remain (PCI DSS 3.4.1), each other digit becomes a star, so the text keeps its
length. One order number in ten of that shape has a right check digit by chance; the others stay.

Not hidden: longer runs of digits without a break (no card number has more than 19), digits with
anything else between them, digits that are not ASCII, numbers that begin with 0, 1, 7, 8 or 9.

What a person typed wrong may be a card number with a slip in it: `mask_wrong` hides more.
"""

import re
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import accumulate
from typing import Any

import polars as pl

from paybatch.domain.cards import luhn_fails
from paybatch.domain.few import FEW_ROWS

SHORTEST, LONGEST = 13, 19
FIRST, LAST = 6, 4  # digits that stay readable
FOLLOWING = r"(?:[ \u00A0-]?[0-9])"
# A number may begin where no digit stands before it. Polars has no look-behind, but need not
# know where the run is: it only picks the cells.
PICK = rf"(?:^|[^0-9])[2-6]{FOLLOWING}{{{SHORTEST - 1}}}"
RUN = re.compile(rf"(?<![0-9])[2-6]{FOLLOWING}{{{SHORTEST - 1},}}")
GROUP = re.compile("[0-9]+")
# As RUN, from the first digit of all: for polars, to look at a column of picked cells.
LOOKED = rf"[0-9]{FOLLOWING}{{{SHORTEST - 1},}}"
PLAIN = rf"^[0-9]{{{SHORTEST},}}$"
# Twelve digits of any script and more: what a slip can make of a card number.
WRONG = r"\d(?:[ \u00A0-]?\d){11,}"
WRONG_RUN = re.compile(WRONG)
DIGITS, LEADING = frozenset("0123456789"), frozenset({2, 3, 4, 5, 6})
STARS = "*" * 64
ACCOUNT_FIRST, ACCOUNT_LAST, ACCOUNT_SHORTEST = 2, 2, 8


def mask_cells(column: pl.Expr) -> pl.Expr:
    """Hide card numbers in any text column (String); see the module for what is hidden.

    Cells without one cost a search of about 0.1 us; only the others are taken one by one.
    """
    return column.map_batches(masked_cells, return_dtype=pl.String, is_elementwise=True)


def mask_text(text: str) -> str:
    """Hide card numbers in one text, by the rule of `mask_cells`."""
    return RUN.sub(_hidden, text)


def mask_wrong(column: pl.Expr) -> pl.Expr:
    """Hide what may be a card number with a slip in it, for the values of errors.

    Twelve or more digits, also with single blanks or dashes between them, are hidden but for the
    last four; all of them where the last group has fewer, for that may be a CVV.
    """
    return column.map_batches(_masked_wrong, return_dtype=pl.String, is_elementwise=True)


def mask_digits(column: pl.Expr) -> pl.Expr:
    """Hide every three or more digits: for text of which nobody knows what stands where."""
    return column.str.replace_all(r"\d{3,}", "***")


def mask_number(number: pl.Expr) -> pl.Expr:
    """Mask a column of card numbers: ``411111******1111``; all of one shorter than 13 digits."""
    length = number.str.len_chars()
    masked = pl.concat_str(
        number.str.head(FIRST),
        pl.lit(STARS).str.slice(0, length - (FIRST + LAST)),
        number.str.tail(LAST),
    )
    return pl.when(length >= SHORTEST).then(masked).otherwise(_all_stars(number))


def mask_account(account: pl.Expr) -> pl.Expr:
    """Mask a column of account numbers or IBANs: ``DE******************00``.

    The first two (the country of an IBAN) and last two characters remain; none of an account
    number that is shorter than eight characters.
    """
    length = account.str.len_chars()
    masked = pl.concat_str(
        account.str.head(ACCOUNT_FIRST),
        pl.lit(STARS).str.slice(0, length - (ACCOUNT_FIRST + ACCOUNT_LAST)),
        account.str.tail(ACCOUNT_LAST),
    )
    return pl.when(length >= ACCOUNT_SHORTEST).then(masked).otherwise(_all_stars(account))


def mask_event(
    _logger: Any, _name: str, event_dict: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Mask every text of a log record, also inside lists and mappings (a structlog processor).

    Stands last before the renderer, when errors have become text. An object that would be shown
    with a card number is replaced by its masked text; whole numbers (our ids) are left alone.
    """
    return {key: _masked(value) for key, value in event_dict.items()}


def _masked_wrong(cells: pl.Series) -> pl.Series:
    places = cells.str.contains(WRONG).fill_null(value=False).arg_true()
    if places.is_empty():
        return cells
    masked = [WRONG_RUN.sub(_last_only, cell) for cell in cells.gather(places).to_list()]
    return cells.scatter(places, masked)


def _last_only(run: re.Match[str]) -> str:
    text = run.group()
    kept = LAST if text[-LAST:].isdigit() else 0
    return re.sub(r"\d", "*", text[: len(text) - kept]) + text[len(text) - kept :]


def masked_cells(cells: pl.Series) -> pl.Series:
    """Do what `mask_cells` says to a column at hand."""
    if len(cells) <= FEW_ROWS:
        clear = cells.to_list()
        masked = [cell and mask_text(cell) for cell in clear]
        return cells if masked == clear else pl.Series(cells.name, masked, dtype=pl.String)
    places = cells.str.contains(PICK).fill_null(value=False).arg_true()
    if places.is_empty():
        return cells
    places = places.gather(_suspects(cells.gather(places)))
    if places.is_empty():
        return cells
    masked = [mask_text(cell) for cell in cells.gather(places).to_list()]
    return cells.scatter(places, masked)


def _suspects(cells: pl.Series) -> pl.Series:
    """Give the places of the cells that may hide a number: order numbers fall through here.

    A run without breaks is tried by its check digit, all at once; others are left to the caller.
    """
    frame = pl.DataFrame({"run": cells.str.extract_all(LOOKED)}).with_row_index("place")
    runs = frame.explode("run").drop_nulls()
    is_plain, length = runs["run"].str.contains(PLAIN), runs["run"].str.len_bytes()
    whole = runs["run"].zip_with(is_plain & (length <= LONGEST), pl.Series(["0"]))
    may_be = ~is_plain | ((length <= LONGEST) & ~luhn_fails(whole))
    return runs.filter(may_be)["place"].unique(maintain_order=True)


def _hidden(run: re.Match[str]) -> str:
    """Star the middle of each window of whole groups that is a card number by its check digit."""
    letters = list(run.group())
    places = [place for place, letter in enumerate(letters) if letter in DIGITS]
    digits = [int(letters[place]) for place in places]
    sums = _luhn_sums(digits)
    done = 0  # windows come by their starts, so all that is to be hidden before this one is
    for start, end in _windows([len(group) for group in GROUP.findall(run.group())]):
        counted = sums[end % 2]
        if digits[start] in LEADING and (counted[end] - counted[start]) % 10 == 0:
            for place in places[max(start + FIRST, done) : end - LAST]:
                letters[place] = "*"
            done = max(done, end - LAST)
    return "".join(letters)


def _luhn_sums(digits: list[int]) -> tuple[list[int], list[int]]:
    """Give running sums of digits for windows that end at an even, and at an odd place.

    The last digit of a window counts as it is and every second one before it doubled.
    """
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits]  # noqa: PLR2004 - Luhn's rule
    mixed = [
        [doubled[place] if (place - end) % 2 == 0 else digit for place, digit in enumerate(digits)]
        for end in (0, 1)
    ]
    even, odd = ([0, *accumulate(each)] for each in mixed)
    return even, odd


def _windows(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Give start and end, in digits, of neighbouring groups that have 13 to 19 together."""
    starts = [0, *accumulate(lengths)]
    for first, start in enumerate(starts):
        for end in starts[first + 1 : first + 1 + LONGEST]:
            if end - start > LONGEST:
                break
            if end - start >= SHORTEST:
                yield start, end


def _all_stars(texts: pl.Expr) -> pl.Expr:
    return texts.str.replace_all("(?s).", "*")


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask_text(value)
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, Mapping):
        return {_masked(key): _masked(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(each) for each in value]
    shown = repr(value)
    masked = mask_text(shown)
    return value if masked == shown else masked
