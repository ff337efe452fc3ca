"""The key set: one file, its guards, its hashes and what it seals."""

import json
import multiprocessing
from pathlib import Path

import polars as pl
import pytest

from paybatch.store.keys import FILE_NAME, SEAL_BYTES, BrokenSealError, Keys, KeysError

NUMBERS = pl.Series("number", ["4111111111111111", None, "5555555555554444", "4111111111111111"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "home" / "keys"


@pytest.fixture
def keys(folder: Path) -> Keys:
    return Keys.open(folder)


def _everything(keys: Keys) -> list[object]:
    return [
        keys.key_set_id,
        keys.fingerprint_version,
        keys.fingerprints(NUMBERS).to_list(),
        keys.values_hash("a"),
        keys.public_ids_key,
    ]


def test_keys_are_made_once_and_for_the_owner_only(folder: Path, keys: Keys) -> None:
    assert _everything(Keys.open(folder)) == _everything(keys)
    assert _everything(Keys.open(folder.parent / "other")) != _everything(keys)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def _key_set_id(folder: Path) -> str:
    return Keys.open(folder).key_set_id


def test_processes_that_start_at_once_get_the_same_keys(folder: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_key_set_id, [folder] * 8))) == 1


def test_absent_keys_are_made_only_if_asked_for(folder: Path) -> None:
    with pytest.raises(KeysError, match="no keys at"):
        Keys.open(folder, create=False)
    assert not folder.exists()


@pytest.mark.parametrize("name", [".", FILE_NAME])
@pytest.mark.parametrize("mode", [0o750, 0o704, 0o777])
def test_open_doors_are_refused(folder: Path, keys: Keys, name: str, mode: int) -> None:
    (folder / name).chmod(mode)
    with pytest.raises(KeysError, match=r"open to others .* chmod [67]00"):
        Keys.open(folder)


def test_keys_are_not_made_behind_an_open_door(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(KeysError, match="open to others"):
        Keys.open(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeysError, match="No keys can be made"):
        Keys.open(tmp_path / "file")


def test_broken_files_are_refused_without_showing_keys(folder: Path, keys: Keys) -> None:
    path = folder / FILE_NAME
    whole = path.read_text()
    content = json.loads(whole)
    broken = [
        "",
        whole[: len(whole) // 2],
        "[]",
        json.dumps({**content, "root": content["root"][:-2]}),
        json.dumps({**content, "numbers": {}}),
        json.dumps({**content, "fingerprints": {}}),
        json.dumps({**content, "format": 2}),
        json.dumps({**content, "surplus": 1}),
    ]
    for text in broken:
        path.write_text(text)
        with pytest.raises(KeysError, match=r"keys\.json") as caught:
            Keys.open(folder)
        assert content["root"][:8] not in str(caught.value)
    assert content["root"] not in repr(keys._content)


def test_fingerprints_are_stable_and_short(keys: Keys) -> None:
    ids = keys.fingerprints(NUMBERS)
    assert ids.name == "number"
    assert ids.str.contains("^[0-9a-f]{32}$").to_list() == [True, None, True, True]
    assert ids[0] == ids[3] != ids[2]
    assert keys.fingerprints(NUMBERS[2:3])[0] == ids[2]
    assert keys.fingerprints(NUMBERS.clear()).dtype == pl.String


def test_numbers_are_bound_to_their_ids(keys: Keys) -> None:
    ids = keys.fingerprints(NUMBERS).fill_null("none")
    sealed = keys.seal_numbers(NUMBERS, ids)
    assert sealed.dtype == pl.Binary
    assert b"4111111111111111" not in sealed[0]
    assert sealed[0] != sealed[3]
    assert keys.open_numbers(sealed, ids).equals(NUMBERS, check_names=True)
    with pytest.raises(BrokenSealError):
        keys.open_numbers(sealed, ids.reverse())
    with pytest.raises(BrokenSealError):
        keys.open_numbers(pl.Series([sealed[0][:-1] + b"x"]), ids[:1])


def test_rotation_keeps_old_data_and_reaches_other_processes(folder: Path, keys: Keys) -> None:
    other = Keys.open(folder)
    ids = keys.fingerprints(NUMBERS).fill_null("none")
    old = keys.seal_numbers(NUMBERS, ids)
    old_key = keys.new_data_key()
    keys.rotate()
    new = keys.seal_numbers(NUMBERS, ids)
    assert new[0][:5] != old[0][:5]  # Tink puts the id of the key in front
    new_key = keys.new_data_key()
    for reader in (keys, other, Keys.open(folder)):
        assert reader.open_numbers(old, ids).equals(NUMBERS)
        assert reader.open_numbers(new, ids).equals(NUMBERS)
        for each in (old_key, new_key):
            reader.unwrap(each.wrapped("batch 1"), "batch 1")
    assert _everything(Keys.open(folder)) == _everything(keys)
    other.rotate()
    assert len(json.loads((folder / FILE_NAME).read_text())["numbers"]["key"]) == 3


def test_replaced_keys_are_noticed(folder: Path, keys: Keys, tmp_path: Path) -> None:
    foreign = Keys.open(tmp_path / "foreign")
    sealed = foreign.seal_numbers(NUMBERS, NUMBERS)
    with pytest.raises(BrokenSealError):
        keys.open_numbers(sealed, NUMBERS)
    (folder / FILE_NAME).write_bytes((tmp_path / "foreign" / FILE_NAME).read_bytes())
    with pytest.raises(KeysError, match="were replaced"):
        keys.open_numbers(sealed, NUMBERS)


def test_a_column_hashes_as_its_values(keys: Keys) -> None:
    texts = pl.Series(["a", None, "é", "a", ""])
    hashes = [None if text is None else keys.values_hash(text) for text in texts]
    assert keys.values_hashes(texts).to_list() == hashes
    assert keys.values_hash(b"a") == hashes[0]
    assert keys.values_hash("4111111111111111") != keys.fingerprints(NUMBERS)[0]


def test_a_file_hash_depends_on_the_bytes_and_not_on_the_pieces(folder: Path, keys: Keys) -> None:
    whole, pieces = keys.file_hasher(), Keys.open(folder).file_hasher()
    whole.update(b"abcdef")
    for piece in (b"abc", b"", b"def"):
        pieces.update(piece)
    assert whole.hexdigest() == pieces.hexdigest()
    assert len(whole.hexdigest()) == 64
    assert keys.file_hasher().hexdigest() != whole.hexdigest()


def test_a_data_key_comes_back_only_from_its_wrapped_bytes_and_context(keys: Keys) -> None:
    key = keys.new_data_key()
    wrapped = key.wrapped("batch 1")
    sealed = key.seal(b"123", "line 7")
    assert len(sealed) == 3 + SEAL_BYTES
    assert keys.unwrap(wrapped, "batch 1").open(sealed, "line 7") == b"123"
    with pytest.raises(BrokenSealError):
        keys.unwrap(wrapped, "batch 2")
    for bad, context in [(sealed, "line 8"), (sealed[:-1], "line 7"), (b"", "line 7")]:
        with pytest.raises(BrokenSealError):
            key.open(bad, context)
    with pytest.raises(BrokenSealError):
        keys.new_data_key().open(sealed, "line 7")


def test_a_data_key_seals_columns(keys: Keys) -> None:
    key = keys.new_data_key()
    secrets, lines = pl.Series("secret", ["123", None, "4567"]), pl.Series(["1", "2", "3"])
    sealed = key.seal_values(secrets, lines)
    assert key.open_values(sealed, lines).cast(pl.String).equals(secrets, check_names=True)
    assert key.open(sealed[0], "1") == b"123"
    with pytest.raises(BrokenSealError):
        key.open_values(sealed, lines.reverse())
