"""Sample: valid files made from what kinds and dialects declare of themselves.

Each kind brings sample rows. A row that acts on a payment names it by the reference of another
kind's sample row; that row is put before it, under a reference of its own, so that each kind's
rows stand for themselves and no two kinds meet on one payment.
"""

import io
from collections.abc import Mapping
from typing import Literal

import polars as pl

from paybatch import registry
from paybatch.domain.dialect import Dialect
from paybatch.domain.kind import Kind
from paybatch.domain.money import currency_exponents

Rows = list[dict[str, str]]
NATIVE = "native"


class SampleUnknownError(Exception):
    """No kind and no dialect has this name."""


def sample(name: str) -> str:
    """Give a valid sample file of a kind (in our own dialect) or of a dialect, as text.

    Raises:
        SampleUnknownError: There is no kind and no dialect of this name.
    """
    if name in registry.kinds():
        return written(registry.dialects()[NATIVE], rows_of(registry.kinds()[name]))
    if name not in registry.dialects():
        known = ", ".join([*registry.kinds(), *registry.dialects()])
        raise SampleUnknownError(f"There is no kind or dialect {name!r}; known: {known}.")
    dialect = registry.dialects()[name]
    if dialect.samples:
        return written(dialect, [dict(row) for row in dialect.samples])
    carried = [
        kind
        for kind in registry.kinds().values()
        if dialect.sample_kinds is None or kind.name in dialect.sample_kinds
        if not kind.retries  # nothing of the file is pending
    ]
    # First those that need no other; last those that change what a later row meets.
    ordered = sorted(carried, key=lambda kind: (kind.waits_for_all, not kind.pays))
    return written(dialect, [row for kind in ordered for row in rows_of(kind)])


def rows_of(kind: Kind) -> Rows:
    """Give a kind's sample rows by field name, each behind the rows that it needs."""
    rows: Rows = []
    for each in kind.samples:
        wanted = each.get("payment")
        if wanted is None:
            rows += [_needed(name, kind) for name in kind.samples_need]
            rows.append({"kind": kind.name, **each})
            continue
        maker, made = _maker(wanted)
        reference = f"{wanted}-{kind.name}"
        first = {"kind": maker.name, **made, "reference": reference}
        if first not in rows:
            rows.append(first)
            for name in kind.samples_need:
                needed = registry.kinds()[name].samples[0]
                rows.append({"kind": name, **needed, "payment": reference})
        rows.append({"kind": kind.name, **each, "payment": reference})
    return rows


def _needed(name: str, kind: Kind) -> dict[str, str]:
    """Give the sample row of a kind that another one needs before it, under a name of its own."""
    first = registry.kinds()[name].samples[0]
    return {"kind": name, **first, "reference": f"{first['reference']}-{kind.name}"}


def _maker(reference: str) -> tuple[Kind, Mapping[str, str]]:
    """Find the sample row that makes the payment of a reference."""
    return next(
        (kind, each)
        for kind in registry.kinds().values()
        if kind.makes
        for each in kind.samples
        if each.get("reference") == reference
    )


def written(dialect: Dialect, rows: Rows) -> str:
    """Write rows as a file of a dialect: its columns (those with any value), words and quotes."""
    columns = {name: column for column, name in dialect.columns.items() if name}
    if "amount_minor" not in columns:
        rows = [_with_decimals(row) for row in rows]
    used = [name for name in columns if any(name in row for row in rows)]
    table = pl.DataFrame(
        {columns[name]: [_worded(dialect, name, row.get(name)) for row in rows] for name in used},
        schema={columns[name]: pl.String for name in used},
    )
    buffer = io.BytesIO()
    quoting: Literal["always", "necessary"] = "always" if dialect.quote_all else "necessary"
    table.write_csv(buffer, quote_style=quoting)
    return buffer.getvalue().decode()


def _worded(dialect: Dialect, field: str, value: str | None) -> str | None:
    """Give a value in the dialect's own word for it, where it has one."""
    words = dialect.words.get(field, {})
    return next((theirs for theirs, ours in words.items() if ours == value), value)


def _with_decimals(row: dict[str, str]) -> dict[str, str]:
    """Write the amount with a decimal point, for a dialect that has no minor units."""
    if "amount_minor" not in row:
        return row
    exponent = currency_exponents()[row["currency"]]
    digits = row["amount_minor"].zfill(exponent + 1)
    cut = len(digits) - exponent
    return {**row, "amount": f"{digits[:cut]}.{digits[cut:]}" if exponent else digits}
