"""What a table tells at a glance: which columns are empty, and which have a value in every row.

A rule that this decides is not asked of the rows. Of the rules for a plain sale two thirds fall
away so, and a table of one row costs little more than its rules.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

# A test of rows: an expression, or its answer where that is the same for every row.
Test = pl.Expr | bool


@dataclass(frozen=True)
class Known:
    """``some`` names the columns with any value, ``full`` those with one in every row."""

    some: frozenset[str]
    full: frozenset[str]

    def given(self, name: str) -> Test:
        """Tell where a column has a value."""
        if name in self.full:
            return True
        return pl.col(name).is_not_null() if name in self.some else False

    def none_of(self, names: Iterable[str]) -> Test:
        """Tell where all of these columns are empty."""
        return both(*(negated(self.given(name)) for name in names))

    def several_of(self, names: Iterable[str]) -> Test:
        """Tell where more than one of these columns has a value."""
        tests = [self.given(name) for name in names]
        always = sum(test is True for test in tests)
        open_ones = [test for test in tests if isinstance(test, pl.Expr)]
        if always > 1 or always + len(open_ones) <= 1:
            return always > 1
        return pl.sum_horizontal(test.cast(pl.Int8) for test in open_ones) > 1 - always


def known(frame: pl.DataFrame) -> Known:
    """Look at the columns of a table."""
    empty = {column.name: column.null_count() for column in frame.get_columns()}
    return Known(
        frozenset(name for name, count in empty.items() if count < frame.height),
        frozenset(name for name, count in empty.items() if count == 0),
    )


def both(*tests: Test) -> Test:
    """Tell where all of the tests hold."""
    if any(test is False for test in tests):
        return False
    asked = [test for test in tests if isinstance(test, pl.Expr)]
    return pl.all_horizontal(asked) if len(asked) > 1 else asked[0] if asked else True


def either(*tests: Test) -> Test:
    """Tell where any of the tests holds."""
    return negated(both(*(negated(test) for test in tests)))


def negated(test: Test) -> Test:
    """Tell where a test does not hold."""
    return not test if isinstance(test, bool) else ~test
