"""Public ids: reversible, typed, not to be guessed, and the same for ever."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paybatch.store.public_ids import PublicIds, Shape

PUBLIC_IDS = PublicIds(bytes(range(32)))
OTHER = PublicIds(bytes(32))
IDS = pl.Series("id", [0, 1, 2, None, 2**62, 2**63 - 1], dtype=pl.Int64)
PATTERNS = {
    Shape.BASE32_20: "^[0-9a-v]{20}$",
    Shape.HEX_32: "^[0-9A-F]{32}$",
    Shape.NATIVE: "^pay_[0-9a-v]{20}$",
}
# Texts that were given out stay valid: if one of these changes, links of customers are dead.
FOR_EVER = {
    Shape.BASE32_20: "akvt044p9mtt6uc4dv8o",
    Shape.HEX_32: "521D5E3A7D63DF1724B18010F7FE6EF6",
    Shape.NATIVE: "pay_3da6qir84cptt576r47v",
}
REFERENCE_FOR_EVER = "card_2efd9i7fgr1t7mr7q7t08o13guuo4kl9upfm"
shapes = pytest.mark.parametrize("shape", Shape)


@shapes
def test_texts_are_the_same_for_ever(shape: Shape) -> None:
    assert PUBLIC_IDS.encode_one(123456789, "pay", shape) == FOR_EVER[shape]


@shapes
def test_columns_come_back(shape: Shape) -> None:
    texts = PUBLIC_IDS.encode(IDS, "pay", shape)
    assert texts.name == "id"
    assert texts.drop_nulls().str.contains(PATTERNS[shape]).all()
    assert texts.n_unique() == len(IDS)
    assert PUBLIC_IDS.decode(texts, "pay", shape).equals(IDS, check_names=True)
    assert PUBLIC_IDS.decode(texts.clear(), "pay", shape).dtype == pl.Int64
    assert PUBLIC_IDS.encode(IDS.clear(), "pay", shape).dtype == pl.String


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**63 - 1), st.sampled_from(list(Shape)), st.sampled_from(["pay", "op"]))
def test_one_comes_back(number: int, shape: Shape, noun: str) -> None:
    text = PUBLIC_IDS.encode_one(number, noun, shape)
    assert PUBLIC_IDS.decode_one(text, noun, shape) == number
    assert PUBLIC_IDS.encode(pl.Series([number]), noun, shape).to_list() == [text]


@shapes
def test_other_nouns_keys_and_shapes_are_refused(shape: Shape) -> None:
    texts = PUBLIC_IDS.encode(IDS, "pay", shape)
    assert PUBLIC_IDS.decode(texts, "op", shape).null_count() == len(IDS)
    assert OTHER.decode(texts, "pay", shape).null_count() == len(IDS)
    for other in set(Shape) - {shape}:
        assert PUBLIC_IDS.decode(texts, "pay", other).null_count() == len(IDS)
    bare = texts.str.strip_prefix("pay_")
    swapped = PUBLIC_IDS.decode("op_" + bare, "op", shape)
    assert swapped.null_count() == len(IDS)


@shapes
def test_every_changed_character_is_noticed(shape: Shape) -> None:
    text = PUBLIC_IDS.encode_one(7, "pay", shape)
    letters = "0123456789abcdefv!é A\x00"
    changed = [
        text[:at] + letter + text[at + 1 :]
        for at in range(len(text))
        for letter in letters
        if text[at] != letter and not (shape is Shape.HEX_32 and text[at] == letter.upper())
    ]
    assert PUBLIC_IDS.decode(pl.Series(changed), "pay", shape).null_count() == len(changed)


@shapes
@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.one_of(st.none(), st.text(max_size=40))))
def test_foreign_texts_are_null_and_no_error(shape: Shape, texts: list[str | None]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    assert PUBLIC_IDS.decode(column, "pay", shape).null_count() == len(texts)
    for text in texts:
        assert text is None or PUBLIC_IDS.decode_one(text, "pay", shape) is None
    assert PUBLIC_IDS.decode_reference(column, "card")["number_id"].null_count() == len(texts)


def test_hex_is_read_in_both_cases_and_base32_in_one() -> None:
    for shape, found in [(Shape.HEX_32, 7), (Shape.BASE32_20, None), (Shape.NATIVE, None)]:
        text = PUBLIC_IDS.encode_one(7, "pay", shape)
        swapped = text.lower() if shape is Shape.HEX_32 else text.upper()
        assert PUBLIC_IDS.decode_one(swapped, "pay", shape) == found


def test_neighbours_look_nothing_alike() -> None:
    texts = PUBLIC_IDS.encode(pl.Series(range(1000)), "pay", Shape.BASE32_20)
    for place in range(20):
        assert texts.str.slice(place, 1).n_unique() == 32


NUMBER_IDS = pl.Series("id", ["00112233445566778899aabbccddeeff", "f" * 32, None, "0" * 32])
EXPIRIES = pl.Series("expiry", [2712, None, 2601, 9912], dtype=pl.Int16)


def test_references_are_the_same_for_ever() -> None:
    texts = PUBLIC_IDS.encode_reference(NUMBER_IDS[:1], EXPIRIES[:1], "card")
    assert texts.to_list() == [REFERENCE_FOR_EVER]


@pytest.mark.parametrize("noun", ["card", "bank"])
def test_references_come_back(noun: str) -> None:
    texts = PUBLIC_IDS.encode_reference(NUMBER_IDS, EXPIRIES, noun)
    assert texts.drop_nulls().str.contains(f"^{noun}_[0-9a-v]{{36}}$").all()
    found = PUBLIC_IDS.decode_reference(texts, noun)
    assert found["number_id"].to_list() == NUMBER_IDS.to_list()
    assert found["expiry"].to_list() == [2712, None, None, 9912]
    assert found.schema == {"number_id": pl.String, "expiry": pl.Int32}
    empty = PUBLIC_IDS.decode_reference(texts.clear(), noun)
    assert empty.schema == found.schema


@pytest.mark.parametrize("at", range(5, 41))
def test_a_changed_reference_is_nobody_s(at: int) -> None:
    text = PUBLIC_IDS.encode_reference(NUMBER_IDS[:1], EXPIRIES[:1], "card").item()
    changed = [text[:at] + letter + text[at + 1 :] for letter in "07avw" if letter != text[at]]
    found = PUBLIC_IDS.decode_reference(pl.Series(changed), "card")
    assert found.null_count().row(0) == (len(changed), len(changed))
    bank = PUBLIC_IDS.decode_reference(pl.Series([text, "bank_" + text[5:]]), "bank")
    assert bank["number_id"].null_count() == 2


def test_references_of_one_number_do_not_look_alike() -> None:
    months = pl.Series(range(2601, 2613))
    same = pl.Series(["00112233445566778899aabbccddeeff"] * len(months))
    texts = PUBLIC_IDS.encode_reference(same, months, "card")
    assert texts.str.slice(5, 6).n_unique() == len(months)
    assert texts.str.slice(-4).n_unique() == len(months)


def test_a_bad_number_id_is_an_error() -> None:
    for bad in ("xyz" * 8, "00", "0" * 34):
        with pytest.raises((ValueError, pl.exceptions.PolarsError)):
            PUBLIC_IDS.encode_reference(pl.Series([bad]), pl.Series([None]), "card")
