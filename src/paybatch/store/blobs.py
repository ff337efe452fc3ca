"""Blobs: uploads, documents and kept results, encrypted, in a folder or an object store.

A blob is a row of frames of 1 MiB, each sealed by the blob's data key together with the blob's
name, the frame's number and a mark on the last one: a frame that was changed, swapped, moved, cut
off or added is noticed. Writing and reading stream; memory does not grow with the blob.

Source: https://developmentseed.org/obstore/ ; marked frames: https://eprint.iacr.org/2015/189.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store, from_url

from paybatch.store.keys import SEAL_BYTES, BrokenSealError, DataKey

FRAME_BYTES = 1024 * 1024
PART_BYTES = 8 * FRAME_BYTES  # object stores take 10 000 parts: blobs of up to 78 GiB
PARTS_IN_FLIGHT = 2
SCHEMES = ("s3://", "gs://", "az://")
ID_NAME = ".blob-store-id"  # no blob can have this name
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*")

Store = LocalStore | S3Store | GCSStore | AzureStore


class BlobsError(Exception):
    """The blob store or a blob cannot be used; the sentence says which and why."""


class BlobGoneError(BlobsError):
    """There is no blob of that name."""


class Blobs:
    """An opened blob store.

    ``blob_store_id`` (32 hex digits) is stored in the database to know that they belong together.
    Names are parts of letters, digits, ``_``, ``.`` and ``-`` between single slashes.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.blob_store_id = _store_id(store)

    @classmethod
    def open(cls, url_or_path: str | Path) -> Self:
        """Open a folder (made with mode 0700 if absent) or an ``s3://``, ``gs://``, ``az://`` URL.

        Accounts and keys of object stores come from their usual environment variables. Raises
        `BlobsError`.
        """
        try:
            return cls(_opened(url_or_path))
        except (BaseError, OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise BlobsError(f"The blob store {url_or_path} cannot be used: {reason}") from error

    def put_encrypted(self, name: str, source: Iterable[bytes], data_key: DataKey) -> int:
        """Write a blob from pieces of any length, and give the number of bytes in them.

        The blob appears whole, on the disk, or not at all; one of that name is replaced. What the
        source raises is raised here. Raises `BlobsError` where the store refuses: a full disk.
        """
        _check_name(name)
        frames = _SealedFrames(name, source, data_key)
        try:
            obstore.put(
                self._store,
                name,
                frames,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_IN_FLIGHT,
            )
        except BaseError as error:
            reason = str(error).partition("\n")[0]
            raise BlobsError(f"The blob {name} cannot be written: {reason}.") from error
        if isinstance(self._store, LocalStore):
            _to_disk(self._store, name)
        return frames.size_bytes

    def read_encrypted(self, name: str, data_key: DataKey) -> Iterator[bytes]:
        """Read a blob in pieces of 1 MiB; raises `BlobGoneError` at once if there is none.

        Each piece is checked before it is given out; that the blob was cut off is seen only at
        its end, as `BlobsError`: so use nothing of it before the last piece has come.
        """
        _check_name(name)
        try:
            stream = obstore.get(self._store, name).stream(min_chunk_size=FRAME_BYTES)
        except FileNotFoundError:
            raise BlobGoneError(f"There is no blob {name}.") from None
        return _opened_frames(name, map(memoryview, stream), data_key)

    def delete(self, name: str) -> None:
        """Delete a blob; it is no error if it is gone already."""
        _check_name(name)
        try:
            obstore.delete(self._store, name)
        except FileNotFoundError:
            return

    def exists(self, name: str) -> bool:
        """Tell whether there is a whole blob of that name."""
        _check_name(name)
        try:
            obstore.head(self._store, name)
        except FileNotFoundError:
            return False
        return True

    def listed(self, folder: str) -> list[tuple[str, datetime]]:
        """Give the name of every blob in a folder, and when it was written.

        Raises:
            BlobsError: The store cannot be listed.
        """
        _check_name(folder)
        try:
            found = [each for page in obstore.list(self._store, prefix=folder) for each in page]
        except BaseError as error:
            reason = str(error).partition("\n")[0]
            raise BlobsError(f"The blobs in {folder} cannot be listed: {reason}") from error
        return [(each["path"], each["last_modified"]) for each in found]

    def drop_unfinished(self, folder: str, before: datetime) -> None:
        """Delete what writers that were killed before a time left of their blobs in a folder.

        In a folder of this machine only: object stores have rules of their own for that.
        """
        _check_name(folder)
        if isinstance(self._store, LocalStore):
            assert self._store.prefix is not None
            for part in (self._store.prefix / folder).glob("*#*"):
                with contextlib.suppress(FileNotFoundError):
                    if part.stat().st_mtime < before.timestamp():
                        part.unlink()


class _SealedFrames:
    """The sealed frames of a source, and the number of bytes taken from it so far."""

    def __init__(self, name: str, source: Iterable[bytes], data_key: DataKey) -> None:
        self._name, self._source, self._data_key = name, source, data_key
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for number, (frame, last) in enumerate(_frames(self._source, FRAME_BYTES)):
            self.size_bytes += len(frame)
            yield self._data_key.seal(frame, _context(self._name, number, last=last))


def _opened_frames(name: str, pieces: Iterable[memoryview], data_key: DataKey) -> Iterator[bytes]:
    for number, (frame, last) in enumerate(_frames(pieces, FRAME_BYTES + SEAL_BYTES)):
        try:
            yield data_key.open(frame, _context(name, number, last=last))
        except BrokenSealError:
            raise BlobsError(
                f"The blob {name} was changed or cut off, or has another key (frame {number})."
            ) from None


def _frames(pieces: Iterable[bytes | memoryview], size_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Cut pieces of any length into frames, the last one marked; there is always a last one."""
    held = bytearray()
    for piece in pieces:
        held += piece
        start = 0
        while len(held) - start > size_bytes:  # a full frame is held back: it may be the last
            yield bytes(memoryview(held)[start : start + size_bytes]), False
            start += size_bytes
        del held[:start]
    yield bytes(held), True


def _context(name: str, number: int, *, last: bool) -> str:
    return f"blob {name} frame {number} {'last' if last else 'more'}"


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise BlobsError(f"{name!r} cannot be the name of a blob.")


def _opened(url_or_path: str | Path) -> Store:
    if isinstance(url_or_path, Path) or "://" not in url_or_path:
        folder = Path(url_or_path).absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(folder)
    if not url_or_path.startswith(SCHEMES):
        raise BlobsError(f"{url_or_path} is not a folder or a URL with {', '.join(SCHEMES)}.")
    store = from_url(url_or_path)
    assert isinstance(store, S3Store | GCSStore | AzureStore)
    return store


def _store_id(store: Store) -> str:
    """Read the id that stands in the store; the first to come writes it."""
    try:
        return _read_id(store)
    except FileNotFoundError:
        with contextlib.suppress(AlreadyExistsError):
            obstore.put(store, ID_NAME, secrets.token_hex(16).encode(), mode="create")
        return _read_id(store)


def _read_id(store: Store) -> str:
    return bytes(obstore.get(store, ID_NAME).bytes()).decode()


def _to_disk(store: LocalStore, name: str) -> None:
    """Wait until the file and its folders outlive a power failure."""
    assert store.prefix is not None
    path = store.prefix / name
    within = len(Path(name).parents)
    for each in (path, *list(path.parents)[:within]):
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
