"""Identifiers: what a card is known by beside its number, such as its holder's phone number."""

import polars as pl


def normal() -> pl.Expr:
    """Give each row's ``identifier`` as it is looked up: no capitals, no signs in phone numbers."""
    name = pl.col("identifier").str.to_lowercase()
    digits = name.str.replace_all(r"[ ()./\u00A0-]", "")
    return pl.when(pl.col("identifier_type") == "phone").then(digits).otherwise(name)
