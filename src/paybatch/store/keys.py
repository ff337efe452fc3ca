"""The keys of an installation, kept in a folder outside the database.

One file, ``keys.json`` (mode 0600, in a folder of mode 0700), holds: Tink key sets (AES-256-GCM)
that seal the vault's numbers and wrap data keys, the keys of the number fingerprints by version,
and a root from which all other keys are derived by purpose. Who has the database alone can read no
number; who loses the file can read none any more.

Tink: https://developers.google.com/tink/aead
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, Self, TypeVar

import polars as pl
import tink
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from tink import aead, json_proto_keyset_format, secret_key_access

FILE_NAME = "keys.json"
FEW = 64
FINGERPRINT_BYTES = 16
NONCE_BYTES = 12
SEAL_BYTES = NONCE_BYTES + 16  # what `DataKey.seal` adds to its data: the nonce and the tag

aead.register()

Result = TypeVar("Result")


class KeysError(Exception):
    """The keys cannot be used; the sentence says which file is wrong and what to do."""


class BrokenSealError(KeysError):
    """A sealed value cannot be opened: it was changed, moved, or sealed with other keys."""


class Aead(Protocol):
    """Tink's authenticated encryption, as far as we use it."""

    def encrypt(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Seal the text together with the (open) associated data."""

    def decrypt(self, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Open it again; raises ``tink.TinkError`` if either is not what was sealed."""


class FileHasher(Protocol):
    """A keyed hash that grows with the bytes of a file."""

    def update(self, data: bytes, /) -> None:
        """Take in the next bytes."""

    def hexdigest(self) -> str:
        """Give the hash of all bytes so far: 64 lower-case hex digits."""


class DataKey:
    """A key of one batch or file; only its wrapped form is stored, and can be destroyed.

    ``context`` says what the data is and where it stands; the same one must be given to open it.
    """

    def __init__(self, secret: bytes, wrapping: Aead) -> None:
        self._secret = secret
        self._cipher = AESGCM(secret)
        self._wrapping = wrapping

    def wrapped(self, context: str) -> bytes:
        """Give the key encrypted under the key set; once these bytes are gone, so is the data."""
        return self._wrapping.encrypt(self._secret, context.encode())

    def seal(self, data: bytes, context: str) -> bytes:
        """Encrypt the data; the result is ``SEAL_BYTES`` longer."""
        return self._seal(data, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made; raises `BrokenSealError`."""
        return self._open(sealed, context.encode())

    def seal_values(self, values: pl.Series, contexts: pl.Series) -> pl.Series:
        """Seal each value (String or Binary -> Binary) with its own context (String)."""
        return _by_row(self._seal, values, contexts)

    def open_values(self, sealed: pl.Series, contexts: pl.Series) -> pl.Series:
        """Open what `seal_values` made (Binary); raises `BrokenSealError`."""
        return _by_row(self._open, sealed, contexts)

    def _seal(self, data: bytes, context: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data, context)

    def _open(self, sealed: bytes, context: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except (InvalidTag, ValueError):
            raise BrokenSealError("Sealed data was changed, moved, or has another key.") from None


class _KeyFile(BaseModel):
    """What stands in the file. Its errors and its text never show a key."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        ser_json_bytes="hex",
        val_json_bytes="hex",
    )

    format: Literal[1] = 1
    key_set_id: str = Field(pattern="^[0-9a-f]{32}$")
    root: bytes = Field(min_length=32, max_length=32, repr=False)
    fingerprints: dict[int, bytes] = Field(min_length=1, repr=False)
    numbers: dict[str, Any] = Field(repr=False)
    data_keys: dict[str, Any] = Field(repr=False)


class Keys:
    """The opened key set: hashes, seals and opens.

    ``key_set_id`` (32 hex digits) is stored in the database to know that they belong together;
    ``fingerprint_version`` stands beside each fingerprint.
    """

    def __init__(self, path: Path, content: _KeyFile) -> None:
        self._path = path
        self._use(content)

    @classmethod
    def open(cls, folder: Path, *, create: bool = True) -> Self:
        """Read the keys of a folder, after making them there if there are none.

        Two processes that start at once get the same keys. Raises `KeysError`.
        """
        path = folder / FILE_NAME
        try:
            absent = not path.exists()
            if absent and create:
                _create(path)
        except OSError as error:
            raise KeysError(f"No keys can be made at {path}: {error.strerror}.") from error
        if absent and not create:
            raise KeysError(f"There are no keys at {path}. Restore them, or start a new home.")
        return cls(path, _read(path))

    def rotate(self) -> None:
        """Put a new key in front of both key sets; what is sealed with older ones stays readable.

        Other processes notice when they meet a value of the new key, and read the file again.
        """
        with _lock(self._path.parent):
            now = _read(self._path)
            changed = {
                "numbers": _with_new_primary(now.numbers),
                "data_keys": _with_new_primary(now.data_keys),
            }
            _write(self._path, now.model_copy(update=changed))
            self._use(_read(self._path))

    def fingerprints(self, numbers: pl.Series) -> pl.Series:
        """Turn numbers (String) into their ids: 32 lower-case hex digits; null stays null.

        The first 128 bits of HMAC-SHA256. Clear numbers are not kept for a next call.
        """
        key = self._content.fingerprints[self.fingerprint_version]
        return _hashes(lambda number: hmac.digest(key, number, "sha256"), numbers)

    def seal_numbers(self, numbers: pl.Series, ids: pl.Series) -> pl.Series:
        """Encrypt numbers (String -> Binary), each bound to its id (String, never null)."""
        return _by_row(self._numbers.encrypt, numbers, ids)

    def open_numbers(self, sealed: pl.Series, ids: pl.Series) -> pl.Series:
        """Decrypt what `seal_numbers` made (Binary -> String); raises `BrokenSealError`."""
        opened = self._opened(lambda: _by_row(self._numbers.decrypt, sealed, ids))
        return opened.cast(pl.String)

    def file_hasher(self) -> FileHasher:
        """Start the keyed hash (BLAKE2b, 256 bits) of an uploaded file."""
        return hashlib.blake2b(key=self.derived_key("file hash"), digest_size=32)

    def values_hash(self, text: str | bytes) -> str:
        """Give the keyed hash (BLAKE2b, 32 hex digits) of a call's values, for idempotency."""
        data = text.encode() if isinstance(text, str) else text
        return _values_digest(self.derived_key("values hash"), data).hex()

    def values_hashes(self, texts: pl.Series) -> pl.Series:
        """Give `values_hash` of a whole column (String or Binary -> String); null stays null."""
        key = self.derived_key("values hash")
        return _hashes(lambda data: _values_digest(key, data), texts)

    def new_data_key(self) -> DataKey:
        """Make a random 256-bit key for the data of one batch or file."""
        return DataKey(AESGCM.generate_key(256), self._data_keys)

    def unwrap(self, wrapped: bytes, context: str) -> DataKey:
        """Get back the data key from what `DataKey.wrapped` gave; raises `BrokenSealError`."""
        secret = self._opened(lambda: self._data_keys.decrypt(wrapped, context.encode()))
        return DataKey(secret, self._data_keys)

    def derived_key(self, purpose: str) -> bytes:
        """Give the 32-byte key of one purpose; other purposes tell nothing about it."""
        return hmac.digest(self._content.root, purpose.encode(), "sha256")

    @property
    def public_ids_key(self) -> bytes:
        """The key for `PublicIds`."""
        return self.derived_key("public ids")

    def _use(self, content: _KeyFile) -> None:
        self._content = content
        self.key_set_id = content.key_set_id
        self.fingerprint_version = max(content.fingerprints)
        self._numbers = _primitive(content.numbers, self._path)
        self._data_keys = _primitive(content.data_keys, self._path)

    def _opened(self, work: Callable[[], Result]) -> Result:
        try:
            return work()
        except tink.TinkError:
            if not self._read_again():
                raise _broken_seal() from None
        try:
            return work()
        except tink.TinkError:
            raise _broken_seal() from None

    def _read_again(self) -> bool:
        """Take over what another process rotated; False if the file is the one we have."""
        content = _read(self._path)
        if content == self._content:
            return False
        if content.key_set_id != self.key_set_id:
            raise KeysError(f"The keys at {self._path} were replaced. Start this process again.")
        self._use(content)
        return True


def _broken_seal() -> BrokenSealError:
    return BrokenSealError("A sealed value was changed, moved, or belongs to another key set.")


def _by_row(
    work: Callable[[bytes, bytes], bytes], values: pl.Series, contexts: pl.Series
) -> pl.Series:
    rows = zip(values.cast(pl.Binary).to_list(), contexts.cast(pl.Binary).to_list(), strict=True)
    done = [None if value is None else work(value, context) for value, context in rows]
    return pl.Series(values.name, done, dtype=pl.Binary)


def _values_digest(key: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=FINGERPRINT_BYTES).digest()


def _hashes(digest: Callable[[bytes], bytes], values: pl.Series) -> pl.Series:
    """Hash each distinct value once (-> String of 32 hex digits)."""
    if len(values) <= FEW:  # a frame and a join cost more than a few hashes
        few = values.cast(pl.Binary).to_list()
        hashed = [None if v is None else digest(v)[:FINGERPRINT_BYTES].hex() for v in few]
        return pl.Series(values.name, hashed, dtype=pl.String)
    column = values.cast(pl.Binary).alias("value")
    distinct = column.drop_nulls().unique()
    digests = pl.Series([digest(value) for value in distinct.to_list()], dtype=pl.Binary)
    hashes = digests.bin.head(FINGERPRINT_BYTES).bin.encode("hex")
    pairs = pl.DataFrame({"value": distinct, "hash": hashes})
    joined = column.to_frame().join(pairs, on="value", how="left", maintain_order="left")
    return joined["hash"].alias(values.name)


def _new_key_set() -> dict[str, Any]:
    handle = tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)
    text = json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    key_set: dict[str, Any] = json.loads(text)
    return key_set


def _with_new_primary(key_set: dict[str, Any]) -> dict[str, Any]:
    # Tink for Python cannot add a key to a key set; its published JSON form can be joined.
    fresh = _new_key_set()
    while any(key["keyId"] == fresh["primaryKeyId"] for key in key_set["key"]):
        fresh = _new_key_set()
    return {**fresh, "key": [*key_set["key"], *fresh["key"]]}


def _primitive(key_set: dict[str, Any], path: Path) -> Aead:
    try:
        handle = json_proto_keyset_format.parse(json.dumps(key_set), secret_key_access.TOKEN)
        primitive: Aead = handle.primitive(aead.Aead)
    except tink.TinkError:
        raise KeysError(f"A key set in {path} is broken. Restore the file.") from None
    return primitive


def _lock(folder: Path) -> FileLock:
    return FileLock(folder / "keys.lock", mode=0o600)


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _refuse_readable_by_others(path.parent)
    with _lock(path.parent):
        if path.exists():  # another process was first
            return
        _write(
            path,
            _KeyFile(
                key_set_id=secrets.token_hex(16),
                root=secrets.token_bytes(32),
                fingerprints={1: secrets.token_bytes(32)},
                numbers=_new_key_set(),
                data_keys=_new_key_set(),
            ),
        )


def _write(path: Path, content: _KeyFile) -> None:
    """Replace the file in one step, so that a crash leaves the old one or the new one."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content.model_dump_json(indent=1))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> _KeyFile:
    _refuse_readable_by_others(path.parent)
    _refuse_readable_by_others(path)
    try:
        return _KeyFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a key file"
        raise KeysError(f"The keys at {path} cannot be read: {reason}. Restore them.") from None


def _refuse_readable_by_others(path: Path) -> None:
    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise KeysError(f"The keys at {path} cannot be read: {error.strerror}.") from None
    if mode & 0o077:
        wanted = 0o700 if path.is_dir() else 0o600
        raise KeysError(f"{path} is open to others (mode {mode:o}). Run: chmod {wanted:o} {path}")
