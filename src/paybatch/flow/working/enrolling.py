"""Enrolling: which cards go into which wallet, under which rank, while a chunk is worked.

Disputes are found on the same way: both look at what was kept before, and refuse rows by it.
"""

from dataclasses import dataclass, field
from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain.effects import Enroll
from paybatch.domain.few import distinct, nulls
from paybatch.domain.reasons import Reason
from paybatch.flow.working.disputing import Disputes, in_dispute
from paybatch.store import wallets
from paybatch.store.database import Connection, Row
from paybatch.store.payments import LOCKED
from paybatch.store.wallets import ENROLLED

RANK_MAX = 99  # as `columns.MEANS_RANK` can say
_CARD = ["merchant_id", "customer", "number_id", "expiry"]
_WALLET = ["merchant_id", "customer"]


@dataclass
class Wallets:
    """The wallets that a chunk fills, as they stand; without a connection nothing is looked at.

    ``disputes`` are those of its payments, where it has rows about any.
    """

    connection: Connection[Row] | None
    disputes: Disputes | None = None
    _held: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ENROLLED))
    _locked: set[tuple[int, str]] = field(default_factory=set)

    def admit(self, calls: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Give the calls with the ``rank`` of each new card, and those that are refused."""
        calls, refused = self._enrolled(calls)
        if self.disputes is None:
            return calls, refused
        calls, more = self.disputes.admit(calls)
        return calls, pl.concat([refused, more], how="diagonal")

    def _enrolled(self, calls: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        if _enrolling().keys().isdisjoint(distinct(calls["act"])):
            return calls, calls.clear()
        calls = calls.with_columns_seq(rank=pl.lit(None, pl.Int16))
        enrolls = calls.filter(pl.col("act").is_in(list(_enrolling())))
        if "filtered_by" in calls.columns:
            enrolls = enrolls.filter(pl.col("filtered_by").is_null())
        if self.connection is None or enrolls.is_empty():
            return calls, calls.clear()
        wanted = _cards(enrolls)
        self._lock(self.connection, wanted)
        held = wanted.join(self._held, on=_CARD, how="semi", nulls_equal=True)["id"]
        again = wanted.filter(~pl.struct(_CARD).is_first_distinct())["id"]
        good = wanted.filter(~pl.col("id").is_in([*held, *again]))
        last = self._held.group_by(_WALLET).agg(last=pl.col("rank").max())
        place = pl.int_range(1, pl.len() + 1).over(_WALLET)
        ranked = good.join(last, on=_WALLET, how="left", maintain_order="left").with_columns_seq(
            rank=(pl.col("last").fill_null(0) + place).cast(pl.Int16)
        )
        full = ranked.filter(pl.col("rank") > RANK_MAX)["id"]
        ranked = ranked.filter(pl.col("rank") <= RANK_MAX)
        self._held = pl.concat([self._held, ranked[list(ENROLLED)]])
        calls = calls.drop("rank").join(
            ranked.select_seq("id", "rank"), on="id", how="left", maintain_order="left"
        )
        reason = pl.when(pl.col("id").is_in(full.implode())).then(pl.lit(Reason.WALLET_FULL.value))
        is_refused = pl.col("id").is_in([*held, *again, *full])
        refused = calls.filter(is_refused).with_columns_seq(
            refusal=reason.otherwise(pl.lit(Reason.CARD_HELD.value))
        )
        return calls.filter(~is_refused), refused

    def _lock(self, connection: Connection[Row], wanted: pl.DataFrame) -> None:
        """Lock the wallets that are not locked yet, and read what they hold."""
        named = set(wanted.select_seq(_WALLET).iter_rows()) - self._locked
        for merchant_id in sorted({each for each, _ in named}):
            own = sorted(name for each, name in named if each == merchant_id)
            found = wallets.lock_wallets(connection, merchant_id, own)
            self._held = pl.concat([self._held, found])
        self._locked |= named


@cache
def _enrolling() -> dict[str, Enroll]:
    """Give the effects of the kinds that fill wallets."""
    kinds = registry.kinds().items()
    return {name: kind.enrolls for name, kind in kinds if kind.enrolls is not None}


def wallets_of(rows: pl.DataFrame, connection: Connection[Row] | None) -> Wallets | None:
    """Give the wallets that rows may fill; None if none of them is of such a kind."""
    kinds = set(distinct(rows["kind"]))
    disputes = None if connection is None or kinds.isdisjoint(in_dispute()) else connection
    if disputes is None and kinds.isdisjoint(_enrolling()):
        return None
    return Wallets(connection, None if disputes is None else Disputes(disputes))


def enrolled(rows: pl.DataFrame) -> pl.DataFrame:
    """Give what approved rows put into wallets, shaped as ``ENROLLED``."""
    if "rank" not in rows.columns:
        return pl.DataFrame(schema=ENROLLED)
    good = rows.filter(pl.col("is_approved") & pl.col("rank").is_not_null())
    return _cards(good)[list(ENROLLED)]


def _cards(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the card that each row puts into a wallet: ``ENROLLED`` and ``id``."""
    absent = [name for name in LOCKED if name not in rows.columns]
    rows = rows.hstack([c for n in absent for c in nulls([n], LOCKED[n], rows.height)])
    kept = pl.DataFrame(schema={"id": pl.Int64(), **ENROLLED})
    own = [
        rows.filter(pl.col("act") == name).select_seq(
            *("id", "merchant_id"),
            customer=effect.customer,
            number_id=effect.number_id,
            expiry=effect.expiry,
            rank=pl.col("rank"),
        )
        for name, effect in _enrolling().items()
    ]
    return pl.concat([kept, *own]).sort("id")
