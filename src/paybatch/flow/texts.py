"""From a file's own columns to the engine's: names and words, nothing more."""

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from paybatch import registry
from paybatch.domain.delimited import FileRefused
from paybatch.domain.dialect import Dialect

UNIT = "\x1f"


@dataclass(frozen=True)
class Layout:
    """The columns of one file under its dialect."""

    dialect: Dialect
    columns: tuple[str, ...]
    kind: str | None

    @cached_property
    def fields(self) -> dict[str, str]:
        """Engine field -> the physical column (``c0`` ...) that carries it."""
        found = {}
        for place, column in enumerate(self.columns):
            name = self.dialect.columns.get(column, "")
            if name:
                found[name] = f"c{place}"
        return found

    def place_of(self, field_name: str) -> int | None:
        """Give a field's place in the file, from 0; None if the file does not have it."""
        cell = self.fields.get(field_name)
        return int(cell[1:]) if cell else None

    def column_name(self, field_name: str) -> str:
        """Give the file's own name for an engine field."""
        place = self.place_of(field_name)
        if place is not None:
            return self.columns[place]
        return self.dialect.column_of(field_name)


def lay_out(dialect: Dialect, columns: list[str], kind: str | None) -> Layout:
    """Hold a header against its dialect; everything that is wrong with it is said at once.

    Raises:
        FileRefused: ``columns_wrong``: unknown, repeated or missing columns.
    """
    known = set(dialect.columns)
    faults = []
    unknown = [name for name in columns if name not in known]
    if unknown:
        faults.append("unknown columns: " + ", ".join(repr(name[:60]) for name in unknown[:20]))
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        faults.append("repeated columns: " + ", ".join(repr(name[:60]) for name in repeated[:20]))
    needed = dialect.required | ({dialect.column_of("kind")} if kind is None else set())
    missing = sorted(needed - set(columns))
    if missing:
        faults.append("missing columns: " + ", ".join(missing))
    if faults:
        raise FileRefused(
            "columns_wrong",
            f"Line 1: {'; '.join(faults)}. Dialect {dialect.name} knows: {', '.join(dialect.columns)}.",
        )
    return Layout(dialect, tuple(columns), kind)


def to_fields(layout: Layout, table: pl.DataFrame) -> pl.DataFrame:
    """Give ``line`` and a String column for every engine field that the file carries.

    ``kind_word`` keeps the word as it was written; ``kind`` is null where the dialect or we do not
    know it. In other columns a word without translation stays as it is: its field refuses it.
    """
    chosen = []
    for name, cell in layout.fields.items():
        if name == "kind":
            continue
        words = layout.dialect.words.get(name)
        column = pl.col(cell).replace(dict(words)) if words else pl.col(cell)
        chosen.append(column.alias(name))
    return table.select("line", *chosen, *_kinds(layout))


def _kinds(layout: Layout) -> list[pl.Expr]:
    """Give the columns ``kind`` and ``kind_word`` from the file, the default, or both."""
    words = layout.dialect.words.get("kind") or {name: name for name in registry.kinds()}
    cell = layout.fields.get("kind")
    word = pl.col(cell) if cell else pl.lit(None, pl.String)
    kind = word.replace_strict(dict(words), default=None, return_dtype=pl.String)
    if layout.kind is None:
        return [kind.alias("kind"), word.alias("kind_word")]
    absent = word.is_null()
    return [
        pl.when(absent).then(pl.lit(layout.kind)).otherwise(kind).alias("kind"),
        word.fill_null(layout.kind).alias("kind_word"),
    ]


def to_text(layout: Layout, table: pl.DataFrame, hidden: set[str]) -> pl.DataFrame:
    """Join each row's cells (``line, cells``), those of ``hidden`` fields left out."""
    blank = {layout.fields[name] for name in hidden if name in layout.fields}
    cells = [
        pl.lit("") if f"c{place}" in blank else pl.col(f"c{place}").fill_null("")
        for place in range(len(layout.columns))
    ]
    return table.select("line", pl.concat_str(cells, separator=UNIT).alias("cells"))


def from_text(columns: list[str], cells: pl.Expr, prefix: str) -> list[pl.Expr]:
    """Split joined cells into one String column for each column of the file; empty = null."""
    parts = cells.str.splitn(UNIT, len(columns))
    return [
        pl.when(parts.struct.field(f"field_{place}") != "")
        .then(parts.struct.field(f"field_{place}"))
        .alias(f"{prefix}{name}")
        for place, name in enumerate(columns)
    ]
