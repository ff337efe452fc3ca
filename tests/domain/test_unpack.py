"""Archives come out as the one file they hold, or as a clear refusal."""

import bz2
import contextlib
import gzip
import io
import tracemalloc
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paybatch.domain.delimited_shape import FileRefused
from paybatch.domain.unpack import unpack

TEXT = b"id,amount\n" + b"".join(b"%d,%d\n" % (line, line * 7) for line in range(30_000))


class OneWay(io.BytesIO):
    """A file that cannot be sought, so that zip writes its sizes after the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def zipped(
    *files: tuple[str, bytes],
    method: int = zipfile.ZIP_DEFLATED,
    out: io.BytesIO | None = None,
    comment: bytes = b"",
) -> bytes:
    out = out or io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
        archive.comment = comment
    return out.getvalue()


def unpacked(data: bytes, size: int = 1_000, **limits: int) -> bytes:
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    return b"".join(unpack(pieces, **limits))


def refusal(data: bytes, **limits: int) -> str:
    with pytest.raises(FileRefused) as refused:
        unpacked(data, **limits)
    assert refused.value.sentence.endswith(".")
    return refused.value.code


def zip64(out: io.BytesIO) -> bytes:
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.csv", "w", force_zip64=True) as entry,
    ):
        entry.write(TEXT)
    return out.getvalue()


WAYS = {
    "plain": TEXT,
    "gzip": gzip.compress(TEXT),
    "gzip in members": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
    "gzip with padding": gzip.compress(TEXT) + bytes(512),
    "zip": zipped(("a.csv", TEXT)),
    "zip stored": zipped(("a.csv", TEXT), method=zipfile.ZIP_STORED),
    "zip streamed": zipped(("a.csv", TEXT), out=OneWay()),
    "zip with a folder": zipped(("in/", b""), ("in/a.csv", TEXT), comment=b"hello"),
    "zip64": zip64(io.BytesIO()),
    "zip64 streamed": zip64(OneWay()),
}
ARCHIVES = {way: data for way, data in WAYS.items() if way != "plain"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [1, 3, 1_000, 10_000_000])
def test_one_file_comes_out(way: str, size: int) -> None:
    assert unpacked(WAYS[way], size) == TEXT


@pytest.mark.parametrize("data", [b"", b"a", b"PK", b"\x1f", b"PK,amount\n1,2\n", b"BZhash,b\n"])
def test_short_and_plain_data_pass(data: bytes) -> None:
    assert unpacked(data) == data


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (zipped(("a.csv", TEXT), ("b.csv", TEXT)), "archive_many_files"),
        (zipped(), "archive_empty"),
        (zipped(("in/", b"")), "archive_empty"),
        (zipped(("a.csv", gzip.compress(TEXT))), "archive_nested"),
        (gzip.compress(zipped(("a.csv", TEXT))), "archive_nested"),
        (gzip.compress(gzip.compress(TEXT)), "archive_nested"),
        (zipped(("[Content_Types].xml", b"<a/>"), ("xl/a.xml", b"<a/>")), "spreadsheet"),
        (zipped(("a.csv", TEXT), method=zipfile.ZIP_LZMA), "archive_unknown"),
        (bz2.compress(TEXT), "archive_unknown"),
        (gzip.compress(TEXT) + b"more", "archive_damaged"),
        (zipped(("a.csv", TEXT)) + b"more", "archive_damaged"),
        (b"\x1f\x8b\x08" + b"\xff" * 50, "archive_damaged"),
    ],
)
def test_what_is_refused(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_a_password_is_refused() -> None:
    data = bytearray(zipped(("a.csv", TEXT)))
    data[6] |= 1
    assert refusal(bytes(data)) == "archive_encrypted"


def test_a_list_that_names_more_files_is_refused() -> None:
    data = bytearray(zipped(("a.csv", TEXT)))
    data[-12] = 2
    assert refusal(bytes(data)) == "archive_many_files"


@pytest.mark.parametrize("way", ["zip", "zip stored", "zip streamed", "gzip"])
def test_a_changed_byte_is_noticed(way: str) -> None:
    data = bytearray(WAYS[way])
    data[len(data) // 2] ^= 0x10
    assert refusal(bytes(data)).startswith("archive_")


@pytest.mark.parametrize("way", ARCHIVES)
def test_a_truncated_archive_is_refused(way: str) -> None:
    data = ARCHIVES[way].rstrip(b"\0") if way.startswith("gzip w") else ARCHIVES[way]
    last = len(data) - (6 if way == "gzip with padding" else 1)
    for length in {6, 20, 40, len(data) // 3, len(data) // 2, len(data) - 30, last}:
        assert refusal(data[:length]) == "archive_truncated"


def test_expansion_is_limited_by_bytes() -> None:
    packed = gzip.compress(TEXT)
    assert unpacked(packed, max_bytes=len(TEXT)) == TEXT
    assert refusal(packed, max_bytes=len(TEXT) - 1) == "expansion_limit"
    assert refusal(WAYS["zip"], max_bytes=len(TEXT) - 1) == "expansion_limit"


def test_expansion_is_limited_by_ratio_and_holds_little() -> None:
    packed = gzip.compress(bytes(60_000_000))
    assert refusal(packed) == "expansion_limit"
    assert len(unpacked(gzip.compress(bytes(9_000_000)))) == 9_000_000
    tracemalloc.start()
    given_bytes = sum(map(len, unpack([packed], max_ratio=10_000)))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert given_bytes == 60_000_000
    assert peak_bytes < 2_000_000


@given(
    st.sampled_from(list(ARCHIVES.values())),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=4),
    st.integers(1, 5_000),
)
@settings(max_examples=200, deadline=None)
def test_damage_only_ever_refuses(data: bytes, changes: list[tuple[int, int]], size: int) -> None:
    changed = bytearray(data)
    for position, value in changes:
        changed[position if position < 150 else 149 - position] = value
    with contextlib.suppress(FileRefused):
        assert unpacked(bytes(changed), size) in (TEXT, bytes(changed))


@given(st.binary(max_size=100), st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08\0"]))
def test_random_bytes_only_ever_refuse(data: bytes, magic: bytes) -> None:
    with contextlib.suppress(FileRefused):
        unpacked(magic + data)
