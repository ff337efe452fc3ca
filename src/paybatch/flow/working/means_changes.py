"""Means changes: payments that are from now on for another card."""

import polars as pl

from paybatch import registry
from paybatch.flow.working.changes import KEY

MEANS = (*KEY, "number_id", "brand", "expiry")


def new_means(rows: pl.DataFrame, kinds: frozenset[str]) -> pl.DataFrame:
    """Give the cards (``MEANS``) that approved rows of these kinds give their payments.

    Of several rows on a payment the last one holds.
    """
    changing = sorted(name for name in kinds if registry.kinds()[name].changes_means)
    if not changing:
        return pl.DataFrame()
    brings = pl.col("act").is_in(changing) & pl.col("is_approved")
    found = rows.filter(brings & pl.col("number_id").is_not_null()).select_seq(MEANS)
    return found.unique(KEY, keep="last", maintain_order=True)
