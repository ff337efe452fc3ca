"""From a file's own columns to the engine's: names and words, nothing more."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import polars as pl

from paybatch import registry
from paybatch.domain.delimited import FileRefused
from paybatch.domain.dialect import Dialect
from paybatch.domain.few import FEW_ROWS, chosen, nulls
from paybatch.domain.fields import ROUTING

UNIT = "\x1f"
NUMBERS = ("card_number", "account_number")
# What begins so is a reference, not a number; whole ones of ours are no secret.
REFERENCE = "^(?:card|bank)_"
_REFERENCE = re.compile(REFERENCE)
WHOLE_REFERENCE = "^(?:card|bank)_[0-9a-v]{36}$"
_TOLD_MAX, _TOLD_CHARACTERS_MAX = 20, 60
_DIGITS = re.compile(r"\d{3,}")


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


def told(names: Iterable[str]) -> str:
    """Tell column names to a person: quoted, cut, and without digits.

    The first line of a file without names is its first row: it may hold a card number.
    """
    shown = [repr(_DIGITS.sub("***", name)[:_TOLD_CHARACTERS_MAX]) for name in names]
    more = [f"and {len(shown) - _TOLD_MAX} more"] if len(shown) > _TOLD_MAX else []
    return ", ".join(shown[:_TOLD_MAX] + more)


def lay_out(dialect: Dialect, columns: list[str], kind: str | None) -> Layout:
    """Hold a header against its dialect; everything that is wrong with it is said at once.

    Raises:
        FileRefused: ``columns_wrong``: unknown, repeated, missing or nameless columns.
    """
    known = [name for name, field in dialect.columns.items() if field]
    faults = []
    nameless = [place for place, name in enumerate(columns, start=1) if not name]
    if nameless:
        faults.append(f"{len(nameless)} columns without a name, the first is column {nameless[0]}")
    distinct = dict.fromkeys(name for name in columns if name)
    unknown = [name for name in distinct if name not in dialect.columns]
    if unknown:
        faults.append(f"unknown columns: {told(unknown)}{meant(unknown, known)}")
    repeated = [name for name in distinct if columns.count(name) > 1]
    if repeated:
        faults.append(f"repeated columns: {told(repeated)}")
    needed = dialect.required | ({dialect.column_of("kind")} if kind is None else set())
    missing = sorted(needed - set(columns))
    if missing:
        faults.append(f"missing columns: {told(missing)}")
    if faults:
        raise FileRefused(
            "columns_wrong",
            f"Line 1: {'; '.join(faults)}. Dialect {dialect.name} knows: {', '.join(known)}.",
        )
    return Layout(dialect, tuple(columns), kind)


def meant(unknown: list[str], known: list[str]) -> str:
    """Name the column that was meant, where one is close."""
    spoken = {name.lower(): name for name in known}
    for name in unknown[:_TOLD_MAX]:
        close = get_close_matches(name[:_TOLD_CHARACTERS_MAX].lower(), spoken, 1, 0.8)
        if close:
            return f" (is {told([name])} meant to be {spoken[close[0]]!r}?)"
    return ""


def to_fields(layout: Layout, table: pl.DataFrame) -> pl.DataFrame:
    """Give ``line`` and a String column for every engine field that the file carries.

    ``kind_word`` keeps the word as it was written; ``kind`` is null where the dialect or we do not
    know it. In other columns a word without translation stays as it is: its field refuses it.
    """
    columns = [table["line"]]
    for name, cell in layout.fields.items():
        if name == "kind":
            continue
        words = layout.dialect.words.get(name)
        column = table[cell].replace(dict(words)) if words else table[cell]
        columns.append(column.alias(name))
    return _with_references(pl.DataFrame([*columns, *_kinds(layout, table)]))


def _with_references(texts: pl.DataFrame) -> pl.DataFrame:
    """Take a card reference that stands in a number column for what it is.

    So results, which carry references in place of numbers, can be sent in again. ``written_at``
    then names the field where the row has it. A row that has a ``card_reference`` too is left as
    it is, and refused.
    """
    for name in NUMBERS:
        if name not in texts.columns or not _refers(texts[name]):
            continue
        absent = [each for each in ("card_reference", "written_at") if each not in texts.columns]
        texts = texts.with_columns_seq(pl.lit(None, pl.String).alias(each) for each in absent)
        moves = pl.col(name).str.contains(REFERENCE) & pl.col("card_reference").is_null()
        moves = moves.fill_null(value=False)
        texts = texts.with_columns_seq(
            pl.when(moves).then(None).otherwise(pl.col(name)).alias(name),
            card_reference=pl.when(moves).then(name).otherwise("card_reference"),
            written_at=pl.when(moves).then(pl.lit(name)).otherwise("written_at"),
        )
    return texts


def _refers(cells: pl.Series) -> bool:
    """Tell whether any cell begins like a reference."""
    if len(cells) <= FEW_ROWS:
        return any(_REFERENCE.match(cell) for cell in cells.to_list() if cell)
    return bool(cells.str.contains(REFERENCE).any())


def _kinds(layout: Layout, table: pl.DataFrame) -> list[pl.Series]:
    """Give the columns ``kind`` and ``kind_word`` from the file, the default, or both."""
    words = layout.dialect.words.get("kind") or {name: name for name in registry.kinds()}
    cell = layout.fields.get("kind")
    (absent,) = nulls(["kind"], pl.String(), table.height)
    word = table[cell] if cell else absent
    kind = chosen(word, words, pl.String())
    if layout.kind is not None:
        default = pl.Series([layout.kind])
        kind, word = kind.zip_with(word.is_not_null(), default), word.fill_null(layout.kind)
    return [kind.alias("kind"), word.alias("kind_word")]


def to_text(layout: Layout, table: pl.DataFrame, hidden: set[str]) -> pl.DataFrame:
    """Join each row's cells (``line, cells``), those of ``hidden`` fields left out.

    A card reference in a hidden number column stays. No cell holds the separator: ``cells`` sees
    to that.
    """
    blank = {layout.fields[name]: name for name in hidden if name in layout.fields}
    cells = []
    for place in range(len(layout.columns)):
        cell = pl.col(f"c{place}")
        if blank.get(f"c{place}") in NUMBERS:
            cell = pl.when(cell.str.contains(WHOLE_REFERENCE)).then(cell)
        elif f"c{place}" in blank:
            cell = pl.lit("")
        elif layout.fields.get("routing_number") == f"c{place}":
            stars = cell.str.replace_all(r"\d", "*")
            cell = pl.when(cell.str.contains(ROUTING)).then(cell).otherwise(stars)
        cells.append(cell.fill_null(""))
    return table.select_seq("line", pl.concat_str(cells, separator=UNIT).alias("cells"))


def broken_to_text(layout: Layout, broken: pl.DataFrame) -> pl.DataFrame:
    """Keep the text of broken records (``line, cells``) behind the cells, which are all empty.

    Nobody knows which part of it belongs to which column, so none is given back under a name.
    """
    return broken.select_seq("line", cells=pl.lit(UNIT * len(layout.columns)) + pl.col("text"))


def from_text(columns: list[str], cells: pl.Expr, prefix: str) -> list[pl.Expr]:
    """Split joined cells into one String column for each column of the file; empty = null."""
    parts = cells.str.splitn(UNIT, len(columns) + 1)  # the last part is that of a broken record
    return [
        pl.when(parts.struct.field(f"field_{place}") != "")
        .then(parts.struct.field(f"field_{place}"))
        .alias(f"{prefix}{name}")
        for place, name in enumerate(columns)
    ]
