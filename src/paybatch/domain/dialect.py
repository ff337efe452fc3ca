"""The contract of a dialect: how a file language names our columns, and how it writes results.

A dialect is one module in ``paybatch.dialects`` with one constant ``DIALECT``. It never computes
anything about payments: it renames, translates words, and lays out results.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from paybatch.domain.fields import FieldType

Words = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a dialect says of itself.

    Attributes:
        name: The module's name; the word after ``--dialect``.
        title: The name for people.
        source: Where the format is published.
        columns: Column of a request file -> the engine's field; "" = kept and given back only.
        has_our_columns: Whether it knows every column of every kind by our own name.
        required: Columns that a header must have.
        marks: Columns whose presence tells that a file is of this dialect.
        words: For a field, the dialect's word -> ours (``transaction_type`` words to kinds).
        limits: For a field, what its column may hold where that is less than the field may.
        id_shape: The published shape of ids in results.
        quote_all: Whether every cell of a result is quoted.
        result: Report rows -> the result's cells as String columns, in their order.
        result_columns: Columns of a request file -> the header of its result.
        sample_kinds: Kinds that the format can carry; None = all of them.
        samples: Rows of its sample file, by field name; none = those of the kinds it can carry.
        document: The manual page; the registry fills in the module's docstring.
    """

    name: str
    title: str
    source: str
    columns: Mapping[str, str]
    has_our_columns: bool = False
    required: frozenset[str]
    marks: frozenset[str]
    words: Words = field(default_factory=dict)
    limits: Mapping[str, FieldType] = field(default_factory=dict)
    id_shape: str
    quote_all: bool
    result: Callable[[pl.DataFrame, Sequence[str]], pl.DataFrame]
    result_columns: Callable[[Sequence[str]], list[str]]
    sample_kinds: frozenset[str] | None = None
    samples: tuple[Mapping[str, str], ...] = ()
    document: str = field(default="", compare=False)

    def column_of(self, field_name: str) -> str:
        """Give this dialect's name for an engine field (the field's own name if it has none)."""
        for column, name in self.columns.items():
            if name == field_name:
                return column
        return field_name

    def kind_of(self, word: str) -> str:
        """Give our name of a kind that a person calls by this dialect's word; else the word."""
        plain = word.strip().lower().replace(" ", "_").replace("-", "_")
        return self.words.get("kind", {}).get(plain, word)
