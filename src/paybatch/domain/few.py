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


def where(frame: pl.DataFrame, test: pl.Expr | pl.Series) -> pl.DataFrame:
    """Give the rows of a table for which a test holds, in their order; null = it does not."""
    if frame.height > FEW_ROWS:
        return frame.filter(test)
    if isinstance(test, pl.Expr):
        test = frame.select_seq(test).to_series()
    rows = [row for row, holds in enumerate(test.to_list()) if holds]
    if len(rows) == frame.height:
        return frame
    return frame[rows] if rows else frame.clear()


def is_among(column: pl.Series, values: Iterable[Any]) -> pl.Series:
    """Tell of each value of a column whether it is among others; null is not."""
    if len(column) <= FEW_ROWS:
        known = set(values) - {None}
        return pl.Series(column.name, [each in known for each in column.to_list()], dtype=_FLAG)
    others = values.implode() if isinstance(values, pl.Series) else list(values)
    return column.is_in(others).fill_null(value=False)


_FLAG = pl.Boolean()


def beside(frame: pl.DataFrame, other: pl.DataFrame, on: str, other_on: str) -> pl.DataFrame:
    """Put the row of another table that has the same number beside each row; others are left out.

    Both have each number once at most.
    """
    if frame[on].equals(other[other_on]):
        return frame.hstack(without(other, other_on).get_columns())
    if max(frame.height, other.height) > FEW_ROWS:
        return frame.join(other, left_on=on, right_on=other_on, maintain_order="left")
    places = {number: row for row, number in enumerate(other[other_on].to_list())}
    frame = where(frame, is_among(frame[on], places))
    rows = [places[number] for number in frame[on].to_list()]
    return frame.hstack(without(other, other_on)[rows].get_columns())


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
