"""Cells: what no column may hold, whatever it means. Over-long cells, and control characters.

The rows are refused; their cells are made harmless, so that they can be kept and given back.
"""

import re
from collections.abc import Iterable

import polars as pl

from paybatch.domain.few import FEW_ROWS
from paybatch.domain.masking import mask_cells, mask_digits
from paybatch.domain.reasons import Reason
from paybatch.flow.describe import NO_ERRORS, field_of, sentence, shown
from paybatch.flow.texts import Layout

CONTROL = r"[\x00-\x08\x0A-\x1F\x7F]"
_CONTROL = re.compile(CONTROL)
INSTEAD = "\ufffd"


def fitted(
    layout: Layout, table: pl.DataFrame, characters_max: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the table (``line, c0 ...``) with its cells cut and cleaned, and the errors of that."""
    names = table.columns[1:]
    if table.height <= FEW_ROWS and all(_fits(row[1:], characters_max) for row in table.rows()):
        return table, NO_ERRORS
    longest, stray = (
        table.select_seq(each).row(0)
        for each in (pl.col(names).str.len_bytes().max(), pl.col(names).str.contains(CONTROL).any())
    )
    cleaned, errors = {}, [NO_ERRORS]
    for place, name in enumerate(names):
        cell = pl.col(name)
        if (longest[place] or 0) > characters_max:  # bytes: never fewer than characters
            allowed = f"at most {characters_max:,} characters"
            long = table.filter(cell.str.len_chars() > characters_max)
            errors.append(_errors(layout, long, place, (Reason.CELL_TOO_LONG, allowed)))
            cleaned[name] = cell.str.slice(0, characters_max)
        if stray[place]:
            wrong = table.filter(cell.str.contains(CONTROL))
            errors.append(_errors(layout, wrong, place, (Reason.CONTROL_CHARACTER, "")))
            cleaned[name] = without_controls(cleaned.get(name, cell))
    return (table.with_columns_seq(**cleaned) if cleaned else table), pl.concat(errors)


def _fits(cells: Iterable[str | None], characters_max: int) -> bool:
    return not any(cell and (len(cell) > characters_max or _CONTROL.search(cell)) for cell in cells)


def without_controls(text: pl.Expr) -> pl.Expr:
    """Put a sign in the place of each control character."""
    return text.str.replace_all(CONTROL, INSTEAD)


def broken_texts(layout: Layout, broken: pl.DataFrame) -> pl.DataFrame:
    """Mask the text of broken records as it may be kept and shown.

    Where the file has columns of numbers or CVVs, no run of three or more digits is left.
    """
    if broken.is_empty():
        return broken
    text = without_controls(pl.col("text"))
    fields = [field_of(name) for name in layout.fields]
    has_secrets = any(each is not None and each.type.sensitive for each in fields)
    return broken.with_columns_seq(text=mask_digits(text) if has_secrets else mask_cells(text))


def _errors(
    layout: Layout, rows: pl.DataFrame, place: int, fault: tuple[Reason, str]
) -> pl.DataFrame:
    column = layout.columns[place]
    field = field_of(layout.dialect.columns[column])
    value = shown(
        without_controls(pl.col(rows.columns[place + 1])), field.type.sensitive if field else None
    )
    reason, allowed = fault
    return rows.select_seq(
        "line",
        pl.lit(reason.value).alias("reason"),
        pl.lit(column).alias("column_name"),
        value.alias("value"),
        sentence(pl.lit(column), value, pl.lit(reason.sentence), pl.lit(allowed)).alias("message"),
    )
