"""Selections: several payments named in one cell, some with an amount of their own.

``order-1|order-2`` names payments; ``order-1=1500|order-2=800`` gives amounts in minor units. A
name that contains ``|`` cannot stand here: use the payment's id.
"""

import polars as pl

from paybatch.domain.fields import ColumnRule, FieldType
from paybatch.domain.kind import Fault
from paybatch.domain.money import AMOUNT_DIGITS_MAX
from paybatch.domain.reasons import Reason

_NAME = r"[^|]{1,64}"
_AMOUNT = rf"[1-9][0-9]{{0,{AMOUNT_DIGITS_MAX - 1}}}"


def names_of(cell: str | None) -> list[str]:
    """Give the payments that a cell names."""
    return cell.split("|") if cell else []


def amounts_of(cell: str | None) -> dict[str, int]:
    """Give the payments of a cell with their amounts (minor units)."""
    pairs = (each.rpartition("=") for each in names_of(cell))
    return {name: int(amount) for name, _, amount in pairs}


def _malformed(item: str) -> ColumnRule:
    pattern = rf"^{item}(?:\|{item})*$"

    def _fails(column: pl.Expr) -> pl.Expr:
        names = column.str.split("|").list.eval(pl.element().str.replace(rf"={_AMOUNT}$", ""))
        return ~column.str.contains(pattern) | (names.list.n_unique() < names.list.len())

    return _fails


PAYMENT_NAMES = FieldType(
    name="payments",
    allowed="ids or references of payments with | between them, each once",
    faults=((Reason.VALUE_MALFORMED, _malformed(_NAME)),),
)

DIFFERING_AMOUNTS = FieldType(
    name="differing amounts",
    allowed="payment=amount_minor with | between them, each payment once",
    faults=((Reason.VALUE_MALFORMED, _malformed(rf"{_NAME}={_AMOUNT}")),),
)

_PAYMENTS, _SINCE, _UNTIL = (pl.col(name) for name in ("payments", "since_on", "until_on"))
FAULTS = (
    Fault(
        Reason.SELECTION_SEVERAL,
        "payments",
        _PAYMENTS.is_not_null() & (_SINCE.is_not_null() | _UNTIL.is_not_null()),
        about=("payments",),
    ),
    Fault(Reason.DAYS_REVERSED, "since_on", _SINCE > _UNTIL, about=("until_on",)),
)
