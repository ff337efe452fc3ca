"""Filters: new payments that match a list are refused by us and never sent."""

import polars as pl

from paybatch import registry
from paybatch.domain.few import chosen, distinct
from paybatch.domain.lists import LISTED
from paybatch.domain.reasons import sentence_of
from paybatch.store import facts, numbers
from paybatch.store.database import Connection, Row

DETAILS = {"email": "email", "ip": "customer_ip"}  # what stands in a row's own text


def filtered(
    connection: Connection[Row], rows: pl.DataFrame, whats: frozenset[str]
) -> pl.DataFrame:
    """Add ``filtered_by``: the Reason why a row that makes a payment is not to be sent, or null.

    Where no row is on a list the rows stay as they are.
    """
    makes = [name for name in distinct(rows["kind"]) if registry.kinds()[name].makes]
    if not makes:
        return rows
    looked = rows
    if "bin" in whats:
        looked = _with_bins(
            connection, rows.with_columns_seq(card_bin=pl.col("masked").str.head(6))
        )
    is_new, reasons = pl.col("kind").is_in(makes), []
    for what, (column, why) in LISTED.items():
        if what not in whats or not looked[column].count():
            continue
        value = pl.col(column).str.to_lowercase().alias("value")
        wanted = looked.select_seq(is_new.alias("new"), "merchant_id", "gate_id", value)
        found = facts.listed(
            connection, what, [each[1:] for each in set(wanted.rows()) if all(each)]
        )
        if found:
            hits = [each[0] and each[1:] in found for each in wanted.iter_rows()]
            reasons.append(pl.when(pl.Series(hits)).then(pl.lit(why.value)))
    if not reasons:
        return rows
    return rows.with_columns_seq(filtered_by=pl.coalesce(*reasons, pl.lit(None, pl.String)))


def _with_bins(connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Add the BIN of rows that take their number from an earlier payment."""
    takes = rows.filter(pl.col("card_bin").is_null() & pl.col("number_id").is_not_null())
    masks: dict[str, str] = {}
    for (merchant_id,), own in takes.group_by("merchant_id"):
        ids = own["number_id"].unique().to_list()
        found = numbers.known_numbers(connection, int(str(merchant_id)), ids)
        masks |= dict(found.select_seq("number_id", "masked").iter_rows())
    bins = chosen(rows["number_id"], masks, pl.String()).str.head(6)
    return rows.with_columns_seq(card_bin=pl.coalesce("card_bin", bins))


def told() -> dict[str, pl.Expr]:
    """Give reason and message of rows that were filtered; null for the others."""
    reason = pl.col("filtered_by")
    return {"reason": reason, "message": sentence_of(reason)}
