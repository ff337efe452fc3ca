"""Text: columns of text, put together from others."""

import polars as pl


def filled(pattern: str, *parts: pl.Expr | str) -> pl.Expr:
    """Fill the places ``{}`` of a pattern, in their order; null where any part is null.

    As ``pl.format``, which in polars 2.1 panics on a column whose first chunk is empty. That is
    what a filter leaves of a table that was put together from several.
    """
    texts = pattern.split("{}")
    assert len(texts) == len(parts) + 1, "a part for each place"
    found: list[pl.Expr] = [pl.lit(texts[0])] if texts[0] else []
    for part, text in zip(parts, texts[1:], strict=True):
        found.append(pl.col(part) if isinstance(part, str) else part)
        if text:
            found.append(pl.lit(text))
    return pl.concat_str(found)
