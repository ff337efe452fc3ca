"""Public ids: our 63-bit ids as the outside sees them, keyed, reversible and typed.

An id is permuted as 64 bits by a Feistel network whose round function is AES, and carries a keyed
tag. So the ids tell neither order nor number, a made-up one is not accepted, and the id of an
operation is not accepted as that of a payment: the noun is part of the keys. Nothing is stored.
Keys, nouns and shapes must therefore never change: texts given out once are valid for ever.

A card reference (``card_...``) is made in the same manner from the vault's 128-bit number id and
an expiry, hidden behind a tag of both. All columns are worked as numpy arrays.

Feistel networks: https://doi.org/10.1137/0217022 (Luby, Rackoff), NIST SP 800-38G. A tag that
also hides: RFC 5297.
"""

import hmac
from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from itertools import product

import numpy as np
import polars as pl
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]

WORD = np.dtype("<u8")  # the same byte order on every machine
BIG_WORD = np.dtype(">u8")
BASE32 = np.frombuffer(b"0123456789abcdefghijklmnopqrstuv", dtype=np.uint8)
HEX = np.frombuffer(b"0123456789ABCDEF", dtype=np.uint8)
LOWER_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
BLOCK_BYTES = 16
ROUNDS = 8  # four are proven enough for few texts; twice that costs little
U64 = np.uint64  # plain ints would turn arrays of words into signed ones for the type checker
HALF_BITS, HALF_MASK = U64(32), U64(0xFFFFFFFF)
TAG_BITS = U64(36)  # fills up 64 bits of id to 20 characters, 144 bits of a reference to 36
TAG_MASK = U64(2**36 - 1)


class Shape(StrEnum):
    """How an id is written."""

    BASE32_20 = "base32_20"  # 20 characters of 0-9a-v
    HEX_32 = "hex_32"  # 32 upper-case hex digits; lower case is understood
    NATIVE = "native"  # our own: the noun, "_" and 20 characters of 0-9a-v


class PublicIds:
    """Writes and reads public ids with the 32-byte key of the installation."""

    def __init__(self, key: bytes) -> None:
        self._cipher = cache(lambda noun, shape: _IdCipher(key, f"{noun} {shape}"))
        self._reference_cipher = cache(lambda noun: _ReferenceCipher(key, noun))

    def encode(self, ids: pl.Series, noun: str, shape: Shape) -> pl.Series:
        """Write ids (Int64 -> String) of a noun such as ``pay``; null stays null."""
        if ids.null_count() == len(ids):
            return ids.cast(pl.String)
        whole = ids.fill_null(0) if ids.null_count() else ids
        return _column(self._written(whole.to_numpy().view(WORD), noun, shape), ids)

    def decode(self, texts: pl.Series, noun: str, shape: Shape) -> pl.Series:
        """Read ids (String -> Int64); null where the text is not one of ours for that noun."""
        letters, right = _letters(texts, _width(noun, shape))
        words, valid = self._read(letters, noun, shape)
        return _null_unless(right & valid, pl.Series(texts.name, words.view(np.int64)))

    def encode_one(self, number: int, noun: str, shape: Shape) -> str:
        """Write one id, without the cost of a column."""
        words = np.array([number], dtype=np.int64).view(WORD)
        return self._written(words, noun, shape).tobytes().decode()

    def decode_one(self, text: str, noun: str, shape: Shape) -> int | None:
        """Read one id; None if it is not one of ours for that noun."""
        data = text.encode(errors="replace")
        if len(data) != _width(noun, shape):
            return None
        words, valid = self._read(np.frombuffer(data, dtype=np.uint8)[None, :], noun, shape)
        return int(words.view(np.int64)[0]) if valid[0] else None

    def encode_reference(self, number_ids: pl.Series, expiries: pl.Series, noun: str) -> pl.Series:
        """Write references such as ``card_...`` (String; the noun, "_" and 36 characters).

        ``number_ids`` are String of 32 hex digits or null (then null), ``expiries`` YYMM (1 to
        65535) or null. Without the key neither can be read, nor can two references be seen to be
        of one number. Raises ValueError or Polars errors if a value is none of these.
        """
        cipher = self._reference_cipher(noun)
        blocks = _bytes(number_ids.fill_null("0" * 32).str.decode("hex"), BLOCK_BYTES)
        months = expiries.fill_null(0).cast(pl.UInt16).to_numpy().astype(WORD)
        tags = cipher.tags(blocks, months)
        covered, mask = cipher.cover(blocks, tags)
        packed = _reference_packed(covered.view(WORD), months ^ mask, tags)
        return _column(_spelled(packed, 60, BASE32, prefix=f"{noun}_"), number_ids)

    def decode_reference(self, texts: pl.Series, noun: str) -> pl.DataFrame:
        """Read references: ``number_id`` (String) and ``expiry`` (Int32); nulls where wrong."""
        cipher = self._reference_cipher(noun)
        letters, right = _letters(texts, len(noun) + 1 + 36)
        packed, valid = _understood(letters, 60, BASE32, prefix=f"{noun}_")
        covered, masked, tags = _reference_unpacked(*packed)
        blocks, mask = cipher.uncover(covered.view(np.uint8), tags)
        months = masked ^ mask
        valid &= right & (tags == cipher.tags(blocks, months))
        number_ids = _column(_spelled(list(blocks.view(BIG_WORD).T), 64, LOWER_HEX), texts)
        expiries = pl.Series(months.astype(np.int32))
        return pl.DataFrame(
            {
                "number_id": _null_unless(valid, number_ids),
                "expiry": _null_unless(valid & (months > 0), expiries),
            }
        )

    def _written(self, words: Words, noun: str, shape: Shape) -> Bytes:
        """Give the characters of the ids, in the shape (rows, width)."""
        cipher = self._cipher(noun, shape)
        permuted = cipher.permute(words)
        tags = cipher.tags(permuted)
        if shape is Shape.HEX_32:
            return _spelled([permuted, tags], 64, HEX)
        packed = _id_packed(permuted, _short(tags))
        return _spelled(packed, 50, BASE32, prefix=_prefix(noun, shape))

    def _read(self, letters: Bytes, noun: str, shape: Shape) -> tuple[Words, Flags]:
        """Give the ids of characters of the shape (rows, width), and which of them are ours."""
        cipher = self._cipher(noun, shape)
        if shape is Shape.HEX_32:
            (permuted, tags), valid = _understood(letters, 64, HEX)
            return cipher.restore(permuted), valid & (tags == cipher.tags(permuted))
        packed, valid = _understood(letters, 50, BASE32, prefix=_prefix(noun, shape))
        permuted, tags = _id_unpacked(*packed)
        return cipher.restore(permuted), valid & (tags == _short(cipher.tags(permuted)))


class _Aes:
    """AES-128 on many single blocks at once, under a key derived for one use."""

    def __init__(self, key: bytes, use: str) -> None:
        derived = hmac.digest(key, use.encode(), "sha256")[:BLOCK_BYTES]
        # ECB is the bare block cipher, and this is all we want of it: a building block.
        self._cipher = Cipher(algorithms.AES(derived), modes.ECB())  # noqa: S305 - see above

    def encrypt(self, blocks: Bytes) -> Bytes:
        """Encrypt blocks of shape (rows, 16)."""
        return _blocks(self._cipher.encryptor().update(np.ascontiguousarray(blocks).data))

    def decrypt(self, blocks: Bytes) -> Bytes:
        """Decrypt blocks of shape (rows, 16)."""
        return _blocks(self._cipher.decryptor().update(np.ascontiguousarray(blocks).data))

    def mix(self, first: Words, second: Words | int) -> Words:
        """Encrypt blocks of two words; the result has the shape (rows, 2)."""
        blocks = np.empty((len(first), 2), dtype=WORD)
        blocks[:, 0], blocks[:, 1] = first, second
        return self.encrypt(blocks.view(np.uint8)).view(WORD)


class _IdCipher:
    """A keyed permutation of 64-bit words, and tags over its results."""

    def __init__(self, key: bytes, use: str) -> None:
        self._turns = _Aes(key, f"id permutation {use}")
        self._tags = _Aes(key, f"id tag {use}")

    def permute(self, words: Words) -> Words:
        left, right = words >> HALF_BITS, words & HALF_MASK
        for turn in range(ROUNDS):
            left, right = right, left ^ self._turn(right, turn)
        return left << HALF_BITS | right

    def restore(self, words: Words) -> Words:
        left, right = words >> HALF_BITS, words & HALF_MASK
        for turn in reversed(range(ROUNDS)):
            left, right = right ^ self._turn(left, turn), left
        return left << HALF_BITS | right

    def tags(self, words: Words) -> Words:
        return self._tags.mix(words, 0)[:, 0]

    def _turn(self, half: Words, turn: int) -> Words:
        return self._turns.mix(half, turn)[:, 0] & HALF_MASK


class _ReferenceCipher:
    """Covers a number id and an expiry with bytes that come from a tag of both."""

    def __init__(self, key: bytes, noun: str) -> None:
        self._block = _Aes(key, f"reference block {noun}")
        self._tags = _Aes(key, f"reference tag {noun}")
        self._cover = _Aes(key, f"reference cover {noun}")

    def tags(self, blocks: Bytes, months: Words) -> Words:
        """Give the short CBC-MAC of the two blocks: the number id and the expiry."""
        chained = self._tags.encrypt(blocks).view(WORD)
        return _short(self._tags.mix(chained[:, 0] ^ months, chained[:, 1])[:, 0])

    def cover(self, blocks: Bytes, tags: Words) -> tuple[Bytes, Words]:
        """Give the covered number ids and the mask of the expiries."""
        stream, mask = self._streams(tags)
        return self._block.encrypt(blocks) ^ stream, mask

    def uncover(self, covered: Bytes, tags: Words) -> tuple[Bytes, Words]:
        """Give the number ids and the mask of the expiries."""
        stream, mask = self._streams(tags)
        return self._block.decrypt(covered ^ stream), mask

    def _streams(self, tags: Words) -> tuple[Bytes, Words]:
        return self._cover.mix(tags, 0).view(np.uint8), self._cover.mix(tags, 1)[:, 0] >> U64(48)


def _blocks(data: bytes) -> Bytes:
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, BLOCK_BYTES)


def _short(tags: Words) -> Words:
    return tags >> (U64(64) - TAG_BITS)


def _id_packed(permuted: Words, tags: Words) -> list[Words]:
    """Lay 64 + 36 bits into two words of 50."""
    return [permuted >> U64(14), (permuted & U64(0x3FFF)) << TAG_BITS | tags]


def _id_unpacked(high: Words, low: Words) -> tuple[Words, Words]:
    return high << U64(14) | low >> TAG_BITS, low & TAG_MASK


def _reference_packed(covered: Words, masked: Words, tags: Words) -> list[Words]:
    """Lay 128 + 16 + 36 bits into three words of 60."""
    first, second = covered[:, 0], covered[:, 1]
    middle = (first & U64(0xF)) << U64(56) | second >> U64(8)
    low = (second & U64(0xFF)) << U64(52) | masked << TAG_BITS | tags
    return [first >> U64(4), middle, low]


def _reference_unpacked(high: Words, middle: Words, low: Words) -> tuple[Words, Words, Words]:
    covered = np.empty((len(high), 2), dtype=WORD)
    covered[:, 0] = high << U64(4) | middle >> U64(56)
    covered[:, 1] = middle << U64(8) | low >> U64(52)
    return covered, low >> TAG_BITS & U64(0xFFFF), low & TAG_MASK


def _prefix(noun: str, shape: Shape) -> str:
    return f"{noun}_" if shape is Shape.NATIVE else ""


def _width(noun: str, shape: Shape) -> int:
    return 32 if shape is Shape.HEX_32 else len(_prefix(noun, shape).encode()) + 20


def _spelled(words: Sequence[Words], bits: int, alphabet: Bytes, *, prefix: str = "") -> Bytes:
    """Write the lower ``bits`` of each word in characters, a row's words behind each other."""
    step = len(alphabet).bit_length() - 1
    shifts = range(bits - step, -1, -step)
    start = np.frombuffer(prefix.encode(), dtype=np.uint8)
    letters = np.empty((len(words[0]), len(start) + len(words) * len(shifts)), dtype=np.uint8)
    letters[:, : len(start)] = start
    for place, (word, shift) in enumerate(product(words, shifts), len(start)):
        letters[:, place] = alphabet[word >> U64(shift) & U64(len(alphabet) - 1)]
    return letters


def _understood(
    letters: Bytes, bits: int, alphabet: Bytes, *, prefix: str = ""
) -> tuple[list[Words], Flags]:
    """Undo `_spelled`, and tell the rows of the right prefix and characters."""
    step = len(alphabet).bit_length() - 1
    start = np.frombuffer(prefix.encode(), dtype=np.uint8)
    codes = _code_table(alphabet.tobytes())[letters[:, len(start) :]]
    words = []
    for first in range(0, codes.shape[1], bits // step):
        word = np.zeros(len(codes), dtype=WORD)
        for place in range(first, first + bits // step):
            word = word << U64(step) | codes[:, place]
        words.append(word)
    valid = (codes < len(alphabet)).all(axis=1)
    return words, valid & (letters[:, : len(start)] == start).all(axis=1)


@cache
def _code_table(alphabet: bytes) -> Bytes:
    """Give the code of each character, 255 for others; hex digits also in lower case."""
    table = np.full(256, 255, dtype=np.uint8)
    for spelling in (alphabet, alphabet.lower()):
        table[np.frombuffer(spelling, dtype=np.uint8)] = np.arange(len(alphabet), dtype=np.uint8)
    return table


def _letters(texts: pl.Series, width: int) -> tuple[Bytes, Flags]:
    """Give the bytes of texts in the shape (rows, width); zeros where the length is another."""
    right = (texts.str.len_bytes() == width).fill_null(value=False)
    blank = pl.lit(bytes(width), dtype=pl.Binary)
    safe = pl.select(pl.when(right).then(texts.cast(pl.Binary)).otherwise(blank)).to_series()
    return _bytes(safe, width), right.to_numpy()


def _bytes(values: pl.Series, width: int) -> Bytes:
    """Give values (Binary, no nulls) as an array of shape (rows, width)."""
    rows = values.bin.reinterpret(dtype=pl.Array(pl.UInt8, width))
    if rows.null_count():
        raise ValueError(f"A value does not have {width} bytes.")
    return rows.to_numpy()


def _column(letters: Bytes, source: pl.Series) -> pl.Series:
    """Make the String column; null where the source is."""
    fixed = letters.view(f"S{letters.shape[1]}").ravel()
    texts = pl.Series(source.name, fixed, dtype=pl.Binary).cast(pl.String)
    return _null_unless(source.is_not_null().to_numpy(), texts) if source.null_count() else texts


def _null_unless(valid: Flags, values: pl.Series) -> pl.Series:
    if valid.all():
        return values
    return pl.select(pl.when(pl.Series(valid)).then(values).alias(values.name)).to_series()
