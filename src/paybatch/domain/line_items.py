"""Line items: the lines of an invoice (level 3 data) as one JSON text in a cell.

An array of 1 to 999 objects. Each has ``amount_minor``, ``quantity``, ``unit_price_minor`` and
``tax_included``; it may have ``description``, ``product_code``, ``commodity_code``, ``unit``,
``tax_minor`` and ``discount_minor``. No other name is known: one that is passed over by the scheme
costs the better rate, and nobody would be told.

Source: Commerce Web Services, LineItemDetail.
"""

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from paybatch.domain.fields import FieldType
from paybatch.domain.money import AMOUNT_DIGITS_MAX
from paybatch.domain.reasons import Reason

ITEMS_MAX = 999
_LARGEST = 10**AMOUNT_DIGITS_MAX - 1


class LineItem(BaseModel):
    """A line of an invoice; amounts in minor units."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    amount_minor: int = Field(ge=0, le=_LARGEST)
    quantity: float = Field(gt=0, le=_LARGEST, allow_inf_nan=False)
    unit_price_minor: int = Field(ge=0, le=_LARGEST)
    tax_included: bool
    description: str | None = Field(default=None, max_length=255)
    product_code: str | None = Field(default=None, max_length=32)
    commodity_code: str | None = Field(default=None, max_length=15)
    unit: str | None = Field(default=None, max_length=12)
    tax_minor: int | None = Field(default=None, ge=0, le=_LARGEST)
    discount_minor: int | None = Field(default=None, ge=0, le=_LARGEST)


_LINES = TypeAdapter(tuple[LineItem, ...])


def is_well_formed(text: str) -> bool:
    """Tell whether a text is the JSON of line items."""
    try:
        return 0 < len(_LINES.validate_json(text)) <= ITEMS_MAX
    except ValidationError:
        return False


def _malformed(column: pl.Expr) -> pl.Expr:
    return column.map_batches(_wrong, return_dtype=pl.Boolean, is_elementwise=True)


def _wrong(cells: pl.Series) -> pl.Series:
    """Tell which cells are not line items; only cells that have any are looked at."""
    wrong = [None if cell is None else not is_well_formed(cell) for cell in cells.to_list()]
    return pl.Series(cells.name, wrong, dtype=pl.Boolean)


LINE_ITEMS_JSON = FieldType(
    name="line items",
    allowed=(
        "a JSON array of objects with amount_minor, quantity, unit_price_minor, tax_included and, "
        "if wanted, description, product_code, commodity_code, unit, tax_minor, discount_minor"
    ),
    faults=((Reason.VALUE_MALFORMED, _malformed),),
)
