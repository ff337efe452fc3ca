"""Check: what is wrong with the rows of a block, over whole columns.

Every fault of every row is listed with its column, its masked value and what is allowed; the one
that stands first in the order of Reasons is the row's reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from paybatch import registry
from paybatch.domain import cards
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.delimited import Records
from paybatch.domain.few import FEW_ROWS, distinct, nulls
from paybatch.domain.masking import mask_wrong
from paybatch.domain.reasons import precedence_of, sentence_of
from paybatch.domain.text import filled
from paybatch.flow.describe import NO_ERRORS, describe, told_together
from paybatch.flow.documents import document_errors
from paybatch.flow.engine import Engine
from paybatch.flow.intake import rules
from paybatch.flow.intake.cells import broken_texts, fitted
from paybatch.flow.intake.known import known
from paybatch.flow.intake.means import find_means
from paybatch.flow.intake.owners import find_owners
from paybatch.flow.intake.sources import find_sources, set_aside, source_errors
from paybatch.flow.intake.values import harmless, typed
from paybatch.flow.place import Place, test_numbers
from paybatch.flow.texts import Layout, to_fields

_BROKEN_CHARACTERS_MAX = 80


@dataclass(frozen=True)
class Checked:
    """The rows of a block after their check.

    Attributes:
        values: Typed values of every row; ``reason`` and ``message`` are null where it is good.
            Broken records are in it with their line and reason only.
        errors: Everything that is wrong: ``line, reason, column_name, value, message``, by line
            and precedence.
        records: The records, their cells cut and without control characters, and the text of
            broken ones masked.
    """

    values: pl.DataFrame
    errors: pl.DataFrame
    records: Records

    @property
    def accepted(self) -> pl.DataFrame:
        """The rows with no fault."""
        return self.values.filter(pl.col("reason").is_null())


def check(
    engine: Engine,
    layout: Layout,
    place: Place,
    records: Records,
    now: datetime,
    *,
    documents: frozenset[str] = frozenset(),
) -> Checked:
    """Check the records of a block; reads the database only where rows name a known means.

    ``documents`` are those that came with the file; where there are none rows name places outside.
    """
    table, unfit = fitted(layout, records.table, engine.settings.cell_characters_max)
    broken = broken_texts(layout, records.broken)
    texts = to_fields(layout, table)
    owned = set_aside(find_owners(engine, place, texts, layout.dialect.id_shape))
    known_means = find_sources(engine, place, find_means(engine, typed(place, owned)))
    values = _marked(engine, place, known_means)
    ruled = rules.ruled(
        frozenset(distinct(values["kind"])),
        known(texts).some,
        known(values),
        frozenset(mark for _, _, mark in rules.MARKS if values[mark].any()),
        cards.oldest_good_expiry(now),
        dialect=layout.dialect.name,
    )
    errors = _failing(layout, place, values, ruled)
    errors = pl.concat(
        [
            errors,
            source_errors(layout, place, values),
            document_errors(layout, place, values, documents),
        ]
    )
    if not (broken.is_empty() and unfit.is_empty()):
        errors = pl.concat([_broken(layout, broken), unfit, errors])
        values = pl.concat([values, broken.select_seq("line")], how="diagonal").sort("line")
    if not errors.is_empty():
        errors = errors.sort("line", precedence_of(pl.col("reason")), maintain_order=True)
        errors = errors.unique(("line", "message"), keep="first", maintain_order=True)
    values = harmless(engine, _with_reasons(values, errors))
    return Checked(values, errors, Records(table, broken, records.blank_lines))


def _with_reasons(values: pl.DataFrame, errors: pl.DataFrame) -> pl.DataFrame:
    """Add ``reason``, that of each row's first error, and ``message``, which tells all of them."""
    if errors.is_empty():
        return values.hstack(nulls(["reason", "message"], pl.String(), values.height))
    return values.join(told_together(errors), on="line", how="left", maintain_order="left")


def _marked(engine: Engine, place: Place, values: pl.DataFrame) -> pl.DataFrame:
    """Add what a single expression cannot say: of digits, test values, and verbs a gate lacks."""
    fails = [
        _digit_fails(place, values, "card_number", cards.luhn_fails).alias("number_fails"),
        _digit_fails(place, values, "routing_number", cards.routing_fails).alias("routing_fails"),
        *_test_values(engine, values),
        _verbs_missing(place, values).alias("verb_missing"),
    ]
    return values.hstack(fails)


def _test_values(engine: Engine, values: pl.DataFrame) -> list[pl.Series]:
    """Tell which rows bring a connector's test value to a live gate, also by a name of ours.

    Test values skip the check digits on gates in test mode; what came in there ends there.
    """
    live = ~values["gate_is_test"]
    number, routing = _nowhere(values), _nowhere(values)
    if live.any():
        connectors = registry.connectors().values()
        texts = sorted({value for each in connectors for value in each.test_values})
        prints = [each for one in connectors for each in test_numbers(engine, one)]
        number = live & (
            _is_any(values["card_number"], texts)
            | _is_any(values["number_id"], prints)
            | _is_any(values["found_bank_code"], texts)
        )
        routing = live & _is_any(values["routing_number"], texts)
    return [number.alias("number_is_test"), routing.alias("routing_is_test")]


def _is_any(column: pl.Series, values: list[str]) -> pl.Series:
    return column.is_in(values).fill_null(value=False)


def _digit_fails(
    place: Place, values: pl.DataFrame, name: str, test: Callable[[pl.Series], pl.Series]
) -> pl.Series:
    """Tell which check digits are wrong; test values may be, on gates in test mode."""
    numbers = values[name]
    fails = test(numbers) if numbers.count() else None
    if fails is None or not fails.any():
        return _nowhere(values)
    for gate_id in distinct(values["gate_id"].filter(values["gate_is_test"])):
        own = values["gate_id"] == gate_id
        fails &= ~(own & _is_any(numbers, sorted(place.connector(gate_id).test_values)))
    return fails


def _verbs_missing(place: Place, values: pl.DataFrame) -> pl.Series:
    """Tell which rows ask their gate's connector for a verb that it lacks."""
    lacking = [
        (pl.col("gate_id") == gate_id) & (pl.col("kind") == kind)
        for gate_id, kind in _pairs(values)
        if gate_id and registry.kinds()[kind].needs not in (None, *place.connector(gate_id).verbs)
    ]
    lacking += [
        (pl.col("gate_id") == gate_id) & (pl.col("kind") == kind) & holds
        for gate_id, kind in _pairs(values)
        for other, holds in registry.kinds()[kind].stands_for(Capabilities()).items()
        if set(holds.meta.root_names()) <= set(values.columns)
        and registry.kinds()[other].needs not in (None, *place.connector(gate_id).verbs)
    ]
    if not lacking:
        return _nowhere(values)
    return values.select_seq(pl.any_horizontal(lacking)).to_series()


def _nowhere(values: pl.DataFrame) -> pl.Series:
    return pl.Series([False]).new_from_index(0, values.height)


def _pairs(values: pl.DataFrame) -> list[tuple[int, str]]:
    """Give each gate and kind that stand together."""
    if values.height > FEW_ROWS:
        return values.select_seq("gate_id", "kind").unique().drop_nulls().rows()
    both = set(zip(values["gate_id"].to_list(), values["kind"].to_list(), strict=True))
    return [pair for pair in both if None not in pair]


def _broken(layout: Layout, broken: pl.DataFrame) -> pl.DataFrame:
    """Turn records that could not be read into errors; their value is the start of the line."""
    reason, found = pl.col("code"), pl.col("fields")
    width = pl.lit(str(len(layout.columns)))
    counts = filled(" ({} found, {} in the header)", found, width)
    count = pl.when(found.is_not_null()).then(counts)
    value = mask_wrong(pl.col("text").str.slice(0, _BROKEN_CHARACTERS_MAX))
    return broken.select_seq(
        "line",
        reason.alias("reason"),
        pl.lit(None, pl.String).alias("column_name"),
        value.alias("value"),
        filled(
            "line {} is {}: {}{}", "line", value, sentence_of(reason), count.otherwise(pl.lit(""))
        ).alias("message"),
    )


def _failing(
    layout: Layout, place: Place, values: pl.DataFrame, ruled: rules.Ruled
) -> pl.DataFrame:
    """Find the rows that fail, then say of each what is wrong with it."""
    flags, faults = values.select_seq(ruled.flags), ruled.faults
    bad = _any_of(flags)
    if not bad.any():
        return NO_ERRORS
    rows, fails = values.filter(bad), flags.filter(bad)
    return pl.concat(
        [
            describe(layout, place, rows.filter(fails[str(i)]), each)
            for i, each in enumerate(faults)
            if fails[str(i)].any()
        ]
    )


def _any_of(flags: pl.DataFrame) -> pl.Series:
    """Tell which rows have any flag; for few rows the plan would cost more than the rows."""
    if flags.height <= FEW_ROWS:
        return pl.Series([any(row) for row in flags.iter_rows()], dtype=pl.Boolean)
    return flags.select_seq(pl.any_horizontal(pl.all())).to_series()
