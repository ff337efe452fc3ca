"""Changes: what approvals do to the payments that they act on, row after row.

Rows have ``act`` (the kind whose effects hold), ``is_approved``, ``approved_minor``,
``declined_for`` (the response of a processor that declined) and their payment's columns; rows of
one payment are in line order and start from the same payment.
"""

from dataclasses import dataclass
from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain.few import distinct
from paybatch.domain.payment import CHANGEABLE

KEY = ["merchant_id", "payment_id"]
STATE = "state"


@dataclass(frozen=True)
class Changes:
    """What the effects of some kinds change: columns of the payment, and by how much.

    Attributes:
        names: The amounts that may grow, and ``state`` if that may change.
        by: A column ``NAME_by`` for each of them: what a row adds, or the new state (else null).
    """

    names: tuple[str, ...]
    by: tuple[pl.Expr, ...]

    @property
    def amounts(self) -> tuple[str, ...]:
        """The names of the amounts among them."""
        return tuple(name for name in self.names if name != STATE)

    def summed(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Add the changes of rows up: ``KEY``, amounts and state, one row a changed payment."""
        if not self.names:
            return pl.DataFrame()
        sums = [pl.col(f"{name}_by").sum().alias(name) for name in self.amounts]
        if STATE in self.names:
            sums.append(pl.col("state_by").drop_nulls().last().alias(STATE))
        is_changed = [pl.col(name) != 0 for name in self.amounts]
        if STATE in self.names:
            is_changed.append(pl.col(STATE).is_not_null())
        return (
            rows.group_by(KEY, maintain_order=True).agg(sums).filter(pl.any_horizontal(is_changed))
        )

    def after(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give rows with their payment as they leave it."""
        left = [(pl.col(name) + pl.col(f"{name}_by")).alias(name) for name in self.amounts]
        if STATE in self.names:
            left.append(pl.coalesce("state_by", STATE).alias(STATE))
        return rows.with_columns_seq(left)


@cache
def changes_of(acts: frozenset[str]) -> Changes:
    """Give what kinds change."""
    grown: dict[str, pl.Expr] = {}
    state: pl.Expr | None = None
    declined: pl.Expr = pl.lit(None, pl.String)
    for name in sorted(acts):
        effect, own = registry.kinds()[name].changes, pl.col("act") == name
        if effect is None:
            continue
        for amount, by in effect.amounts.items():
            earlier = grown.get(amount, pl.lit(0, pl.Int64))
            grown[amount] = pl.when(own).then(by).otherwise(earlier)
        if effect.state_declined is not None:
            declined = pl.when(own).then(effect.state_declined).otherwise(declined)
        if effect.state is not None or effect.state_declined is not None:
            otherwise = pl.lit(None, pl.String) if state is None else state
            becomes = pl.lit(None, pl.String) if effect.state is None else effect.state
            state = pl.when(own).then(becomes).otherwise(otherwise)
    approved, amounts = pl.col("is_approved"), [name for name in CHANGEABLE if name in grown]
    changed = [
        pl.when(approved).then(grown[name]).otherwise(0).fill_null(0).alias(f"{name}_by")
        for name in amounts
    ]
    if state is None:
        return Changes(tuple(amounts), tuple(changed))
    changed.append(pl.when(approved).then(state).otherwise(declined).alias("state_by"))
    return Changes((*amounts, STATE), tuple(changed))


def in_sequence(rows: pl.DataFrame) -> pl.DataFrame:
    """Give each row its payment as the rows before it leave it, and what it adds to it.

    What a row adds may depend on what it finds (the rest that a final capture releases), so this is
    repeated until it stands; the first row is right at once, each pass makes at least one more
    right.
    """
    changes = changes_of(frozenset(distinct(rows["act"])))
    base, rows = rows, rows.with_columns_seq(changes.by)
    if not changes.names or rows[KEY].n_unique() == rows.height:
        return rows
    while True:
        found = rows.select_seq(_found(base, name) for name in changes.names)
        if found.equals(rows[changes.names]):
            return rows
        rows = rows.with_columns_seq(found).with_columns_seq(changes.by)


def _found(base: pl.DataFrame, name: str) -> pl.Expr:
    """Give a column of the payment as the rows before leave it."""
    by = pl.col(f"{name}_by")
    if name == STATE:
        return pl.coalesce(by.forward_fill().shift(1).over(KEY), pl.lit(base[STATE])).alias(STATE)
    return (pl.lit(base[name]) + by.cum_sum().over(KEY) - by).alias(name)


def added_up(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """Add the changes of several rounds up: one row a payment, with every amount and the state."""
    rows = pl.concat(parts, how="diagonal")
    absent = [name for name in CHANGEABLE if name not in rows.columns]
    zeros = [pl.lit(0, pl.Int64).alias(name) for name in absent]
    if STATE not in rows.columns:
        zeros.append(pl.lit(None, pl.String).alias(STATE))
    rows = rows.with_columns_seq(zeros)
    if len(parts) == 1:
        return rows
    last = pl.col(STATE).drop_nulls().last()
    return rows.group_by(KEY, maintain_order=True).agg(pl.col(CHANGEABLE).sum(), last)
