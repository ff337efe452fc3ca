"""Takes the one file out of a gzip or zip upload, as a stream; plain data passes through.

Nothing is written to disk and nothing is held but a small piece. What is wrong with an archive
may show only at its end, after its file has been given out: whoever reads must not act before
the last piece. Sources: RFC 1952 (gzip), PKWARE APPNOTE 6.3 (zip).
"""

import itertools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator

from paybatch.domain.delimited_shape import FileRefused

GIBIBYTE = 1024**3
MAX_BYTES = 10 * GIBIBYTE
MAX_RATIO = 200

_PIECE_BYTES = 64 * 1024
_RATIO_FROM_BYTES = 10 * 1024 * 1024
_MAX_DIRECTORY_BYTES = 4 * 1024 * 1024
_GZIP, _ZIP, _ZIP_NOTHING = b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06"
_PACKED = (_GZIP, _ZIP, _ZIP_NOTHING)
_BZIP2 = tuple(b"BZh%d1A" % level for level in range(1, 10))
_OTHERS = (*_BZIP2, b"\xfd7zXZ\0", b"(\xb5/\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_MAGIC_BYTES = 6
_DEFLATE_RAW, _DEFLATE_GZIP = -15, 31

_DIRECTORY, _DESCRIPTOR = b"PK\x01\x02", b"PK\x07\x08"
_LOCAL_HEADER = struct.Struct("<4x2xHH4xIIIHH")
_LIST_END = struct.Struct("<10xH8xH")
_ENCRYPTED, _SIZES_FOLLOW = 0x1, 0x8
_STORED, _DEFLATED = 0, 8
_IN_EXTRA = 0xFFFFFFFF
_SPREADSHEETS = (b"[Content_Types].xml", b"mimetype", b"docProps/", b"xl/")

_ONE_FILE = "an upload may be plain, gzip or zip, and holds exactly one file."
_DOCUMENTS = (".pdf", ".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".webp")
Aside = Callable[[str, Iterator[bytes]], None]


def unpack(
    source: Iterable[bytes],
    *,
    max_bytes: int = MAX_BYTES,
    max_ratio: int = MAX_RATIO,
    aside: Aside | None = None,
) -> Iterator[bytes]:
    """Give the bytes of the one file in an upload that arrives in pieces of any size.

    Args:
        source: the upload.
        max_bytes: how large the unpacked file may be.
        max_ratio: how many times larger than the packed bytes it may be, once it passed 10 MiB.
        aside: takes the documents (PDF files and pictures) that a zip archive holds beside the
            file: name and pieces, which it must read to their end. None = there may be none.

    Raises:
        FileRefused: `expansion_limit`, `archive_many_files`, `archive_empty`,
            `archive_encrypted`, `archive_nested`, `archive_truncated`, `archive_damaged`,
            `archive_unknown` (a way of packing that we do not read) or `spreadsheet`.

    """
    packed = _Packed(source)
    magic = packed.peek(_MAGIC_BYTES)
    if magic.startswith(_OTHERS):
        raise FileRefused("archive_unknown", f"The upload is packed in another way; {_ONE_FILE}")
    if magic.startswith(_ZIP_NOTHING):
        raise FileRefused("archive_empty", f"The zip archive is empty; {_ONE_FILE}")
    if magic.startswith(_PACKED):
        pieces = _gzip(packed) if magic.startswith(_GZIP) else _zip(packed, aside)
        yield from _not_nested(_limited(pieces, packed, max_bytes, max_ratio))
    else:
        yield from packed


class _Packed:
    """The bytes of an upload, to be read in small pieces or counts."""

    def __init__(self, source: Iterable[bytes]) -> None:
        self._pieces = (
            piece[start : start + _PIECE_BYTES]
            for piece in source
            for start in range(0, len(piece), _PIECE_BYTES)
        )
        self._ahead = b""
        self.taken_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Give the next piece, never an empty one."""
        piece, self._ahead = self._ahead or next(self._pieces), b""
        self.taken_bytes += len(piece)
        return piece

    def peek(self, count: int) -> bytes:
        """Show so many of the next bytes, fewer at the end only."""
        if len(self._ahead) < count:
            more = [self._ahead]
            missing = count - len(self._ahead)
            while missing > 0 and (piece := next(self._pieces, b"")):
                more.append(piece)
                missing -= len(piece)
            self._ahead = b"".join(more)
        return self._ahead[:count]

    def take(self, count: int) -> bytes:
        """Give exactly so many bytes; refuse an upload that ends before."""
        taken = self.peek(count)
        if len(taken) < count:
            raise _truncated()
        self._ahead = self._ahead[count:]
        self.taken_bytes += count
        return taken

    def put_back(self, rest: bytes) -> None:
        """Undo the taking of the last bytes."""
        self._ahead = rest + self._ahead
        self.taken_bytes -= len(rest)


def _truncated() -> FileRefused:
    return FileRefused(
        "archive_truncated", "The archive ends too early; it must be uploaded whole."
    )


def _damaged(what: str) -> FileRefused:
    return FileRefused("archive_damaged", f"The archive is damaged: {what}; upload it again.")


def _limited(
    pieces: Iterator[bytes], packed: _Packed, max_bytes: int, max_ratio: int
) -> Iterator[bytes]:
    given_bytes = 0
    for piece in pieces:
        given_bytes += len(piece)
        if given_bytes > max_bytes:
            what = f"unpacks to more than {max_bytes} bytes, which is the limit."
            raise FileRefused("expansion_limit", f"The archive {what}")
        if given_bytes > max(_RATIO_FROM_BYTES, max_ratio * packed.taken_bytes):
            what = f"unpacks to more than {max_ratio} times its size, which is the limit."
            raise FileRefused("expansion_limit", f"The archive {what}")
        yield piece


def _not_nested(pieces: Iterator[bytes]) -> Iterator[bytes]:
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= _MAGIC_BYTES:
            break
    if start.startswith(_PACKED + _OTHERS):
        raise FileRefused("archive_nested", f"The archive holds another archive; {_ONE_FILE}")
    yield from itertools.chain([start] if start else [], pieces)


def _inflate(packed: _Packed, window_bits: int) -> Iterator[bytes]:
    """Decompress one deflate stream and leave what follows it."""
    stream = zlib.decompressobj(window_bits)
    for arrived in packed:
        piece = arrived
        while not stream.eof:
            try:
                out = stream.decompress(piece, _PIECE_BYTES)
            except zlib.error as error:
                raise _damaged("its packed data cannot be read") from error
            if out:
                yield out
            piece = stream.unconsumed_tail
            if not piece and len(out) < _PIECE_BYTES:
                break
        if stream.eof:
            packed.put_back(stream.unused_data)
            return
    raise _truncated()


def _gzip(packed: _Packed) -> Iterator[bytes]:
    """Unpack one file, which may be packed in several members, one after the other."""
    while packed.peek(2) == _GZIP:
        yield from _inflate(packed, _DEFLATE_GZIP)
    if any(piece.strip(b"\0") for piece in packed):  # tapes pad with zeros
        raise _damaged("something follows its file")


def _zip(packed: _Packed, aside: Aside | None) -> Iterator[bytes]:
    """Unpack the one file; documents beside it are set aside, and folders passed over."""
    files = entries = 0
    while packed.peek(4) == _ZIP:
        entry = _Entry(packed)
        entries += 1
        if aside is not None and entry.name.lower().endswith(_DOCUMENTS):
            aside(entry.name, entry.content(packed))
            continue
        files += not entry.is_folder
        if files > 1:
            raise FileRefused(
                "archive_many_files", f"The zip archive holds several files; {_ONE_FILE}"
            )
        yield from entry.content(packed)
    if not files:
        raise FileRefused("archive_empty", f"The zip archive holds no file; {_ONE_FILE}")
    _check_directory(packed, entries)


class _Entry:
    """One file or folder in a zip archive, from its local header."""

    def __init__(self, packed: _Packed) -> None:
        flags, self._method, self._checksum, size, full_size, name_bytes, extra_bytes = (
            _LOCAL_HEADER.unpack(packed.take(_LOCAL_HEADER.size))
        )
        self._sizes_follow = bool(flags & _SIZES_FOLLOW)
        name = packed.take(name_bytes)
        self._size, self._full_size = _sizes(size, full_size, packed.take(extra_bytes))
        self.is_folder = name.endswith(b"/")
        self.name = name.decode(errors="replace")
        if name.startswith(_SPREADSHEETS):
            raise FileRefused("spreadsheet", "The upload is a spreadsheet; save it as CSV.")
        if flags & _ENCRYPTED:
            raise FileRefused("archive_encrypted", f"The zip archive has a password; {_ONE_FILE}")
        if self._method not in (_STORED, _DEFLATED) or (
            self._method == _STORED and self._sizes_follow and not self.is_folder
        ):
            what = "The zip archive is packed in an unusual way; deflate is allowed."
            raise FileRefused("archive_unknown", what)

    def content(self, packed: _Packed) -> Iterator[bytes]:
        """Give the entry's bytes and check them by the sizes and checksum of the archive."""
        start_bytes, full_size, checksum = packed.taken_bytes, 0, 0
        pieces = _stored(packed, self._size) if self._method == _STORED else None
        for piece in pieces or _inflate(packed, _DEFLATE_RAW):
            full_size += len(piece)
            checksum = zlib.crc32(piece, checksum)
            yield piece
        size = packed.taken_bytes - start_bytes
        if self._sizes_follow:
            _skip_descriptor(packed, checksum, size, full_size)
        elif (checksum, size, full_size) != (self._checksum, self._size, self._full_size):
            raise _damaged("its checksum does not fit")


def _sizes(size: int, full_size: int, extra: bytes) -> tuple[int, int]:
    """Give the packed and the full size, from the extra field when they need 64 bits."""
    at = 0
    while _IN_EXTRA in (size, full_size) and at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1 and length >= 16 and at + 20 <= len(extra):  # noqa: PLR2004 - two 64-bit sizes
            full_size, size = struct.unpack_from("<QQ", extra, at + 4)
            break
        at += 4 + length
    return size, full_size


def _stored(packed: _Packed, size: int) -> Iterator[bytes]:
    while size:
        piece = packed.take(min(size, _PIECE_BYTES))
        size -= len(piece)
        yield piece


def _skip_descriptor(packed: _Packed, checksum: int, size: int, full_size: int) -> None:
    """Pass over the sizes that follow a file; its writer chose one of four forms."""
    for mark in (_DESCRIPTOR, b""):
        for form in ("<III", "<IQQ"):
            low = 0xFFFFFFFF if form == "<III" else -1
            expected = mark + struct.pack(form, checksum, size & low, full_size & low)
            if packed.peek(len(expected) + 2) == expected + b"PK":
                packed.take(len(expected))
                return
    if len(packed.peek(26)) < 26:  # noqa: PLR2004 - the longest form and two bytes
        raise _truncated()
    raise _damaged("its checksum does not fit")


def _check_directory(packed: _Packed, entries: int) -> None:
    """Check that the archive's own list is whole and names the entries that were read."""
    if packed.peek(4) != _DIRECTORY:
        raise _truncated() if len(packed.peek(4)) < 4 else _damaged("its list is missing")  # noqa: PLR2004 - the mark
    listing = packed.peek(_MAX_DIRECTORY_BYTES)
    at = listing.rfind(_ZIP_NOTHING)
    if at < 0 or len(listing) < at + _LIST_END.size:
        raise _truncated()
    listed, comment_bytes = _LIST_END.unpack_from(listing, at)
    end = at + _LIST_END.size + comment_bytes
    if len(listing) != end:
        raise _truncated() if len(listing) < end else _damaged("something follows its list")
    if listed != entries & 0xFFFF:
        raise FileRefused(
            "archive_many_files", f"The zip archive lists {listed} entries; {_ONE_FILE}"
        )
