"""Whole files: what is read however it was saved, what is refused, and what damage does.

A refused file leaves nothing behind. A damaged one has every line in its result exactly once.
"""

import codecs
import gzip
import io
import re
import zipfile
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paybatch.domain.delimited import FileRefused
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request, RequestWrongError, SeenBeforeError
from paybatch.flow.place import Place
from paybatch.flow.report import report
from paybatch.store import ledger
from paybatch.store.batches import Batch

CARD = "4111111111111111"
NATIVE = f"""kind,amount_minor,currency,card_number,card_expiry,reference,description
sale,100,USD,{CARD},12/39,a,Grüße
authorize,200,USD,5555555555554444,12/39,b,"two, parts"
sale,300,USD,{CARD},12/39,c,café €
"""
FILEBATCH = f"""transaction_type,amount,cc_number,cc_expiration,order_id,description
sale,100,{CARD},12/39,a,Grüße
authorize,200,5555555555554444,12/39,b,"two, parts"
sale,300,{CARD},12/39,c,café €
"""
COLUMNS = "card_number,card_cvv,card_expiry,account_number,routing_number,account_type,sec_code"
NAMES = "card_reference,reference,payment,idempotency_key"
CHAIN = f"""kind,amount_minor,amount,currency,gate,{COLUMNS},{NAMES}
authorize,,9.00,USD,many,{CARD},987,12/39,,,,,,a,,k-1
capture,300,,USD,,,,,,,,,,,a,
sale,500,,JPY,many,,,,1234567890,021000021,checking,WEB,,b,,
refund,,,,,,,,,,,,,,b,
void,,,,,,,,,,,,,,a,
sale,100,,USD,,,,12/39,,,,,card_x,c,,k-1
"""
TEXTS = [pytest.param(NATIVE, id="native"), pytest.param(FILEBATCH, id="filebatch")]


def run(engine: Engine, place: Place, data: bytes, **options: Any) -> tuple[Batch, pl.DataFrame]:
    """Run a file; give its batch and its result as a table of text."""
    request = Request(file_name="file.csv", again=True, **options)
    done = batches.run(engine, place, [data], request)
    target = io.BytesIO()
    report(engine, done, place, target)
    return done, pl.read_csv(target.getvalue(), infer_schema=False)


def zipped(*files: tuple[str, bytes]) -> bytes:
    """Pack files into a zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return target.getvalue()


def separated(text: str, separator: str) -> str:
    """Write the file with another separator."""
    return text.replace('"two, parts"', "two parts").replace(",", separator)


READ = {
    "UTF-8": str.encode,
    "BOM": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 without mark": lambda text: text.encode("utf-16-be"),
    "cp1252": lambda text: text.encode("cp1252"),
    "semicolons": lambda text: separated(text, ";").encode(),
    "tabs": lambda text: separated(text, "\t").encode(),
    "bars": lambda text: separated(text, "|").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "mixed ends": lambda text: text.replace("\n", "\r\n", 2).encode(),
    "no last end": lambda text: text.rstrip("\n").encode(),
    "blank lines": lambda text: text.replace("\n", "\n \n\n").encode(),
    "all quoted": lambda text: re.sub(r"(?m)^(\w+)", r'"\1"', text).encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
    "zip": lambda text: zipped(("file.csv", text.encode())),
    "zip with folder": lambda text: zipped(("in/", b""), ("in/file.csv", text.encode("utf-16"))),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_file_is_read_however_it_was_saved(engine: Engine, place: Place, text: str) -> None:
    for name, save in READ.items():
        _, result = run(engine, place, save(text))
        state = "outcome" if "outcome" in result.columns else "response"
        assert result[state].to_list() == ["approved"] * 3, name
        if state == "outcome":
            assert result["description"].to_list()[::2] == ["Grüße", "café €"], name
            assert result["reference"].to_list() == ["a", "b", "c"], name


HEADER = NATIVE.split("\n", 1)[0]
ROW = f"sale,100,USD,{CARD},12/39,a,\n"
REFUSED = {
    "empty": (b"", "file_empty", "a line of column names and rows are needed"),
    "blanks": (b" \r\n\t\n", "file_empty", "is empty"),
    "header only": (HEADER.encode(), "header_only", "at least one row is needed"),
    "header and blank lines": (f"{HEADER}\n\n \n".encode(), "header_only", "at least one row"),
    "blank header": (f"\n{HEADER}\n{ROW}".encode(), "header_blank", "Line 1 is blank"),
    "no header": (ROW.encode() * 2, "dialect_unknown", "Line 1 must hold the column names"),
    "other columns": (b"a,b\n1,2\n", "dialect_unknown", "'a', 'b'"),
    "unknown column": (
        f"{HEADER},ammount\n{ROW}".encode(),
        "columns_wrong",
        "unknown columns: 'ammount' (is 'ammount' meant to be 'amount'?)",
    ),
    "capitals": (
        f"{HEADER.upper()}\n{ROW}".encode(),
        "columns_wrong",
        "(is 'KIND' meant to be 'kind'?)",
    ),
    "missing column": (
        f"{HEADER[5:]}\n{ROW[5:]}".encode(),
        "columns_wrong",
        "missing columns: 'kind'",
    ),
    "repeated column": (
        f"{HEADER},kind\n{ROW}".encode(),
        "columns_wrong",
        "repeated columns: 'kind'",
    ),
    "all three": (
        b"amount_minor,amount_minor,colour,card_number,\n1,2,3,4,5\n",
        "columns_wrong",
        "; unknown columns: 'colour'; repeated columns: 'amount_minor'; missing columns: 'kind'. ",
    ),
    "open quote in header": (f'"{HEADER}\n{ROW}'.encode(), "unbalanced_quote", "Line 1"),
    "10 000 columns": (
        ",".join(f"c{n}" for n in range(10_000)).encode() + b"\n1\n",
        "too_many_columns",
        "Line 1: the file has 10000 columns; at most 1000 are allowed",
    ),
    "NUL in header": (f"ki\0nd{HEADER}\n{ROW}".encode(), "not_text", "Line 1, character 3"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "not_text", "text file"),
    "long header": (b"kind," * 1_000_000, "line_too_long", "Line 1 is too long"),
    "PDF": (b"%PDF-1.7\n" + bytes(range(32)) * 99, "not_text", "text file"),
    "several files": (
        zipped(("a.csv", NATIVE.encode()), ("b.csv", NATIVE.encode())),
        "archive_many_files",
        "exactly one file",
    ),
    "no file": (zipped(), "archive_empty", "exactly one file"),
    "nested": (gzip.compress(gzip.compress(NATIVE.encode())), "archive_nested", "another archive"),
    "zip in gzip": (gzip.compress(zipped(("a", b"a"))), "archive_nested", "another archive"),
    "bomb": (
        gzip.compress(HEADER.encode() + b"\n" + b" " * 60_000_000),
        "expansion_limit",
        "200 times its size",
    ),
    "cut gzip": (gzip.compress(NATIVE.encode())[:-9], "archive_truncated", "uploaded whole"),
    "cut zip": (zipped(("a.csv", NATIVE.encode()))[:-9], "archive_truncated", "uploaded whole"),
    "spreadsheet": (zipped(("xl/workbook.xml", b"<x/>")), "spreadsheet", "save it as CSV"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(99), "archive_unknown", "plain, gzip or zip"),
}


@pytest.mark.parametrize(("data", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_a_file_is_refused_in_a_sentence(
    engine: Engine, place: Place, data: bytes, code: str, words: str
) -> None:
    with pytest.raises(FileRefused) as refused:
        run(engine, place, data)
    assert refused.value.code == code
    assert words in refused.value.sentence
    assert refused.value.sentence.endswith(".")
    assert CARD not in refused.value.sentence
    with engine.database.transaction() as connection:
        for table in ("batch", "operation", "row_text", "number", "chunk"):
            assert connection.execute(f'SELECT count(*) FROM "{table}"').fetchall() == [(0,)]
    assert not [path for path in (engine.settings.home / "blobs").rglob("*/*") if path.is_file()]


def test_limits_of_files_are_settings(engine: Engine, place: Place, with_settings: Any) -> None:
    for changes, code in (
        ({"file_bytes_max": 100}, "file_too_large"),
        ({"columns_max": 3}, "too_many_columns"),
    ):
        with pytest.raises(FileRefused) as refused:
            run(with_settings(**changes), place, NATIVE.encode())
        assert refused.value.code == code


def test_a_wrong_request_names_what_is_known(engine: Engine, place: Place) -> None:
    for options, words in (({"dialect": "x"}, "native"), ({"kind": "x"}, "sale")):
        with pytest.raises(RequestWrongError, match=words):
            run(engine, place, NATIVE.encode(), **options)


def test_a_file_of_broken_lines_only_has_them_all_in_its_result(
    engine: Engine, place: Place
) -> None:
    done, result = run(engine, place, f'{HEADER}\nsale\n"\n\0\n,,\n'.encode())
    assert done.row_count == 4
    assert result["outcome"].to_list() == ["rejected"] * 4


PIECES = st.sampled_from(
    [
        *(b"\n", b"\r", b"\r\n", b'"', b'""', b",", b";", b"\t", b"\0", b"\x1f", b"\x1a", b"\x85"),
        *(b"\xff", b"\xe9", "é€".encode(), b"\\.", b"\\N", b"{}", b"-", b"9" * 25, b"1e3", b"pay_"),
        *(b"card_", b"x" * 300, b",,,,,,,,", b"refund", b"EUR", b"\xef\xbb\xbf", b" ", b"\xf0\x9f"),
    ]
)
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.integers(0, 12), st.one_of(PIECES, st.just(b""))
    ),
    min_size=1,
    max_size=6,
)


def damaged(data: bytes, changes: list[tuple[float, int, bytes]]) -> bytes:
    """Put pieces in the place of some bytes, of the first line seldom: that refuses the file."""
    header = data.index(b"\n") + 1
    for where, gone, piece in changes:
        at = int(where * len(data)) if where < 0.02 else header + int(where * (len(data) - header))
        data = data[:at] + piece + data[at + gone :]
    return data


def data_lines(data: bytes, batch: Batch) -> list[int]:
    """Count physical lines that are not blank, without the header; in a way of its own."""
    text = data.decode("latin-1" if batch.shape["encoding"] in {"utf-8", "cp1252"} else "utf-16")
    lines = re.split("\r\n|\n|\r", text)
    return [number for number, line in enumerate(lines[1:], 2) if line.strip(" \t")]


@pytest.mark.parametrize("text", [*TEXTS, pytest.param(CHAIN, id="chain")])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES)
def test_damage_never_loses_or_shifts_a_line(
    engine: Engine, place: Place, text: str, changes: list[tuple[float, int, bytes]]
) -> None:
    data = damaged((text + text.split("\n", 1)[1] * 2).encode(), changes)
    try:
        done, result = run(engine, place, data)
    except (FileRefused, SeenBeforeError, RequestWrongError):
        return
    assert done.state == "completed"
    with engine.database.transaction() as connection:
        assert not ledger.broken_balances(connection) + ledger.broken_laws(connection)
        found = connection.execute(
            "SELECT line FROM operation WHERE batch_id = %s ORDER BY line", [done.id]
        ).fetchall()
    lines = data_lines(data, done)
    assert [row[0] for row in found] == lines
    assert done.row_count == result.height == len(lines)
    state = "outcome" if done.dialect == "native" else "response"
    assert set(result[state]) <= {"approved", "declined", "rejected", "replayed"}
    assert not result.filter(pl.col(state).is_null()).height
