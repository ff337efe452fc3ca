"""Parts: of some amounts the processor is asked for a part only; the rest is closed with us.

Calls of such rows have ``closed_minor`` (minor units). What a connector is asked and answers is the
rest; everything else sees the whole.
"""

import polars as pl

from paybatch.domain.connector import Result


def asked(calls: pl.DataFrame) -> pl.DataFrame:
    """Give calls with the amounts that the processor is asked for."""
    if "closed_minor" not in calls.columns:
        return calls
    closed = pl.col("closed_minor").fill_null(0)
    return calls.with_columns_seq(amount_minor=pl.col("amount_minor") - closed)


def whole(calls: pl.DataFrame, replies: pl.DataFrame) -> pl.DataFrame:
    """Give replies with the whole amounts that an approval is of."""
    if "closed_minor" not in calls.columns or not (calls["closed_minor"] > 0).any():
        return replies
    closed = calls.select_seq("operation", "closed_minor")
    both = replies.join(closed, on="operation", how="left", maintain_order="left")
    more = pl.when(pl.col("result") == Result.APPROVED.value).then("closed_minor").fill_null(0)
    return both.with_columns_seq(approved_minor=pl.col("approved_minor") + more).drop(
        "closed_minor"
    )
