"""Sources: rows that make a payment from one of another merchant, whose means they take.

Such a row is looked up when it is read, as a wallet is: then it is a new payment of its own
merchant by a means that is known, and acts on nobody else's payment. The sender acts for both
merchants. A file without the column pays nothing for this.
"""

from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.columns import SOURCE_MERCHANT
from paybatch.domain.few import chosen, nulls
from paybatch.domain.kind import Fault
from paybatch.domain.reasons import Reason
from paybatch.flow.describe import NO_ERRORS, describe
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.texts import Layout
from paybatch.store import sources, subjects

_NAME = SOURCE_MERCHANT.name
_IS_SET = pl.col("has_source")
_TAKEN = {
    "number_id": "source_number_id",
    "expiry": "source_expiry",
    "brand": "source_brand",
    "masked": "source_masked",
    "found_bank_code": "source_bank_code",
}


@cache
def _takes_source() -> pl.Expr:
    kinds = registry.kinds().values()
    return pl.col("kind").is_in([kind.name for kind in kinds if SOURCE_MERCHANT in kind.fields])


def set_aside(texts: pl.DataFrame) -> pl.DataFrame:
    """Take the payment from rows that name another merchant's: ``source_payment`` and its id.

    ``texts`` come from `owners.find_owners`. What is not theirs gives the row no merchant either.
    """
    if _NAME not in texts.columns or not texts[_NAME].count():
        return texts
    if "payment" not in texts.columns:
        texts = texts.hstack(nulls(["payment"], pl.String(), texts.height))
    is_other = pl.col(_NAME).is_not_null() & _takes_source().fill_null(value=False)
    aside = [
        pl.when(is_other).then(name).alias(f"source_{name}") for name in ("payment", "payment_id")
    ]
    kept = [pl.when(~is_other).then(name).alias(name) for name in _OWN]
    return texts.with_columns_seq(*aside, *kept, has_source=is_other)


_OWN = ("payment", "payment_id", "owner_id")


def find_sources(engine: Engine, place: Place, values: pl.DataFrame) -> pl.DataFrame:
    """Give rows with a payment of another merchant its means, or ``source_refusal``."""
    if "has_source" not in values.columns:
        return values
    merchants = chosen(values[_NAME], place.merchants, pl.Int32()).alias("source_id")
    rows = values.hstack([merchants])
    asked = rows.filter(_IS_SET)
    with engine.database.transaction() as connection:
        keys = asked.select_seq(
            merchant_id="source_id",
            payment_reference=pl.when(pl.col("source_payment_id").is_null()).then("source_payment"),
        )
        stored = subjects.payments_of_references(
            connection, keys.drop_nulls().unique(), place.modes.test_gates
        )
        rows = _with_ids(rows, stored)
        wanted = rows.select_seq("source_id", "source_payment_id").drop_nulls().unique()
        found = sources.sources(connection, wanted)
    joined = rows.join(
        found, on=["source_id", "source_payment_id"], how="left", maintain_order="left"
    )
    refused = _refusal(place)
    taken = [
        pl.when(_IS_SET & refused.is_null()).then(theirs).otherwise(own).alias(own)
        for own, theirs in _TAKEN.items()
    ]
    return joined.with_columns_seq(*taken, source_refusal=refused)


def _with_ids(rows: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Fill in the payments that are named by their reference, in the mode of the row's gate."""
    by_name = stored.rename({"merchant_id": "source_id", "payment_reference": "source_payment"})
    joined = rows.join(
        by_name, on=["source_id", "source_payment"], how="left", maintain_order="left"
    )
    is_test = pl.col("gate_is_test")
    count = pl.when(is_test).then("test_count").otherwise("live_count").fill_null(0)
    named = pl.when(is_test).then("test_id").otherwise("live_id")
    by_reference = _IS_SET & pl.col("source_payment_id").is_null()
    return joined.with_columns_seq(
        source_payment_id=pl.when(by_reference & (count == 1))
        .then(named)
        .otherwise("source_payment_id"),
        source_count=pl.when(by_reference).then(count),
    ).drop("live_count", "live_id", "test_count", "test_id")


def _refusal(place: Place) -> pl.Expr:
    """Give the reason for which a source cannot be taken."""
    mode = pl.col("source_gate_id").is_in(place.modes.test_gates)
    brand, state = pl.col("source_brand"), pl.col("source_state")
    ladder = {
        Reason.VALUE_MISSING: pl.col("source_payment").is_null(),
        Reason.MERCHANT_UNKNOWN: pl.col("source_id").is_null(),
        Reason.REFERENCE_AMBIGUOUS: pl.col("source_count") > 1,
        Reason.PAYMENT_UNKNOWN: pl.col("source_count") == 0,
        # Test and live never mix: there a payment of the other mode is as one that is not there.
        Reason.PAYMENT_UNKNOWN: state.is_null() | (mode != pl.col("gate_is_test")),
        Reason.PAYMENT_IN_DOUBT: state.is_in(["pending", "unknown"]),
        Reason.MEANS_MISSING: pl.col("source_number_id").is_null(),
        Reason.MANDATE_NEEDED: brand == IBAN_BRAND,
    }
    reasons = [
        pl.when(_IS_SET & fails.fill_null(value=False)).then(pl.lit(reason.value))
        for reason, fails in ladder.items()
    ]
    return pl.coalesce(reasons)


def source_errors(layout: Layout, place: Place, values: pl.DataFrame) -> pl.DataFrame:
    """Say what is wrong with rows whose source cannot be taken, shaped as ``describe.ERRORS``."""
    if "source_refusal" not in values.columns or not values["source_refusal"].count():
        return NO_ERRORS
    told = values.with_columns_seq(payment="source_payment")
    found = []
    for reason in Reason:
        rows = told.filter(pl.col("source_refusal") == reason.value)
        if not rows.is_empty():
            column = _NAME if reason is Reason.MERCHANT_UNKNOWN else "payment"
            fault = Fault(reason, column, pl.lit(value=True))
            found.append(describe(layout, place, rows, fault))
    return pl.concat(found)


def share(engine: Engine, rows: pl.DataFrame) -> None:
    """Give the vaults of the rows' merchants the numbers that they take from others."""
    if "source_refusal" not in rows.columns:
        return
    shared = rows.filter(_IS_SET & pl.col("reason").is_null())
    keys = shared.select_seq("merchant_id", "source_id", "number_id").rows()
    if keys:
        with engine.database.transaction() as connection:
            sources.share_numbers(connection, keys)
