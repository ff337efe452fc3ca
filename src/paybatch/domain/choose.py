"""Choose: a value for each key of a column, from a mapping.

What ``replace_strict`` does; a chain of comparisons costs a third of it where there are few values,
which a table of one row feels.
"""

from collections.abc import Mapping
from typing import Any

import polars as pl

CHAIN_MAX = 8


def choose(column: pl.Expr, values: Mapping[Any, Any], dtype: type[pl.DataType]) -> pl.Expr:
    """Give ``values[key]`` for a column of keys; null where there is none."""
    keys: dict[Any, list[Any]] = {}
    for key, value in values.items():
        keys.setdefault(value, []).append(key)
    if not keys or len(keys) > CHAIN_MAX:
        return column.replace_strict(dict(values), default=None, return_dtype=dtype)
    chain: pl.Expr = pl.lit(None, dtype)
    for value, own in keys.items():
        is_own = column == own[0] if len(own) == 1 else column.is_in(own)
        chain = pl.when(is_own).then(pl.lit(value, dtype)).otherwise(chain)
    return chain
