"""Fields: what a column may hold, as text, and how it is read.

A field type is checked over a whole column at once. ``faults`` are tried in their order; the first
that fails is the cell's reason. An empty cell is null and has no fault of its own: whether a value
is required is a rule of the kind.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from paybatch.domain import banks, networks
from paybatch.domain.reasons import Reason

ColumnRule = Callable[[pl.Expr], pl.Expr]

ROUTING = r"^[0-9]{9}$"
SPREADSHEET = r"^[0-9](?:[.,][0-9]+)?[eE]\+[0-9]+$"
NUMBER_SPREADSHEET = SPREADSHEET.replace(r"\+", r"\+?")  # in a number column any such is wrong
MINOR_DIGITS = r"^[0-9]{1,12}$"
MONTH = r"^(?:0[1-9]|1[0-2])/[0-9]{2}$"


def _same(column: pl.Expr) -> pl.Expr:
    return column


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """What a column may hold.

    Attributes:
        name: For help pages and schemas.
        allowed: A sentence for people.
        faults: Reason and test (text column -> Boolean, true = wrong), in order.
        read: Text column -> typed column; null where the text is wrong.
        sensitive: "number" and "secret" cells never stand in stored text or messages; a "routing"
            cell does if it has the form: otherwise it may be the account number beside it.
    """

    name: str
    allowed: str
    faults: tuple[tuple[Reason, ColumnRule], ...] = ()
    read: ColumnRule = _same
    sensitive: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A column that a kind takes: its engine name, its type and what it is for."""

    name: str
    type: FieldType
    title: str


def _unlike(pattern: str) -> ColumnRule:
    return lambda column: ~column.str.contains(pattern)


def _longer(characters: int) -> ColumnRule:
    return lambda column: column.str.len_chars() > characters


def text(characters_max: int) -> FieldType:
    """Any text of at most so many characters."""
    return FieldType(
        name=f"text({characters_max})",
        allowed=f"text of at most {characters_max} characters",
        faults=((Reason.VALUE_TOO_LONG, _longer(characters_max)),),
    )


def name(characters_max: int) -> FieldType:
    """A name that people or programs gave: any text, but no number that a spreadsheet spoiled."""
    return FieldType(
        name=f"name({characters_max})",
        allowed=f"text of at most {characters_max} characters",
        faults=(
            (Reason.VALUE_SPREADSHEET, lambda column: column.str.contains(SPREADSHEET)),
            (Reason.VALUE_TOO_LONG, _longer(characters_max)),
        ),
    )


def word(characters_max: int, signs: str = "._:/#") -> FieldType:
    """An identifier: letters, digits, these signs and ``-``, without blanks."""
    return FieldType(
        name=f"word({characters_max})",
        allowed=f"at most {characters_max} letters, digits and {' '.join(signs)} - without blanks",
        faults=(
            (Reason.VALUE_SPREADSHEET, lambda column: column.str.contains(SPREADSHEET)),
            (Reason.VALUE_TOO_LONG, _longer(characters_max)),
            (Reason.VALUE_MALFORMED, _unlike(rf"^[0-9A-Za-z{signs}-]+$")),
        ),
    )


def choice(*values: str) -> FieldType:
    """One of the given words."""
    allowed = list(values)
    return FieldType(
        name="choice",
        allowed="one of " + ", ".join(values),
        faults=((Reason.CHOICE_UNKNOWN, lambda column: ~column.is_in(allowed)),),
    )


def whole_number(lowest: int, highest: int) -> FieldType:
    """One of a few whole numbers, without zeros in front."""
    allowed = [str(number) for number in range(lowest, highest + 1)]
    return FieldType(
        name=f"whole number({lowest} to {highest})",
        allowed=f"a whole number from {lowest} to {highest}",
        faults=((Reason.CHOICE_UNKNOWN, lambda column: ~column.is_in(allowed)),),
        read=lambda column: column.cast(pl.Int16, strict=False),
    )


def _no_day(column: pl.Expr) -> pl.Expr:
    shaped = column.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    is_none = column.str.to_date("%Y-%m-%d", strict=False).is_null()
    return column.is_not_null() & (~shaped | is_none)


DAY = FieldType(
    name="day",
    allowed="a day that exists, as YYYY-MM-DD, for example 2026-11-21",
    faults=((Reason.DAY_MALFORMED, _no_day),),
    read=lambda column: column.str.to_date("%Y-%m-%d", strict=False),
)

TRUE_OR_FALSE = FieldType(
    name="true or false",
    allowed="true or false",
    faults=((Reason.CHOICE_UNKNOWN, lambda column: ~column.is_in(["true", "false"])),),
    read=lambda column: column == "true",
)

MINOR_UNITS = FieldType(
    name="minor units",
    allowed="whole minor units, digits only, at most 12",
    faults=(
        (Reason.AMOUNT_MALFORMED, _unlike(r"^[0-9]+$")),
        (Reason.AMOUNT_TOO_LARGE, _longer(12)),
    ),
    read=lambda column: pl.when(column.str.contains(MINOR_DIGITS)).then(
        column.cast(pl.Int64, strict=False)
    ),
)

COUNT = FieldType(
    name="count",
    allowed="a whole number, digits only, at most 12",
    faults=((Reason.VALUE_MALFORMED, _unlike(MINOR_DIGITS)),),
    read=lambda column: column.cast(pl.Int64, strict=False),
)

DECIMAL_AMOUNT = FieldType(
    name="decimal amount",
    allowed="digits and a decimal point, with exactly the currency's digits",
    faults=(
        (Reason.AMOUNT_NOT_DECIMAL, _unlike(r"^[0-9]+(?:\.[0-9]+)?$")),
        (Reason.AMOUNT_TOO_LARGE, _longer(13)),
    ),
)

AMOUNT_LIST = FieldType(
    name="decimal amounts",
    allowed="amounts with a semicolon between them, each with exactly the currency's digits",
    faults=(
        (Reason.VALUE_TOO_LONG, _longer(1_000)),
        (Reason.AMOUNT_NOT_DECIMAL, _unlike(r"^[0-9]+(?:\.[0-9]+)?(?:[;,][0-9]+(?:\.[0-9]+)?)*$")),
        (Reason.AMOUNT_TOO_LARGE, lambda column: column.str.contains(r"[0-9.]{14,}")),
    ),
)

CURRENCY = FieldType(
    name="currency",
    allowed="a currency code of ISO 4217 in capitals, such as EUR",
    faults=((Reason.CURRENCY_UNKNOWN, _unlike(r"^[A-Z]{3}$")),),
)

CARD_NUMBER = FieldType(
    name="card number",
    allowed="12 to 19 digits without blanks, with a right check digit",
    faults=(
        (Reason.VALUE_SPREADSHEET, lambda column: column.str.contains(NUMBER_SPREADSHEET)),
        (Reason.NUMBER_MALFORMED, _unlike(r"^[0-9]{12,19}$")),
    ),
    sensitive="number",
)

EXPIRY = FieldType(
    name="expiry",
    allowed="MM/YY, for example 09/29",
    faults=((Reason.EXPIRY_MALFORMED, _unlike(MONTH)),),
    read=lambda column: pl.when(column.str.contains(MONTH)).then(
        (column.str.slice(3, 2) + column.str.slice(0, 2)).cast(pl.Int16, strict=False)
    ),
)

CVV = FieldType(
    name="cvv",
    allowed="three or four digits",
    faults=((Reason.CVV_MALFORMED, _unlike(r"^[0-9]{3,4}$")),),
    sensitive="secret",
)

ACCOUNT_NUMBER = FieldType(
    name="account number",
    allowed="4 to 17 digits",
    faults=(
        (Reason.VALUE_SPREADSHEET, lambda column: column.str.contains(NUMBER_SPREADSHEET)),
        (Reason.ACCOUNT_MALFORMED, _unlike(r"^[0-9]{4,17}$")),
    ),
    sensitive="number",
)

IBAN = FieldType(
    name="iban",
    allowed="an IBAN in capitals without blanks, with right check digits",
    faults=(
        (Reason.IBAN_MALFORMED, _unlike(r"^[A-Z]{2}[0-9]{2}[0-9A-Z]{11,30}$")),
        (Reason.IBAN_CHECK_DIGITS, banks.iban_fails),
    ),
    sensitive="number",
)

BIC = FieldType(
    name="bic",
    allowed="a BIC of 8 or 11 letters and digits in capitals, such as COBADEFF",
    faults=((Reason.VALUE_MALFORMED, _unlike(r"^[A-Z]{6}[0-9A-Z]{2}(?:[0-9A-Z]{3})?$")),),
)

CREDITOR_ID = FieldType(
    name="creditor id",
    allowed="a SEPA creditor identifier in capitals without blanks",
    faults=(
        (Reason.VALUE_MALFORMED, _unlike(r"^[A-Z]{2}[0-9]{2}[0-9A-Z]{4,31}$")),
        (Reason.CREDITOR_CHECK_DIGITS, banks.creditor_fails),
    ),
)

ROUTING_NUMBER = FieldType(
    name="routing number",
    allowed="nine digits with a right check digit",
    faults=((Reason.ROUTING_MALFORMED, _unlike(ROUTING)),),
    sensitive="routing",
)

BIN = FieldType(
    name="bin",
    allowed="the first six digits of cards",
    faults=((Reason.VALUE_MALFORMED, _unlike(r"^[0-9]{6}$")),),
)

# The form only; whether every part is in its range is for the network to say.
IP_ADDRESS = FieldType(
    name="ip address",
    allowed="an IPv4 or IPv6 address, such as 192.0.2.7",
    faults=(
        (
            Reason.VALUE_MALFORMED,
            _unlike(r"^(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]{2,45})$"),
        ),
    ),
    read=networks.canonical,
)

EMAIL = FieldType(
    name="e-mail",
    allowed="an e-mail address of at most 254 characters",
    faults=(
        (Reason.VALUE_TOO_LONG, _longer(254)),
        (Reason.VALUE_MALFORMED, _unlike(r"^[^@\s]+@[^@\s]+$")),
    ),
)
