"""Text that is put together from columns."""

import polars as pl
import pytest

from paybatch.domain.text import filled

PARTS = pl.concat(
    [pl.DataFrame({"id": [n, n], "word": ["a", None]}) for n in range(4)], rechunk=False
)
MASKS = {
    "all": [True] * 8,
    "first": [True, True, *[False] * 6],
    "last": [*[False] * 6, True, True],  # its first chunks are empty
    "none": [False] * 8,
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_places_are_filled_whatever_the_chunks(mask: list[bool]) -> None:
    rows = PARTS.filter(pl.Series(mask))
    told = rows.select(
        key=filled("{}-1", "id"),
        both=filled("{} is {}{}", "id", pl.col("word"), pl.lit("!")),
        fixed=filled("no {}", pl.lit("more")),
    )
    ids = rows["id"].to_list()
    assert told["key"].to_list() == [f"{n}-1" for n in ids]
    words = [f"{n} is a!" if word else None for n, word in rows.rows()]
    assert told["both"].to_list() == words, "null where any part is null"
    assert set(told["fixed"]) <= {"no more"}


def test_a_part_for_each_place() -> None:
    with pytest.raises(AssertionError):
        filled("{} and {}", "id")
