"""Outward: what goes out, of a chunk or singly: calls to processors, and queries about them."""

from collections.abc import Iterator

import polars as pl

from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.sending.asking import asked
from paybatch.flow.sending.recover import is_query
from paybatch.flow.working.sender import Sender


def outward(engine: Engine, place: Place, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Send calls that are prepared; give the replies as they come, one for each.

    Never inside a transaction.
    """
    queries = calls.filter(is_query())
    if not queries.is_empty():
        yield asked(engine, queries)
        calls = calls.filter(~is_query())
    if not calls.is_empty():
        yield from Sender(engine, place).outward(calls)
