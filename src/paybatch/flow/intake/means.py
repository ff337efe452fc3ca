"""Means that a row names in place of a number: card references, customers and identifiers.

Read-only: it finds the number behind the name, or marks that there is none.
"""

from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain import identifiers
from paybatch.domain.few import nulls
from paybatch.flow.engine import Engine
from paybatch.flow.intake.values import kept_names
from paybatch.store import directory, facts, numbers
from paybatch.store.database import Connection, Row

CARD, BANK = "card", "bank"
_FOUND = {
    "number_id": pl.String(),
    "found_expiry": pl.Int16(),
    "found_brand": pl.String(),
    "found_masked": pl.String(),
    "found_bank_code": pl.String(),
    "found_account_type": pl.String(),
}


def find_means(engine: Engine, frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``number_id`` and what stands beside it for rows that name a known means.

    Also adds ``card_reference_unknown``, ``customer_unknown`` and ``identifier_unknown`` (Boolean).
    The expiry, brand and mask of a known means take the place of the row's own. Customers and
    identifiers are looked up for rows that pay only: other kinds give them.
    """
    named = [name for name in _WAYS if frame[name].count()]
    if not named:
        return frame.hstack(_nothing_found(frame.height))
    frame = frame.with_columns_seq(pl.lit(None, kind).alias(name) for name, kind in _FOUND.items())
    with engine.database.transaction() as connection:
        for name in named:
            rows = frame.filter(_is_looked_up(name))
            frame = _merge(frame, _WAYS[name](engine, connection, rows))
    missing = pl.col("number_id").is_null() & pl.col("merchant_id").is_not_null()
    return frame.with_columns_seq(
        *((_is_looked_up(name) & missing).alias(f"{name}_unknown") for name in _WAYS),
        expiry=pl.coalesce("expiry", "found_expiry"),
        brand=pl.coalesce("brand", "found_brand"),
        masked=pl.coalesce("masked", "found_masked"),
        account_type=pl.coalesce("account_type", "found_account_type"),
    )


def _nothing_found(height: int) -> list[pl.Series]:
    known = pl.Series([False]).new_from_index(0, height)
    found = [column for name, kind in _FOUND.items() for column in nulls([name], kind, height)]
    return [*found, *(known.alias(f"{name}_unknown") for name in _WAYS)]


@cache
def _is_looked_up(name: str) -> pl.Expr:
    """Tell which rows name their means so."""
    given = pl.col(name).is_not_null()
    if name == "card_reference":
        return given
    pays = [kind.name for kind in registry.kinds().values() if kind.pays]
    return given & pl.col("kind").is_in(pays).fill_null(value=False)


def _merge(frame: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    columns = found.select_seq("line", *_FOUND)
    joined = frame.join(columns, on="line", how="left", suffix="_new", maintain_order="left")
    merged = [pl.coalesce(f"{name}_new", name).alias(name) for name in _FOUND]
    return joined.with_columns_seq(merged).drop(f"{name}_new" for name in _FOUND)


def _known(connection: Connection[Row], wanted: pl.DataFrame) -> pl.DataFrame:
    """Give the vault's numbers among ``merchant_id, number_id``, with what stands beside them."""
    found = []
    for (merchant_id,), group in wanted.partition_by("merchant_id", as_dict=True).items():
        ids = group["number_id"].drop_nulls().unique().to_list()
        known = numbers.known_numbers(connection, int(merchant_id), ids)
        found.append(known.with_columns_seq(merchant_id=pl.lit(merchant_id, pl.Int32)))
    nothing = pl.DataFrame(schema={**numbers.KNOWN, "merchant_id": pl.Int32})
    return pl.concat([nothing, *found])


def _by_reference(engine: Engine, connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Read card references and look their numbers up in the vault of the row's merchant."""
    texts = rows["card_reference"]
    card = engine.public_ids.decode_reference(texts, CARD)
    bank = engine.public_ids.decode_reference(texts, BANK)
    wanted = rows.select_seq("line", "merchant_id").with_columns_seq(
        number_id=card["number_id"].zip_with(card["number_id"].is_not_null(), bank["number_id"]),
        found_expiry=card["expiry"].cast(pl.Int16),
    )
    known = _known(connection, wanted.drop_nulls("merchant_id"))
    joined = wanted.join(known, on=["merchant_id", "number_id"], how="inner")
    return joined.rename({"brand": "found_brand", "masked": "found_masked"}).select_seq(
        "line",
        "number_id",
        "found_expiry",
        "found_brand",
        "found_masked",
        found_bank_code="bank_code",
        found_account_type=pl.lit(None, pl.String),
    )


def _by_customer(engine: Engine, connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Look up the customers' means: by rank, by type, or the first."""
    assert engine.settings  # the same signature as the other way to find a means
    found = []
    for (merchant_id,), group in rows.partition_by("merchant_id", as_dict=True).items():
        if merchant_id is not None:
            names = group["customer"].unique().to_list()
            wallet = directory.means_of_customers(connection, int(merchant_id), names)
            found.append(_choose(group, wallet))
    return pl.concat(found) if found else rows.clear().select_seq("line", *_FOUND)


def _choose(rows: pl.DataFrame, wallet: pl.DataFrame) -> pl.DataFrame:
    wanted = rows.select_seq(
        "line",
        "customer",
        wanted_rank=pl.col("means_rank").cast(pl.Int16, strict=False),
        wanted_means=pl.col("means_type").replace({"ach": BANK}),
    )
    joined = wanted.join(wallet, on="customer", how="inner").filter(
        (pl.col("wanted_rank").is_null() | (pl.col("wanted_rank") == pl.col("rank"))),
        (pl.col("wanted_means").is_null() | (pl.col("wanted_means") == pl.col("means"))),
    )
    first = joined.sort("line", "rank").unique("line", keep="first", maintain_order=True)
    return first.select_seq(
        "line",
        "number_id",
        found_expiry="expiry",
        found_brand="brand",
        found_masked="masked",
        found_bank_code="bank_code",
        found_account_type="account_type",
    )


def _by_identifier(engine: Engine, connection: Connection[Row], rows: pl.DataFrame) -> pl.DataFrame:
    """Look up the cards that identifiers stand for, by the newest mapping of the merchant."""
    kept = rows.with_columns_seq(kept_names(engine, rows["identifier"]))
    wanted = kept.select_seq("line", "merchant_id", "identifier_type", name=identifiers.normal())
    found = facts.cards_of_names(connection, wanted.drop_nulls())
    joined = wanted.join(found, on=["merchant_id", "identifier_type", "name"], how="inner")
    return joined.with_columns_seq(found_account_type=pl.lit(None, pl.String))


_WAYS = {
    "card_reference": _by_reference,
    "customer": _by_customer,
    "identifier": _by_identifier,
}
