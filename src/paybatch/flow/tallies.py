"""Tallies: counts and sums of rows by kind, state, reason and currency."""

import polars as pl

from paybatch.domain.money import currency_exponents
from paybatch.store.operations import FILE_LINES_MAX, LINES_MAX

_KEYS = ("kind", "state", "reason", "currency")


def came(rows: pl.DataFrame, state: str) -> pl.DataFrame:
    """Count rows (``kind, currency, requested_minor``) that are in a state from now on."""
    return tally(
        rows.select_seq(
            *(name for name in ("id",) if name in rows.columns),
            "kind",
            "currency",
            state=pl.lit(state),
            reason=pl.lit(None, pl.String),
            amount_minor="requested_minor",
        )
    )


def left(rows: pl.DataFrame, state: str = "queued") -> pl.DataFrame:
    """Take rows off those in a state: negative counts."""
    counted = came(rows, state)
    return counted.with_columns_seq(-pl.col("row_count").cast(pl.Int64), -pl.col("requested_minor"))


def tally(rows: pl.DataFrame) -> pl.DataFrame:
    """Count rows with ``kind, state, reason, currency, amount_minor``; approved sums if given.

    Operations that rows made are no lines of the file, and not counted (with ``id``).
    What is not a currency of ISO 4217 counts as none: nobody can say what its sum is.
    """
    if "id" in rows.columns:
        rows = rows.filter(pl.col("id") % LINES_MAX < FILE_LINES_MAX)
    approved = pl.col("approved_minor") if "approved_minor" in rows.columns else pl.lit(0)
    if not currency_exponents().keys() >= set(rows["currency"].drop_nulls().unique()):
        known = pl.col("currency").is_in(list(currency_exponents()))
        rows = rows.with_columns_seq(currency=pl.when(known).then("currency"))
    return rows.group_by(_KEYS, maintain_order=True).agg(
        row_count=pl.len(),
        requested_minor=pl.col("amount_minor").sum(),
        approved_minor=approved.sum(),
    )
