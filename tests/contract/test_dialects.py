"""What every dialect keeps to, whatever its columns are called."""

import csv
import io
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paybatch import registry
from paybatch.domain.delimited import open_delimited, read_records
from paybatch.domain.dialect import Dialect
from paybatch.domain.report import CELL, REPORT_COLUMNS
from paybatch.flow.describe import FIELDS
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import choose_dialect
from paybatch.flow.sample import sample
from paybatch.flow.texts import from_text, lay_out, to_fields, to_text
from paybatch.store.public_ids import Shape

DIALECTS = [pytest.param(dialect, id=name) for name, dialect in registry.dialects().items()]
# A cell may hold every character but line ends, other control characters and half characters.
CELLS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=12)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_header_goes_there_and_back(dialect: Dialect) -> None:
    layout = lay_out(dialect, list(dialect.columns), None)
    fields = [name for name in dialect.columns.values() if name]
    assert len(fields) == len(set(fields)), "a field stands in one column"
    assert set(fields) <= set(FIELDS), "a column carries a field of ours, or nothing"
    for place, (column, field) in enumerate(dialect.columns.items()):
        if field:
            assert dialect.column_of(field) == column
            assert layout.column_name(field) == column
            assert layout.place_of(field) == place


@pytest.mark.parametrize("dialect", DIALECTS)
def test_declarations_name_what_exists(dialect: Dialect) -> None:
    assert dialect.required | dialect.marks <= set(dialect.columns)
    assert dialect.marks, "without marks no file is known as this dialect"
    assert set(dialect.words) <= set(dialect.columns.values())
    assert set(dialect.words.get("kind", {}).values()) <= set(registry.kinds())
    assert Shape(dialect.id_shape)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sample_is_detected_and_approved(engine: Engine, dialect: Dialect, run: Any) -> None:
    request = sample(dialect.name)
    header, *rows = csv.reader(io.StringIO(request))
    assert choose_dialect(header, None).name == dialect.name
    result = run(dialect.name, request.encode())
    assert result.columns == dialect.result_columns(header)
    assert result.height == len(rows)
    assert outcomes(engine) == dict.fromkeys(range(2, 2 + len(rows)), "approved")


def outcomes(engine: Engine) -> dict[int, str]:
    """Give the outcome of each line, with its message where it is not approved."""
    with engine.database.transaction() as connection:
        rows = connection.execute(
            "SELECT line, CASE state WHEN 'approved' THEN state ELSE concat(state, message) END "
            "FROM operation AS o JOIN outcome AS u USING (merchant_id, id) "
            "WHERE parent_id IS NULL ORDER BY line"
        ).fetchall()
    return dict(rows)


LENGTHS = (1, 9, 17, 18, 40, 64, 65, 100, 101, 255, 300)
TEXTS = [*("x" * length for length in LENGTHS), "", "A-1", "a b", "1.23E+15", "TEL", "0", "é!"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_limits_narrow_what_a_field_may_hold(dialect: Dialect) -> None:
    """They refuse whatever the field itself refuses, and change nothing else of it."""
    texts = pl.DataFrame({"cell": TEXTS})
    for name, limit in dialect.limits.items():
        own = FIELDS[name].type
        assert dialect.column_of(name) in dialect.columns
        assert limit.sensitive == own.sensitive
        wrong, narrow = (
            texts.select(
                pl.any_horizontal(test(pl.col("cell")) for _, test in each.faults)
            ).to_series()
            for each in (own, limit)
        )
        assert (narrow | ~wrong).all(), name
        assert not narrow.equals(wrong), f"{name}: a limit that limits nothing"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_result_column_is_written(dialect: Dialect) -> None:
    """Columns of the request may have any order, and most of them may be absent."""
    for request in (list(dialect.columns), sorted(dialect.columns), sorted(dialect.required)):
        schema = {"line": pl.Int64(), **REPORT_COLUMNS}
        schema |= {f"{CELL}{name}": pl.String() for name in request}
        none = pl.DataFrame({name: [None] for name in schema}, schema=schema)
        cells = dialect.result(none, request)
        assert cells.columns == dialect.result_columns(request)
        assert len(set(cells.columns)) == len(cells.columns)
        assert cells.height == 1
        assert dialect.result(none.clear(), request).height == 0


HIDDEN = {"card_number", "account_number", "iban", "card_cvv"}


@st.composite
def tables(draw: Any, dialect: Dialect) -> tuple[list[str], list[list[str]]]:
    """Draw a header (some columns in any order) and rows of text; each row has its kind."""
    kind = dialect.column_of("kind")
    known = sorted(set(dialect.columns) - dialect.required - {kind})
    others = draw(st.lists(st.sampled_from(known), min_size=1, max_size=6, unique=True))
    header = draw(st.permutations(sorted({*dialect.required, kind, *others})))
    words = sorted(dialect.words.get("kind") or registry.kinds())
    cells = [st.sampled_from(words) if name == kind else CELLS for name in header]
    return header, draw(st.lists(st.tuples(*cells).map(list), min_size=1, max_size=5))


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    separator=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_is_written_is_read_back(
    dialect: Dialect, data: Any, separator: str, line_end: str, encoding: str
) -> None:
    header, rows = data.draw(tables(dialect))
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, lineterminator=line_end).writerows([header, *rows])
    opened = open_delimited([buffer.getvalue().encode(encoding)])
    assert opened.names == header
    layout = lay_out(dialect, header, None)
    (block,) = opened.blocks
    records = read_records(block, len(header), opened.shape)
    assert records.broken.is_empty()

    fields = to_fields(layout, records.table)
    words = dialect.words.get("kind") or {name: name for name in registry.kinds()}
    for place, column in enumerate(header):
        written = [row[place] or None for row in rows]
        name = dialect.columns[column]
        if name == "kind":
            assert fields["kind_word"].to_list() == written
            assert fields["kind"].to_list() == [words[str(word)] for word in written]
        elif name:
            assert fields[name].to_list() == written

    kept = to_text(layout, records.table, HIDDEN)
    back = kept.select(from_text(header, pl.col("cells"), ""))
    for place, column in enumerate(header):
        name = dialect.columns[column]
        if name in HIDDEN:
            assert back[column].null_count() == len(rows)
        elif not name or not FIELDS[name].type.sensitive:
            assert back[column].to_list() == [row[place] or None for row in rows]
