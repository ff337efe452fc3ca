"""Settled sums: what the lines of a settlement file come to, as our settlements count it.

Sales are what was taken (captures and debits too) less what was cancelled of it; refunds are what
was given (payouts too) less what was cancelled of that. What moved no money yet counts as nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from paybatch import registry
from paybatch.domain.connector import Verb
from paybatch.store.reconcile import Window

_TAKEN = [each.value for each in (Verb.SALE, Verb.CAPTURE, Verb.DEBIT)]
_GIVEN = [each.value for each in (Verb.REFUND, Verb.CREDIT)]


@dataclass(frozen=True)
class Sums:
    """What a file comes to in a currency, and our settlement."""

    currency: str
    there_sale_minor: int
    there_refund_minor: int
    here_sale_minor: int
    here_refund_minor: int

    @property
    def are_alike(self) -> bool:
        """Tell whether the two are the same."""
        there = (self.there_sale_minor, self.there_refund_minor)
        return there == (self.here_sale_minor, self.here_refund_minor)


def sums_of(lines: pl.DataFrame) -> pl.DataFrame:
    """Sum the lines of a file up beside their calls: ``currency, sale_minor, refund_minor``."""
    verbs = {name: each.verb.value for name, each in registry.kinds().items() if each.verb}
    verb = pl.coalesce(pl.col("act").replace_strict(verbs, default=None), "verb")
    is_whole = (pl.col("state") == "approved") & (pl.col("there_minor") == pl.col("here_minor"))
    amount = pl.when(is_whole).then("moved_minor").otherwise("there_minor")
    is_void, is_payout = verb == Verb.VOID.value, pl.col("is_payout").fill_null(value=False)
    sale = pl.when(verb.is_in(_TAKEN)).then(amount).when(is_void & ~is_payout).then(-amount)
    refund = pl.when(verb.is_in(_GIVEN)).then(amount).when(is_void & is_payout).then(-amount)
    sides = lines.select_seq("currency", sale_minor=sale, refund_minor=refund)
    return sides.group_by("currency").agg(pl.all().sum()).sort("currency")


def beside(sums: pl.DataFrame, windows: Sequence[Window]) -> list[Sums]:
    """Give the sums of a file, by currency, beside those of our settlement."""
    there = {name: (sale, refund) for name, sale, refund in sums.iter_rows()}
    here = {each.currency: (each.sale_minor, each.refund_minor) for each in windows}
    none = (0, 0)
    names = sorted({*there, *here})
    return [Sums(name, *there.get(name, none), *here.get(name, none)) for name in names]
