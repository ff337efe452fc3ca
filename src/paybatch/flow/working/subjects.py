"""Subjects: the payments that rows name by a reference, for rows that are not stored.

The same rules as in `store.subjects.resolve_subjects`, which does it for the rows of a batch: an
earlier line of the file, else the only payment; never past a line that was rejected; test and live
apart. Rows have ``line, merchant_id, gate_id`` (0 = none named), ``payment_id`` and
``payment_reference``, which is null where there is nothing to find.
"""

import polars as pl

from paybatch.domain.reasons import Reason
from paybatch.flow.place import Place
from paybatch.flow.working.claim import makes_payment
from paybatch.store import subjects
from paybatch.store.database import Connection, Row

_KEY = ["merchant_id", "payment_reference"]
_NO_LINE = pl.lit(0, pl.Int64)


def stored_subjects(connection: Connection[Row], place: Place, rows: pl.DataFrame) -> pl.DataFrame:
    """Find stored payments: fills ``payment_id``, or gives ``reason`` where there is not one."""
    if not rows["payment_reference"].count():
        return rows
    keys = rows.select_seq(_KEY).drop_nulls().unique()
    stored = subjects.payments_of_references(connection, keys, place.modes.test_gates)
    found = rows.join(stored, on=_KEY, how="left", maintain_order="left")
    own = _of_mode("count", _is_test(place)).fill_null(0)
    in_test = _mode_looked_at(place, own > 0)
    count = _of_mode("count", in_test).fill_null(0)
    is_named = pl.col("payment_reference").is_not_null()
    lost = (
        pl.when(count > 1)
        .then(pl.lit(Reason.REFERENCE_AMBIGUOUS.value))
        .when(count == 0)
        .then(pl.lit(Reason.PAYMENT_UNKNOWN.value))
    )
    payment = pl.when(count == 1).then(_of_mode("id", in_test))
    filled = found.with_columns_seq(
        payment_id=pl.when(is_named).then(payment).otherwise("payment_id"),
        reason=pl.when(is_named).then(lost).otherwise("reason"),
    )
    return filled.drop(name for name in stored.columns if name not in _KEY)


def makers_of(values: pl.DataFrame) -> pl.DataFrame:
    """Give the lines that make payments under a reference, or were to: then not ``makes``.

    ``values`` are those of `check`. A row of no known kind may have been meant to make one.
    """
    is_good, makes = pl.col("reason").is_null(), makes_payment()
    unknown = ~is_good & pl.col("kind").is_null() & pl.col("payment").is_null()
    return values.filter(pl.col("reference").is_not_null() & (makes | unknown)).select_seq(
        "line", "merchant_id", "gate_id", payment_reference="reference", makes=is_good
    )


def subjects_here(place: Place, makers: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Find what earlier lines make: ``payment_id`` is minus that line, or ``reason`` is given.

    Where no line above has the reference the row keeps its ``payment_reference``.
    """
    lines = pl.concat(
        [
            makers.with_columns_seq(acts=pl.lit(value=False)),
            rows.select_seq(
                *("line", "merchant_id", "gate_id", "payment_reference"),
                makes=pl.lit(value=False),
                acts=pl.lit(value=True),
            ).drop_nulls("payment_reference"),
        ]
    ).sort("line")
    above = lines.with_columns_seq(is_test=_is_test(place)).with_columns_seq(_lines_above())
    looked = above.filter("acts").select_seq("line", **_seen_from(place))
    joined = rows.join(looked, on="line", how="left", maintain_order="left")
    is_made = (pl.col("here_count") == 1) & (pl.col("here_id") > pl.col("here_rejected"))
    lost = (
        pl.when(pl.col("here_count") > 1)
        .then(pl.lit(Reason.REFERENCE_AMBIGUOUS.value))
        .when((pl.col("here_rejected") > 0) & ~is_made)
        .then(pl.lit(Reason.REFERENCE_REJECTED.value))
    )
    return joined.with_columns_seq(
        payment_id=pl.when(is_made).then(-pl.col("here_id")).otherwise("payment_id"),
        reason=pl.coalesce(lost, "reason"),
        payment_reference=pl.when(
            (pl.col("here_count") == 0) & (pl.col("here_rejected") == 0)
        ).then("payment_reference"),
    ).drop("here_count", "here_id", "here_rejected")


def _lines_above() -> list[pl.Expr]:
    """Count the lines above each line that make its reference's payment, and give the last ones.

    A rejected line of no known gate counts for both modes, one of no known merchant for everybody.
    """
    is_test, bad = pl.col("is_test"), ~pl.col("makes") & ~pl.col("acts")
    found = []
    for mode, is_own in (("live", ~is_test), ("test", is_test)):
        made = (pl.col("makes") & is_own).fill_null(value=False)
        rejected = bad & is_own.fill_null(value=True)
        found += [
            made.cast(pl.Int64).cum_sum().over(_KEY).alias(f"{mode}_count"),
            _last(made).over(_KEY).alias(f"{mode}_id"),
            _last(rejected).over(_KEY).alias(f"{mode}_rejected"),
        ]
    nobodys = bad & pl.col("merchant_id").is_null()
    return [*found, _last(nobodys).over("payment_reference").alias("nobodys")]


def _last(wanted: pl.Expr) -> pl.Expr:
    """Give the last line so far of which something holds; 0 where none is."""
    return pl.when(wanted).then("line").otherwise(_NO_LINE).cum_max()


def _seen_from(place: Place) -> dict[str, pl.Expr]:
    """Give what a row sees of the lines above it, in the mode that it looks at."""
    is_test = pl.col("is_test")
    is_there = (_of_mode("count", is_test) > 0) | (_of_mode("rejected", is_test) > 0)
    in_test = _mode_looked_at(place, is_there)
    return {
        "here_count": _of_mode("count", in_test),
        "here_id": _of_mode("id", in_test),
        "here_rejected": pl.max_horizontal(_of_mode("rejected", in_test), "nobodys"),
    }


def _is_test(place: Place) -> pl.Expr:
    """Tell in which mode a row's gate is, or the default gate of its merchant; null = not known."""
    gate, merchant = pl.col("gate_id"), pl.col("merchant_id")
    by_default = pl.when(gate == 0).then(merchant.is_in(place.modes.test_merchants))
    return pl.when(gate > 0).then(gate.is_in(place.modes.test_gates)).otherwise(by_default)


def _mode_looked_at(place: Place, is_there: pl.Expr) -> pl.Expr:
    """Tell whether a row means a payment in test mode: the other mode only if it named no gate."""
    is_test = _is_test(place)
    return pl.when((pl.col("gate_id") > 0) | is_there).then(is_test).otherwise(~is_test)


def _of_mode(name: str, is_test: pl.Expr) -> pl.Expr:
    return pl.when(is_test).then(f"test_{name}").otherwise(f"live_{name}")
