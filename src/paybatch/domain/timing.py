"""Timing: when a new payment is captured: on its day, when a person says so, or at once.

Sources: Sips captureMode (AUTHOR_CAPTURE, VALIDATION, IMMEDIATE) and captureDay.
"""

import polars as pl

from paybatch.domain.effects import Fact, Record
from paybatch.domain.kind import Fault
from paybatch.domain.reasons import Reason

_MODE, _DAYS = pl.col("capture_mode"), pl.col("capture_day")
_IS_LATER = _MODE.is_in(["author_capture", "validation"]).fill_null(value=False)
_IS_AUTOMATIC = (_MODE == "author_capture").fill_null(value=False)

FAULTS = (
    Fault(
        Reason.CAPTURE_DAY_ALONE,
        "capture_day",
        _DAYS.is_not_null() & ~_IS_LATER,
        about=("capture_day",),
    ),
    Fault(
        Reason.HOLD_NOT_AT_MEANS,
        "capture_mode",
        _IS_LATER & (pl.col("brand") == "bank"),
        about=("capture_mode",),
    ),
)
NOT_AT_ONCE = Fault(
    Reason.CAPTURE_AT_ONCE, "capture_mode", _MODE == "immediate", about=("capture_mode",)
)


def is_held() -> pl.Expr:
    """Tell which new payments are only authorized now, and captured later."""
    return _IS_LATER


def put_off() -> Record:
    """Give the effect that tells the clock what to do with an authorization, and when.

    It is captured on its day (without one on the day it was made), or expires when the days in
    which a person may capture it are over.
    """
    days = _DAYS.fill_null(0) + pl.when(_IS_AUTOMATIC).then(0).otherwise(1)
    return Record(
        fact=Fact.DUE,
        values={
            "kind": pl.when(_IS_AUTOMATIC).then(pl.lit("capture")).otherwise(pl.lit("expire")),
            "due_on": pl.col("made_on").str.to_date() + pl.duration(days=days),
        },
        when=_IS_AUTOMATIC | (_IS_LATER & _DAYS.is_not_null()),
        about=("capture_mode",),
    )
