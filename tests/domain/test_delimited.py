"""Files read back as they were written, and broken ones that harm only their own lines."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paybatch.domain.delimited import (
    Block,
    Delimited,
    FileRefused,
    Records,
    Shape,
    blocks,
    detect,
    open_delimited,
    read_header,
    read_records,
    split_line,
)
from paybatch.domain.delimited_shape import HEAD_BYTES

PLAIN = Shape("utf-8", has_bom=False, separator=",", line_end="\n")


def read(text: str, width: int, separator: str = ",") -> Records:
    shape = Shape("utf-8", has_bom=False, separator=separator, line_end="\n")
    (block,) = blocks([text.encode()], shape)
    return read_records(block, width, shape)


def rows(records: Records) -> list[tuple[object, ...]]:
    return records.table.rows()


def broken(records: Records) -> list[tuple[int, str]]:
    return records.broken.select("line", "code").rows()


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def read_all(table: Delimited) -> list[tuple[object, ...]]:
    width = len(table.names)
    return [row for block in table.blocks for row in rows(read_records(block, width, table.shape))]


# --- the shape


ENCODINGS = [(each, mark) for each in ("utf-8", "utf-16-le", "utf-16-be") for mark in (True, False)]


@pytest.mark.parametrize(("encoding", "has_bom"), [*ENCODINGS, ("cp1252", False)])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_shape_is_detected_and_read(
    encoding: str, has_bom: bool, separator: str, line_end: str
) -> None:
    lines = ["id,name", "001,Zoë", "002,", '"003","a€b"']
    text = line_end.join(lines).replace(",", separator)
    data = ("\ufeff" * has_bom + text).encode(encoding)
    for size in (1, 7, len(data)):
        table = open_delimited(cut(data, size))
        assert table.shape == Shape(encoding, has_bom, separator, line_end)
        assert table.names == ["id", "name"]
        assert read_all(table) == [(2, "001", "Zoë"), (3, "002", None), (4, "003", "a€b")]


def test_line_ends_may_be_mixed() -> None:
    table = open_delimited([b"a,b\r\n1,2\r3,4\n5,6\r\r\n7,8"])
    assert read_all(table) == [(2, "1", "2"), (3, "3", "4"), (4, "5", "6"), (6, "7", "8")]


def test_separators_in_quoted_names_are_not_counted() -> None:
    assert detect(b'"a,b,c,d";e;f\n').separator == ";"
    assert detect(b"single\n1\n").separator == ","


@pytest.mark.parametrize("head", [b"", b"\n\r\n", b" \t\n", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_an_empty_file_is_refused(head: bytes) -> None:
    with pytest.raises(FileRefused) as refused:
        open_delimited([head])
    assert refused.value.code == "file_empty"


@pytest.mark.parametrize(
    "head",
    [
        b"a,\0b\n1,2\n",
        b"a,b\n" + bytes(range(256)) * 9,
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\xff\xfe\0\0a\0\0\0",
        b"%PDF-1.7\n" + bytes(range(255)),
    ],
)
def test_what_is_not_text_is_refused(head: bytes) -> None:
    with pytest.raises(FileRefused, match="not text") as refused:
        detect(head)
    assert refused.value.code == "not_text"


def test_damage_in_a_utf8_file_does_not_make_it_another_encoding() -> None:
    assert detect("name\nZoë\nÅse\n".encode() + b"\xff\n").encoding == "utf-8"
    assert detect("name\nZoë\n".encode("cp1252")).encoding == "cp1252"
    assert detect("name\nZoë".encode("cp1252")).encoding == "cp1252"
    assert detect("name\nëëë".encode()[:-1]).encoding == "utf-8"


def test_a_head_that_ends_within_a_character_is_still_utf8() -> None:
    head = b"name\n" + b"a" * (HEAD_BYTES - 6) + "ë".encode()
    assert detect(head[:HEAD_BYTES]).encoding == "utf-8"


# --- the header


def header(line: str, **limits: int) -> list[str]:
    return read_header(Block(1, line.encode() + b"\n1,2\n"), PLAIN, **limits)


def test_names_come_in_order_as_written() -> None:
    assert header('"id", "na""me" ,b,b, ,Ä') == ["id", '"na""me"', "b", "b", "", "Ä"]
    assert header('"a","b, c"') == ["a", "b, c"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"a,b", "header_only"),
        (b"a,b\n\n  \n", "header_only"),
        (b"\na,b\n1,2\n", "header_blank"),
        (b'[{"kind": "sale"}]', "not_delimited"),
        (b"\xef\xbb\xbf<rows>\n<row/>\n</rows>\n", "not_delimited"),
        (b'a,"b\n1,2\n', "unbalanced_quote"),
        (b",".join([b"c"] * 10_000) + b"\n1\n", "too_many_columns"),
        (b"a," + b"b" * 5_000_000 + b"\n1\n", "line_too_long"),
        (b"a,\xff\n" + "é,è\n".encode(), "not_text"),
    ],
)
def test_a_bad_header_refuses_the_file(data: bytes, code: str) -> None:
    with pytest.raises(FileRefused) as refused:
        open_delimited([data])
    assert refused.value.code == code
    assert refused.value.sentence.endswith(".")


def test_the_column_limit_is_exact() -> None:
    assert len(header(",".join("c" * 1_000))) == 1_000
    with pytest.raises(FileRefused, match="1001 columns; at most 1000"):
        header(",".join("c" * 1_001))
    with pytest.raises(FileRefused, match="at most 1 "):
        header("a,b", max_columns=1)


# --- records


def test_text_stays_as_written() -> None:
    text = '007, a ,NULL,#x\n"1,00","say ""hi""",NA,\\N\n"","",,\n'
    assert rows(read(text, 4)) == [
        (1, "007", " a ", "NULL", "#x"),
        (2, "1,00", 'say "hi"', "NA", "\\N"),
        (3, None, None, None, None),
    ]


@pytest.mark.parametrize("separator", [",", "\t"])
def test_blank_lines_are_passed_over_and_counted(separator: str) -> None:
    records = read(f"\n  \na{separator}b\n\n \n{separator}\n", 2, separator)
    assert rows(records) == [(3, "a", "b"), (6, None, None)]
    assert (records.blank_lines, records.broken.height) == (4, 0)


def test_a_file_of_one_column() -> None:
    records = read('a\n\n""\n \n"b"\nc,d', 1)
    assert rows(records) == [(1, "a"), (3, None), (5, "b")]
    assert broken(records) == [(6, "too_many_fields")]


def test_a_broken_line_leaves_its_neighbours_alone() -> None:
    records = read('1,a\n2\n3,c,\n4,"d\n5,e"\n6,"f"\n"7"x,g\n8,h\n', 2)
    assert rows(records) == [(1, "1", "a"), (5, "5", 'e"'), (6, "6", "f"), (8, "8", "h")]
    assert records.broken.rows() == [
        (2, "too_few_fields", 1, "2"),
        (3, "too_many_fields", 3, "3,c,"),
        (4, "unbalanced_quote", None, '4,"d'),
        (7, "unbalanced_quote", None, '"7"x,g'),
    ]


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        ('5" pipe,x', ('5" pipe', "x")),
        ('a""b,"c,d"', ('a""b', "c,d")),
        ('a"b,c"d', ('a"b', 'c"d')),
        ('x, "y"', ("x", ' "y"')),
        ('a"b', None),
        ('a"b,c,d', None),
    ],
)
def test_a_stray_quote_is_a_character_when_the_cells_fit(
    line: str, cells: tuple[str, ...] | None
) -> None:
    records = read(line, 2)
    if cells is None:
        assert broken(records) == [(1, "unbalanced_quote")]
    else:
        assert rows(records) == [(1, *cells)]


def test_a_long_cell_flows_and_a_longer_line_is_broken() -> None:
    data = b"1," + b"a" * 1_500_000 + b"\n2," + b"b" * 9_000_000 + b"\n3,c\n"
    (block,) = blocks(cut(data, 100_000), PLAIN)
    records = read_records(block, 2, PLAIN)
    assert records.table["c1"].str.len_bytes().to_list() == [1_500_000, 1]
    assert records.table["line"].to_list() == [1, 3]
    assert broken(records) == [(2, "line_too_long")]
    assert len(records.broken["text"][0]) == 1_000
    assert len(block.data) < 2_000_000


def test_damaged_bytes_break_their_line_only() -> None:
    (block,) = blocks([b"1,a\n2,\xff\xc3\n3,\0\n4,d\n\n"], PLAIN)
    records = read_records(block, 2, PLAIN)
    assert rows(records) == [(1, "1", "a"), (4, "4", "d")]
    assert broken(records) == [(2, "not_text"), (3, "not_text")]
    assert records.broken["text"].to_list() == ["2,\ufffd\ufffd", "3,\ufffd"]
    assert records.blank_lines == 1


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [("cp1252", b"\x81"), ("utf-16-le", b"\x00\xd8"), ("utf-16-be", b"\xd8\x00")],
)
def test_damage_in_other_encodings_breaks_its_line_only(encoding: str, bad: bytes) -> None:
    shape = Shape(encoding, has_bom=False, separator=",", line_end="\n")
    data = "1,a\n2,".encode(encoding) + bad + "\n3,ç\n".encode(encoding)
    for size in (1, 2, 3, 99):
        (block,) = blocks(cut(data, size), shape)
        records = read_records(block, 2, shape)
        assert rows(records) == [(1, "1", "a"), (3, "3", "ç")]
        assert broken(records) == [(2, "not_text")]


# --- blocks


def test_blocks_do_not_depend_on_the_pieces() -> None:
    data = b"".join(b"%d,%s\r\n" % (line, b"x" * (line % 7)) for line in range(3_000))
    whole = list(blocks([data], PLAIN, lines_per_block=1_000))
    assert [(block.first_line, block.lines) for block in whole] == [
        (1, 1_000),
        (1_001, 1_000),
        (2_001, 1_000),
    ]
    for size in (1, 5, 4_096):
        assert list(blocks(cut(data, size), PLAIN, lines_per_block=1_000)) == whole
    assert b"".join(block.data for block in whole) == data.replace(b"\r\n", b"\n")


def test_a_block_is_full_by_bytes_too() -> None:
    data = (b"x" * 1_000 + b"\n") * 5_000
    lines = [block.lines for block in blocks([data], PLAIN, max_block_bytes=1_000_000)]
    assert sum(lines) == 5_000
    assert max(lines) < 2_200


def test_the_header_leaves_its_block() -> None:
    (block,) = blocks([b"a\xff\nb\xff\nc\n"], PLAIN)
    rest = block.without_first_line()
    assert (rest.first_line, rest.data) == (2, b"\nc\n")
    assert [fault.line for fault in rest.faults] == [2]


# --- properties

CELL = st.text(
    st.one_of(
        st.sampled_from('",; \t#\\N0é€\ufeff\x1f\x85\u2028'),
        st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"]),
    ),
    max_size=6,
)
TABLE = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=9)
)


def written(table: Iterable[list[str]], quoting: Literal[0, 1], separator: str) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, quoting=quoting, lineterminator="\n")
    writer.writerows(table)
    return out.getvalue()


@given(TABLE, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.sampled_from(",;\t|"))
@settings(max_examples=300, deadline=None)
def test_what_the_csv_module_writes_is_read_back(
    table: list[list[str]], quoting: Literal[0, 1], separator: str
) -> None:
    records = read(written(table, quoting, separator), len(table[0]), separator)
    expected = [
        (line, *(cell or None for cell in cells))
        for line, cells in enumerate(table, 1)
        if quoting == csv.QUOTE_ALL or len(cells) > 1 or cells[0].strip(" \t") or not cells[0]
    ]
    assert rows(records) == expected
    assert records.broken.is_empty()


LINES = st.lists(st.text(st.sampled_from('"", ab\t'), max_size=12), min_size=1, max_size=12)


@given(LINES, st.integers(1, 4))
@settings(max_examples=500, deadline=None)
def test_columns_and_single_lines_agree(lines: list[str], width: int) -> None:
    """What is read by columns is what each line gives alone, and what strict csv gives."""
    records = read("\n".join(lines) + "\n", width)
    found = {row[0]: list(row[1:]) for row in rows(records)}
    for number, line in enumerate(lines, 1):
        cells = split_line(line, ",")
        fits = cells is not None and len(cells) == width and bool(line.strip(" \t"))
        assert (number in found) == fits
        if fits and cells is not None:
            assert found[number] == [cell or None for cell in cells]
            assert next(csv.reader([line], strict=True)) == cells
    assert len(found) + records.broken.height + records.blank_lines == len(lines)


def physical_lines(data: bytes, shape: Shape) -> int:
    """Count lines in another way than the reader does."""
    if shape.encoding.startswith("utf-16"):
        data = data.decode(shape.encoding, "replace").encode()
    parts = re.split(b"\r\n|\n|\r", data)
    return len(parts) - (parts[-1] == b"")


RAW = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([*b'",\r\n\t a;\0\xff\xc3\xa9\xd8'])).map(bytes),
    st.text(max_size=60).map(lambda text: text.encode("utf-16-le", "surrogatepass")),
)


@given(RAW, st.booleans(), st.integers(1, 4), st.integers(1, 50), st.integers(1, 5))
@settings(max_examples=500, deadline=None)
def test_random_bytes_lose_no_line(
    raw: bytes, has_header: bool, width: int, size: int, lines_per_block: int
) -> None:
    data = b"a,b\n" * has_header + raw
    try:
        open_delimited([data])
        shape = detect(data)
    except FileRefused:
        shape = PLAIN
    seen: list[int] = []
    blank_lines = 0
    body = data[3 if shape.has_bom and shape.encoding == "utf-8" else 2 * shape.has_bom :]
    for block in blocks(cut(data, size), shape, lines_per_block=lines_per_block):
        records = read_records(block, width, shape)
        seen += pl.concat([records.table["line"], records.broken["line"]]).to_list()
        blank_lines += records.blank_lines
        assert block.lines <= lines_per_block
    assert len(set(seen)) == len(seen)
    assert len(seen) + blank_lines == physical_lines(body, shape)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(1, 9))
@settings(deadline=None)
def test_utf16_pieces_of_any_size(text: str, size: int) -> None:
    shape = Shape("utf-16-be", has_bom=False, separator=",", line_end="\n")
    data = text.encode("utf-16-be")
    whole = list(blocks([data], shape))
    assert list(blocks(cut(data, size), shape)) == whole
    plain = re.sub("\r\n|\r", "\n", text)
    if "\0" not in text:
        assert b"".join(each.data for each in whole).decode().removesuffix("\n") == (
            plain.removesuffix("\n")
        )
