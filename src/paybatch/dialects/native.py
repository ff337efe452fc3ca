"""Native: our own CSV. Any mix of kinds in one file, columns in any order.

Each row names its ``kind`` (or the whole file is given one). Amounts stand in ``amount_minor``
(whole minor units) or in ``amount`` (decimal point, exactly the currency's digits); exactly one of
the two. The result is the input, untouched, with the outcome behind it; number columns carry the
card reference in place of the number, so that failed rows can be sent again, and CVVs are empty.

Source: this project.
"""

from collections.abc import Sequence

import polars as pl

from paybatch.domain import columns
from paybatch.domain.dialect import Dialect
from paybatch.domain.report import cell

_FIELDS = (
    *columns.NEW_PAYMENT,
    columns.PAYMENT,
    columns.FINAL,
)
_RESULT = {
    "outcome": pl.col("state"),
    "reason": pl.col("reason"),
    "message": pl.col("message"),
    "payment": pl.col("payment"),
    "operation": pl.col("operation"),
    "processor_code": pl.col("processor_code"),
    "approval_code": pl.col("approval_code"),
}
_NUMBERS = ("card_number", "account_number")


def _result_columns(request: Sequence[str]) -> list[str]:
    """Name the request's columns, then ours; ours get ``result_`` before them if they clash."""
    return [*request, *(f"result_{name}" if name in request else name for name in _RESULT)]


def _result(rows: pl.DataFrame, request: Sequence[str]) -> pl.DataFrame:
    kept = [
        (pl.col("card_reference") if name in _NUMBERS else cell(name)).alias(name)
        for name in request
    ]
    names = _result_columns(request)[len(request) :]
    added = [value.alias(name) for name, value in zip(names, _RESULT.values(), strict=True)]
    return rows.select(*kept, *added)


DIALECT = Dialect(
    name="native",
    title="paybatch's own CSV",
    source="this project: docs and `paybatch sample native`",
    columns={each.name: each.name for each in _FIELDS},
    required=frozenset(),
    marks=frozenset({"kind", "amount_minor", "card_number", "payment"}),
    id_shape="native",
    quote_all=False,
    result=_result,
    result_columns=_result_columns,
)
