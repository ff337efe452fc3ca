"""A payment's amounts and the status that follows from them.

The amounts are the truth; the status is computed, never stored as a payment's own state. The
columns are those of table ``payment``, Int64 in minor units.
"""

from enum import StrEnum

import polars as pl

AMOUNTS = (
    "authorized",
    "released",
    "captured",
    "cancelled",
    "settled",
    "refunded",
    "returned",
    "charged_back",
    "represented",
    "reserved_capture",
    "reserved_void",
    "reserved_refund",
)


class Status(StrEnum):
    """What a payment is, in one word."""

    PENDING = "pending"
    UNKNOWN = "unknown"
    DECLINED = "declined"
    VERIFIED = "verified"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    CAPTURED = "captured"
    SETTLED = "settled"
    VOIDED = "voided"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    CREDITED = "credited"


def open_hold() -> pl.Expr:
    """What is authorized and neither captured nor released (minor units)."""
    return pl.col("authorized") - pl.col("captured") - pl.col("released")


def kept() -> pl.Expr:
    """What was captured and not cancelled before settlement (minor units)."""
    return pl.col("captured") - pl.col("cancelled")


def status() -> pl.Expr:
    """Compute the status of each payment from ``state``, ``origin`` and the amounts."""
    state, refunded = pl.col("state"), pl.col("refunded")
    lit = {each: pl.lit(each.value) for each in Status}
    return (
        pl.when(state != "approved")
        .then(state)
        .when((kept() == 0) & (open_hold() == 0) & (pl.col("authorized") > 0))
        .then(lit[Status.VOIDED])
        .when(pl.col("origin") == "credit")
        .then(lit[Status.CREDITED])
        .when((refunded > 0) & (refunded >= kept()) & (open_hold() == 0))
        .then(lit[Status.REFUNDED])
        .when(refunded > 0)
        .then(lit[Status.PARTIALLY_REFUNDED])
        .when(kept() == 0)
        .then(lit[Status.AUTHORIZED])
        .when(open_hold() > 0)
        .then(lit[Status.PARTIALLY_CAPTURED])
        .when(pl.col("settled") >= kept())
        .then(lit[Status.SETTLED])
        .otherwise(lit[Status.CAPTURED])
    )
