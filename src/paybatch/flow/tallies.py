"""Tallies: counts and sums of rows by kind, state, reason and currency."""

import polars as pl

from paybatch.domain.money import currency_exponents

_KEYS = ("kind", "state", "reason", "currency")


def left_queue(rows: pl.DataFrame) -> pl.DataFrame:
    """Take rows off the queued ones: negative counts of ``kind, currency, requested_minor``."""
    counted = tally(
        rows.select_seq(
            "kind",
            "currency",
            state=pl.lit("queued"),
            reason=pl.lit(None, pl.String),
            amount_minor="requested_minor",
        )
    )
    return counted.with_columns_seq(-pl.col("row_count").cast(pl.Int64), -pl.col("requested_minor"))


def tally(rows: pl.DataFrame) -> pl.DataFrame:
    """Count rows with ``kind, state, reason, currency, amount_minor``; approved sums if given.

    What is not a currency of ISO 4217 counts as none: nobody can say what its sum is.
    """
    approved = pl.col("approved_minor") if "approved_minor" in rows.columns else pl.lit(0)
    if not currency_exponents().keys() >= set(rows["currency"].drop_nulls().unique()):
        known = pl.col("currency").is_in(list(currency_exponents()))
        rows = rows.with_columns_seq(currency=pl.when(known).then("currency"))
    return rows.group_by(_KEYS, maintain_order=True).agg(
        row_count=pl.len(),
        requested_minor=pl.col("amount_minor").sum(),
        approved_minor=approved.sum(),
    )
