"""Customers: a row may name one and say which of its means pays, by rank, by type or by both."""

import pytest

from paybatch.flow.engine import Engine
from paybatch.flow.people import WrongError
from paybatch.flow.place import Place
from paybatch.flow.wallet import add_customer
from tests_support import run

HEADER = (
    "kind,amount_minor,card_number,card_expiry,account_number,routing_number,account_type,sec_code,"
    "customer,means_rank,means_type\n"
)
MEANS = (
    "sale,1,4111111111111111,12/39,,,,,,,\n"
    "sale,1,,,1234567890,021000021,checking,WEB,,,\n"
    "sale,1,5555555555554444,11/39,,,,,,,\n"
)
WALLET = ("411111******1111", "12******90", "555555******4444")
NAME = "ada^1.a-b_c"  # as ids of customers are made elsewhere


@pytest.fixture
def merchant(engine: Engine, place: Place) -> tuple[str, int]:
    """Give the merchant of a customer with a card, a bank account and another card."""
    made = run(engine, place, HEADER + MEANS)
    found = made.select("card_number", "account_number").iter_rows()
    merchant = ("demo", place.merchant_id)
    means = [str(card or account) for card, account in found]
    assert add_customer(engine, merchant, NAME, means, "local") == [1, 2, 3]
    return merchant


@pytest.mark.parametrize(
    ("rank", "means", "pays"),
    [
        ("", "", 1),
        ("1", "", 1),
        ("2", "", 2),
        ("3", "", 3),
        ("", "card", 1),
        ("", "ach", 2),
        ("3", "card", 3),
        ("2", "ach", 2),
        ("2", "card", None),
        ("1", "ach", None),
        ("4", "", None),
    ],
)
@pytest.mark.usefixtures("merchant")
def test_rank_and_type_choose(
    engine: Engine, place: Place, rank: str, means: str, pays: int | None
) -> None:
    result = run(engine, place, HEADER + f"sale,100,,,,,,,{NAME},{rank},{means}\n")
    with engine.database.transaction() as connection:
        (masked,) = connection.execute(
            "SELECT masked FROM operation ORDER BY id DESC LIMIT 1"
        ).fetchone() or (None,)
    if pays is None:
        assert result["reason"].to_list() == ["customer_unknown"]
    else:
        assert (result["outcome"][0], masked) == ("approved", WALLET[pays - 1])


def test_which_means_needs_whose(engine: Engine, place: Place) -> None:
    card = "sale,1,4111111111111111,12/39,,,,,"
    result = run(engine, place, HEADER + f"{card},1,\n{card},,card\n{card},,\n")
    assert result["reason"].to_list() == ["means_incomplete", "means_incomplete", None]
    assert result["message"][0].startswith("column customer: ")


@pytest.mark.parametrize("name", ["two words", "a/b", "x" * 65, "", "ada!"])
def test_a_customer_has_a_name_that_can_stand_in_a_file(
    engine: Engine, merchant: tuple[str, int], name: str
) -> None:
    with pytest.raises(WrongError, match="cannot be the name of a customer"):
        add_customer(engine, merchant, name, [], "local")
