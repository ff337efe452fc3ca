"""A few rows: what costs more than the rows themselves when a table is small.

A single call is a table of one row and goes the way of all tables. What takes polars a plan, a
hash table or a thread is done here by a loop where the rows are few; the answer is the same.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import polars as pl

FEW_ROWS = 64


def chosen(keys: pl.Series, values: Mapping[Any, Any], dtype: pl.DataType) -> pl.Series:
    """Give ``values[key]`` for each key; null where there is none."""
    if len(keys) <= FEW_ROWS:
        return pl.Series(keys.name, [values.get(key) for key in keys.to_list()], dtype=dtype)
    return keys.replace_strict(dict(values), default=None, return_dtype=dtype)


def has_any(column: pl.Series, values: Iterable[Any]) -> bool:
    """Tell whether any of the values stands in a column."""
    if len(column) <= FEW_ROWS:
        return not set(values).isdisjoint(column.to_list())
    return bool(column.is_in(list(values)).any())


def nulls(names: Iterable[str], dtype: pl.DataType, height: int) -> list[pl.Series]:
    """Give a column of nulls for each name."""
    none = _null(dtype).new_from_index(0, height)
    return [none.alias(name) for name in names]


@cache
def _null(dtype: pl.DataType) -> pl.Series:
    return pl.Series([None], dtype=dtype)


def distinct(column: pl.Series) -> list[Any]:
    """Give the values of a column, each once, in the order in which they come; no null."""
    if len(column) <= FEW_ROWS:
        return [value for value in dict.fromkeys(column.to_list()) if value is not None]
    return column.drop_nulls().unique(maintain_order=True).to_list()


def joined(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Put tables below each other; one alone stays as it is."""
    return frames[0] if len(frames) == 1 else pl.concat(frames)


def without(frame: pl.DataFrame, *names: str) -> pl.DataFrame:
    """Give a table without these columns, if it has them."""
    return frame[[name for name in frame.columns if name not in names]]
