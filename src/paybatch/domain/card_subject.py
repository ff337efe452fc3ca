"""Kinds that act on a card: one that a row brings, names by its reference, or that paid before."""

from collections.abc import Iterable

import polars as pl

from paybatch.domain import lists
from paybatch.domain.banks import ACCOUNT_BRANDS
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.fields import Field
from paybatch.domain.kind import Fault
from paybatch.domain.reasons import Reason

NUMBER = pl.coalesce("payment_number_id", "number_id")
EXPIRY = pl.coalesce("payment_expiry", "expiry")


_EVERY = pl.lit(value=True)


def card_faults(fields: Iterable[Field], needs_expiry: pl.Expr = _EVERY) -> tuple[Fault, ...]:
    """Give the faults of rows that do not name exactly one card, with its expiry if needed."""
    is_found = pl.col("card_number").is_not_null() | pl.col("found_brand").is_not_null()
    is_account = pl.col("found_brand").is_in(list(ACCOUNT_BRANDS)).fill_null(value=False)
    without_expiry = is_found & pl.col("expiry").is_null() & pl.col("card_expiry").is_null()
    return (
        *lists.one_subject(fields),
        Fault(Reason.CARD_NEEDED, "card_reference", is_account),
        Fault(Reason.MEANS_INCOMPLETE, "card_expiry", without_expiry & ~is_account & needs_expiry),
    )


def card_refusals(_: Capabilities) -> tuple[Fault, ...]:
    """Give the refusals of rows whose payment was not made with a card."""
    return (
        Fault(Reason.MEANS_MISSING, "payment", pl.col("payment_number_id").is_null()),
        Fault(Reason.CARD_NEEDED, "payment", pl.col("payment_brand").is_in(list(ACCOUNT_BRANDS))),
    )
