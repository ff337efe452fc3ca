"""Closing gates: rows at a gate whose day is being closed wait, and so do the rows behind them.

Nothing is rejected for it: their chunk is taken again when the gate is open. Single calls have
nobody to wait for them, and are told to come again.
"""

from collections.abc import Set as AbstractSet

import polars as pl

from paybatch.domain.reasons import Reason
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import acts_on_payment, makes_payment, payments_of
from paybatch.store import attempts
from paybatch.store.database import Connection, Row
from paybatch.store.operations import id_range

_LAST_LINE = 2**30 - 1


def at_open_gates(
    connection: Connection[Row],
    batch_id: int,
    rows: pl.DataFrame,
    payments: pl.DataFrame,
    closing: AbstractSet[int],
) -> pl.DataFrame:
    """Give the rows of a chunk that wait for no gate; ``payments`` are those that they act on."""
    at = _with_gates(rows, payments)
    waits = pl.col("at_gate").is_in(sorted(closing)) | _is_unmade(connection, batch_id, at)
    held = at.filter(waits)
    while True:
        more = at.join(_touched(held), on=KEY, how="semi")
        both = pl.concat([held, more]).unique("id")
        if both.height == held.height:
            return rows.join(held.select_seq("id"), on="id", how="anti", maintain_order="left")
        held = both


def come_again(
    rows: pl.DataFrame, payments: pl.DataFrame, closing: AbstractSet[int]
) -> pl.DataFrame:
    """Give the single calls at closing gates, with their ``refusal``."""
    own = _with_gates(rows, payments).filter(pl.col("at_gate").is_in(sorted(closing)))
    return own.drop("at_gate").with_columns_seq(refusal=pl.lit(Reason.GATE_CLOSES.value))


def _with_gates(rows: pl.DataFrame, payments: pl.DataFrame) -> pl.DataFrame:
    """Add ``at_gate``: that of the payment, also of one that a row here makes; else the row's."""
    known = payments.select_seq(*KEY, known_gate_id="payment_gate_id")
    made = rows.filter(makes_payment()).select_seq(
        "merchant_id", payment_id="id", made_gate_id="gate_id"
    )
    joined = rows.join(known, on=KEY, how="left", maintain_order="left")
    joined = joined.join(made, on=KEY, how="left", maintain_order="left")
    gate = pl.coalesce("known_gate_id", "made_gate_id", "gate_id")
    return joined.with_columns_seq(at_gate=gate).drop("made_gate_id")


def _is_unmade(connection: Connection[Row], batch_id: int, rows: pl.DataFrame) -> pl.Series:
    """Tell which rows act on a payment that a row of an earlier phase makes, which waits itself."""
    ids = id_range(batch_id, 0, _LAST_LINE)
    is_own = pl.col("payment_id").is_between(ids["first_id"], ids["last_id"])
    here = pl.col("payment_id").is_in(rows["id"].implode())
    absent = acts_on_payment() & is_own & pl.col("known_gate_id").is_null() & ~here
    found = rows.select_seq(absent.fill_null(value=False).alias("absent")).to_series()
    if not found.any():
        return found
    makers = rows.filter(found)["payment_id"]
    merchants = rows["merchant_id"].unique().to_list()
    span = {"first_id": makers.min(), "last_id": makers.max()}
    ended = attempts.settled(connection, merchants, span)  # type: ignore[arg-type]  # not empty
    return found & ~rows["payment_id"].is_in(ended.implode()).fill_null(value=False)


def _touched(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the payments that rows act on and make: whoever acts on those is behind them."""
    return payments_of(rows).drop_nulls()
