"""Native: our own CSV. Any mix of kinds in one file, columns in any order.

Each row names its ``kind`` (or the whole file is given one). Amounts stand in ``amount_minor``
(whole minor units) or in ``amount`` (decimal point, exactly the currency's digits); exactly one of
the two. The result is the input, untouched, with the outcome behind it; number columns carry the
card reference in place of the number, so that failed rows can be sent again, and CVVs are empty.

A result can be sent in as it is: the columns of an outcome are passed over, and the next result
has its own in their place. The payment that a row made or acted on stands in ``result_payment``,
for ``payment`` is a column of requests.

Source: this project.
"""

from collections.abc import Sequence

import polars as pl

from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.dialect import Dialect
from paybatch.domain.report import cell

_RESULT = {
    "outcome": pl.col("state"),
    "reason": pl.col("reason"),
    "message": pl.col("message"),
    "result_payment": pl.col("payment"),
    "operation": pl.col("operation"),
    "processor_code": pl.col("processor_code"),
    "approval_code": pl.col("approval_code"),
}
# Only beside columns of a series: who knows none of them is spared it.
_SCHEME_ID = "result_scheme_transaction_id"
_SERIES = frozenset({"initiator", "pattern", "scheme_transaction_id"})
_NUMBERS = {"card_number": "card_", "account_number": "bank_", "iban": "bank_"}
_NAMED = ("customer", "identifier")


def _given(request: Sequence[str]) -> list[str]:
    """Give the request's own columns, without those of an earlier result."""
    return [name for name in request if name not in _RESULT and name != _SCHEME_ID]


def _told(request: Sequence[str]) -> dict[str, pl.Expr]:
    """Give the columns behind the request's own."""
    if _SERIES.isdisjoint(request):
        return _RESULT
    return {**_RESULT, _SCHEME_ID: pl.col("scheme_transaction_id")}


def _number(name: str, request: Sequence[str]) -> pl.Expr:
    """Give the reference in place of a number; not where the row had named its means otherwise."""
    reference = pl.col("card_reference")
    others = [cell(each) for each in (*_NUMBERS, "card_reference") if each in request]
    named = [cell(each) for each in _NAMED if each in request]
    is_named = pl.any_horizontal(pl.lit(value=False), *(each.is_not_null() for each in named))
    if name == "card_number" and "card_expiry" in request:  # the row gives it to whom it names
        is_named &= cell("card_expiry").is_null()
    is_alone = pl.all_horizontal(~is_named, *(each.is_null() for each in others))
    is_its = (pl.col("brand") == IBAN_BRAND) == (name == "iban")
    own = reference.str.starts_with(_NUMBERS[name]) & is_its & is_alone
    return pl.coalesce(cell(name), pl.when(own).then(reference))


def _result(rows: pl.DataFrame, request: Sequence[str]) -> pl.DataFrame:
    kept = [
        (_number(name, request) if name in _NUMBERS else cell(name)).alias(name)
        for name in _given(request)
    ]
    told = _told(request)
    return rows.select_seq(*kept, *(value.alias(name) for name, value in told.items()))


DIALECT = Dialect(
    name="native",
    title="paybatch's own CSV",
    source="this project: docs and `paybatch sample native`",
    columns=dict.fromkeys((*_RESULT, _SCHEME_ID), ""),
    has_our_columns=True,
    required=frozenset(),
    marks=frozenset({"kind", "amount_minor", "card_number", "payment"}),
    id_shape="native",
    quote_all=False,
    result=_result,
    result_columns=lambda request: [*_given(request), *_told(request)],
)
