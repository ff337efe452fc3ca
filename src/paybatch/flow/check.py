"""Check: what is wrong with the rows of a block, over whole columns.

Every fault of every row is listed with its column, its masked value and what is allowed; the one
that stands first in the order of Reasons is the row's reason.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from paybatch import registry
from paybatch.domain import cards
from paybatch.domain.delimited import Records
from paybatch.domain.kind import Fault
from paybatch.domain.masking import mask_cells
from paybatch.domain.reasons import precedence_of, sentence_of
from paybatch.flow import rules
from paybatch.flow.engine import Engine
from paybatch.flow.means import find_means
from paybatch.flow.place import Place
from paybatch.flow.texts import Layout, to_fields
from paybatch.flow.values import typed

_VALUE_CHARACTERS_MAX = 80
_DIGITS_SHOWN = 4

ERRORS = {
    "line": pl.Int64,
    "reason": pl.String,
    "column_name": pl.String,
    "value": pl.String,
    "message": pl.String,
}


@dataclass(frozen=True)
class Checked:
    """The rows of a block after their check.

    Attributes:
        values: Typed values of every row; ``reason`` and ``message`` are null where it is good.
            Broken records are in it with their line and reason only.
        errors: Everything that is wrong: ``line, reason, column_name, value, message``, by line
            and precedence.
    """

    values: pl.DataFrame
    errors: pl.DataFrame

    @property
    def accepted(self) -> pl.DataFrame:
        """The rows with no fault."""
        return self.values.filter(pl.col("reason").is_null())


def check(engine: Engine, layout: Layout, place: Place, records: Records, now: datetime) -> Checked:
    """Check the records of a block; reads the database only where rows name a known means."""
    texts = to_fields(layout, records.table)
    values = _marked(place, find_means(engine, typed(place, texts)))
    faults = rules.faults(
        frozenset(values["kind"].drop_nulls().unique().to_list()),
        frozenset(n for n in texts.columns if n != "line" and texts[n].null_count() < len(texts)),
        int(f"{now:%y%m}"),
    )
    errors = pl.concat([_broken(records.broken), _failing(layout, values, faults)])
    errors = errors.sort("line", precedence_of(pl.col("reason")), maintain_order=True)
    first = errors.unique("line", keep="first", maintain_order=True)
    broken = records.broken.select("line")
    if not broken.is_empty():
        values = pl.concat([values, broken], how="diagonal").sort("line")
    if first.is_empty():
        reason = [pl.lit(None, pl.String).alias(name) for name in ("reason", "message")]
        return Checked(values.with_columns(reason), errors)
    joined = values.join(
        first.select("line", "reason", "message"), on="line", how="left", maintain_order="left"
    )
    return Checked(joined, errors)


def _marked(place: Place, values: pl.DataFrame) -> pl.DataFrame:
    """Add what a single expression cannot say: check digits, and verbs that a gate lacks."""
    number, routing = values["card_number"], values["routing_number"]
    none = pl.Series([False])
    number_fails = cards.luhn_fails(number) if number.count() else none
    routing_fails = cards.routing_fails(routing) if routing.count() else none
    testing = pl.col("gate_is_test").fill_null(value=False)
    values = values.with_columns(
        number_fails=pl.lit(number_fails) & ~(testing & number.is_in(place.test_values)),
        routing_fails=pl.lit(routing_fails) & ~(testing & routing.is_in(place.test_values)),
        verb_missing=pl.lit(value=False),
    )
    pairs = values.select("gate_id", "kind").unique().drop_nulls()
    lacking = [
        (pl.col("gate_id") == gate_id) & (pl.col("kind") == kind)
        for gate_id, kind in pairs.iter_rows()
        if gate_id and registry.kinds()[kind].verb not in (None, *place.connector(gate_id).verbs)
    ]
    return values.with_columns(verb_missing=pl.any_horizontal(lacking)) if lacking else values


def _broken(broken: pl.DataFrame) -> pl.DataFrame:
    """Turn records that could not be read into errors."""
    reason = pl.col("code")
    found = pl.when(pl.col("fields").is_not_null()).then(pl.format(" ({} found)", pl.col("fields")))
    return broken.select(
        "line",
        reason.alias("reason"),
        pl.lit(None, pl.String).alias("column_name"),
        pl.lit(None, pl.String).alias("value"),
        pl.format("line {}: {}{}", "line", sentence_of(reason), found.otherwise(pl.lit(""))).alias(
            "message"
        ),
    )


def _failing(layout: Layout, values: pl.DataFrame, faults: tuple[Fault, ...]) -> pl.DataFrame:
    """Find the rows that fail, then say of each what is wrong with it."""
    flags = values.select(
        "line",
        *(each.fails.fill_null(value=False).alias(str(i)) for i, each in enumerate(faults)),
    )
    bad = flags.select(pl.any_horizontal(pl.exclude("line"))).to_series()
    if not bad.any():
        return pl.DataFrame(schema=ERRORS)
    rows = values.filter(bad)
    fails = flags.filter(bad)
    return pl.concat(
        [
            _described(layout, rows.filter(fails[str(i)]), each)
            for i, each in enumerate(faults)
            if fails[str(i)].any()
        ]
    )


def _described(layout: Layout, rows: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    name = fault.column
    column = layout.column_name(name)
    field = rules.FIELDS.get(name)
    source = "kind_word" if name == "kind" else name
    written = pl.col(source) if source in rows.columns else pl.lit(None, pl.String)
    if name == "amount_minor":
        column = next(
            (
                layout.column_name(each)
                for each in ("amount_minor", "amount", "base_amount_minor")
                if layout.place_of(each) is not None
            ),
            column,
        )
        written = pl.coalesce("amount_minor", "amount", "base_amount_minor")
    sensitive = field.type.sensitive if field else None
    shown = _shown(written, sensitive)
    allowed = f": allowed is {field.type.allowed}" if _wants_form(fault) and field else ""
    value = pl.when(shown.is_null()).then(pl.lit("")).otherwise(pl.format(" is {}", shown))
    message = pl.format(
        "column {}{}: {}{}", pl.lit(column), value, pl.lit(fault.reason.sentence), pl.lit(allowed)
    )
    return rows.select(
        "line",
        pl.lit(fault.reason.value).alias("reason"),
        pl.lit(column).alias("column_name"),
        shown.alias("value"),
        message.alias("message"),
    )


def _wants_form(fault: Fault) -> bool:
    return fault.reason.value in {"choice_unknown", "value_malformed", "value_too_long"}


def _shown(written: pl.Expr, sensitive: str | None) -> pl.Expr:
    """Show a wrong value so that it helps and gives nothing away."""
    if sensitive == "secret":
        return pl.when(written.is_not_null()).then(pl.lit("***"))
    short = written.str.slice(0, _VALUE_CHARACTERS_MAX)
    if sensitive == "number":
        length = short.str.len_chars().cast(pl.Int64)
        head = short.str.head(-_DIGITS_SHOWN).str.replace_all("[0-9]", "*")
        return (
            pl.when(length > _DIGITS_SHOWN)
            .then(head + short.str.slice(-_DIGITS_SHOWN))
            .otherwise(short.str.replace_all("[0-9]", "*"))
        )
    cut = pl.when(written.str.len_chars() > _VALUE_CHARACTERS_MAX).then(pl.lit("..."))
    return mask_cells(short) + cut.otherwise(pl.lit(""))
