"""Blobs: streamed, whole or absent, and every change to one is noticed."""

import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError

from paybatch.store.blobs import FRAME_BYTES, Blobs, BlobsError
from paybatch.store.keys import SEAL_BYTES, DataKey, Keys

SEALED = FRAME_BYTES + SEAL_BYTES
NAME = "uploads/1.csv"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs.open(tmp_path / "blobs")


@pytest.fixture
def key(tmp_path: Path) -> DataKey:
    return Keys.open(tmp_path / "keys").new_data_key()


def _pieces(data: bytes, size_bytes: int) -> Iterator[bytes]:
    return (data[start : start + size_bytes] for start in range(0, len(data), size_bytes))


def _data(size_bytes: int) -> bytes:
    return (bytes(range(251)) * (size_bytes // 251 + 1))[:size_bytes]


@pytest.mark.parametrize(
    "size_bytes", [0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES, 9_999_999]
)
@pytest.mark.parametrize("piece_bytes", [65_537, FRAME_BYTES, 10**9])
def test_blobs_come_back(blobs: Blobs, key: DataKey, size_bytes: int, piece_bytes: int) -> None:
    data = _data(size_bytes)
    assert blobs.put_encrypted(NAME, _pieces(data, piece_bytes), key) == size_bytes
    assert b"".join(blobs.read_encrypted(NAME, key)) == data


def test_the_folder_is_closed_and_the_content_sealed(
    blobs: Blobs, key: DataKey, tmp_path: Path
) -> None:
    blobs.put_encrypted(NAME, [b"4111111111111111"], key)
    assert (tmp_path / "blobs").stat().st_mode & 0o777 == 0o700
    stored = (tmp_path / "blobs" / NAME).read_bytes()
    assert len(stored) == 16 + SEAL_BYTES
    assert b"4111" not in stored


def test_a_store_keeps_its_id(blobs: Blobs, tmp_path: Path) -> None:
    assert Blobs.open(str(tmp_path / "blobs")).blob_store_id == blobs.blob_store_id
    assert Blobs.open(tmp_path / "other").blob_store_id != blobs.blob_store_id
    assert len(blobs.blob_store_id) == 32


def test_blobs_are_found_replaced_and_deleted(blobs: Blobs, key: DataKey) -> None:
    assert not blobs.exists(NAME)
    blobs.put_encrypted(NAME, [b"old"], key)
    blobs.put_encrypted(NAME, [b"new"], key)
    assert blobs.exists(NAME)
    assert list(blobs.read_encrypted(NAME, key)) == [b"new"]
    blobs.delete(NAME)
    blobs.delete(NAME)
    assert not blobs.exists(NAME)
    with pytest.raises(BlobsError, match=f"no blob {NAME}"):
        blobs.read_encrypted(NAME, key)


def _frame(stored: bytes, number: int) -> bytes:
    return stored[number * SEALED : (number + 1) * SEALED]


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored[:-1],
        lambda stored: stored + b"x",
        lambda stored: stored[:SEALED],
        lambda stored: stored[: 2 * SEALED],
        lambda stored: stored[:0],
        lambda stored: _frame(stored, 1) + _frame(stored, 0) + _frame(stored, 2),
        lambda stored: _frame(stored, 0) + _frame(stored, 2),
        lambda stored: _frame(stored, 0) * 2 + _frame(stored, 2),
        lambda stored: stored + stored,
        lambda stored: stored[:100] + bytes([stored[100] ^ 1]) + stored[101:],
    ],
)
def test_every_change_is_noticed(
    blobs: Blobs, key: DataKey, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    blobs.put_encrypted(NAME, [_data(2 * FRAME_BYTES + 5)], key)
    path = tmp_path / "blobs" / NAME
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(BlobsError, match="changed or cut off"):
        list(blobs.read_encrypted(NAME, key))


def test_another_blob_or_key_is_noticed(blobs: Blobs, key: DataKey, tmp_path: Path) -> None:
    for name in ("a", "b"):
        blobs.put_encrypted(name, [name.encode()], key)
    (tmp_path / "blobs" / "a").replace(tmp_path / "blobs" / "b")
    with pytest.raises(BlobsError, match="blob b was changed"):
        list(blobs.read_encrypted("b", key))
    other = Keys.open(tmp_path / "keys").new_data_key()
    blobs.put_encrypted("c", [b"c"], key)
    with pytest.raises(BlobsError, match="another key"):
        list(blobs.read_encrypted("c", other))


def test_a_failing_source_leaves_nothing(blobs: Blobs, key: DataKey, tmp_path: Path) -> None:
    def source() -> Iterator[bytes]:
        yield _data(20 * FRAME_BYTES)
        raise OSError("the line is dead")

    with pytest.raises(OSError, match="the line is dead"):
        blobs.put_encrypted(NAME, source(), key)
    assert not blobs.exists(NAME)
    assert not list((tmp_path / "blobs").rglob("*.csv*"))


def test_a_full_disk_is_named(blobs: Blobs, key: DataKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise GenericError("No space left on device (os error 28)\n\nDebug source:")

    monkeypatch.setattr(obstore, "put", full)
    with pytest.raises(BlobsError, match=r"written: No space left on device \(os error 28\)\.$"):
        blobs.put_encrypted(NAME, [b"a"], key)


KILLED = """
import os, signal, sys
from pathlib import Path
from paybatch.store.blobs import Blobs
from paybatch.store.keys import Keys
def source():
    for _ in range(30):
        yield bytes(1024 * 1024)
    os.kill(os.getpid(), signal.SIGKILL)
home = Path(sys.argv[1])
Blobs.open(home / "blobs").put_encrypted("uploads/1.csv", source(),
                                         Keys.open(home / "keys").new_data_key())
"""


def test_a_killed_put_leaves_no_blob(blobs: Blobs, key: DataKey, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not blobs.exists(NAME)
    blobs.put_encrypted(NAME, [b"again"], key)
    assert list(blobs.read_encrypted(NAME, key)) == [b"again"]


def test_memory_does_not_grow_with_the_blob(blobs: Blobs, key: DataKey) -> None:
    piece = _data(100_000)
    tracemalloc.start()
    blobs.put_encrypted(NAME, (piece for _ in range(1000)), key)
    assert sum(map(len, blobs.read_encrypted(NAME, key))) == 100_000_000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 32 * FRAME_BYTES


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".blob-store-id", "a b"]
)
def test_odd_names_are_refused(blobs: Blobs, key: DataKey, name: str) -> None:
    with pytest.raises(BlobsError, match="cannot be the name"):
        blobs.put_encrypted(name, [b""], key)


@pytest.mark.parametrize("place", ["http://example.org/x", "ftp://example.org/x"])
def test_odd_places_are_refused(place: str) -> None:
    with pytest.raises(BlobsError, match="s3://, gs://, az://"):
        Blobs.open(place)


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BlobsError, match="cannot be used"):
        Blobs.open(tmp_path / "file")


def test_the_blobs_of_a_folder_are_listed(blobs: Blobs, key: DataKey) -> None:
    assert blobs.listed("uploads") == []
    for name in ("uploads/1.csv", "uploads/2.csv", "uploads-too/3.csv"):
        blobs.put_encrypted(name, [b"x"], key)
    found = blobs.listed("uploads")
    assert sorted(name for name, _ in found) == ["uploads/1.csv", "uploads/2.csv"]
    assert all(abs(at - datetime.now(UTC)) < timedelta(minutes=1) for _, at in found)


def test_what_killed_writers_left_can_be_dropped(
    blobs: Blobs, key: DataKey, tmp_path: Path
) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    blobs.put_encrypted("uploads/2.csv", [b"x"], key)
    folder = tmp_path / "blobs" / "uploads"
    assert len(list(folder.iterdir())) == 2
    now = datetime.now(UTC)
    blobs.drop_unfinished("uploads", now - timedelta(hours=1))
    assert len(list(folder.iterdir())) == 2
    blobs.drop_unfinished("uploads", now + timedelta(hours=1))
    assert [path.name for path in folder.iterdir()] == ["2.csv"]
    blobs.drop_unfinished("nothing", now)
