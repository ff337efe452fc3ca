"""Live gates: what is a test value only ends at gates in test mode, whatever it is called by."""

import pytest

from conftest import gate_values
from paybatch import registry
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, find_place
from paybatch.flow.wallet import add_card, add_customer
from paybatch.store import directory
from tests_support import run

HEADER = (
    "kind,amount_minor,currency,card_number,card_expiry,account_number,routing_number,account_type,"
    "sec_code,card_reference,customer,gate\n"
)
GOOD = "4111111111111111"
VALUES = sorted(registry.connectors()["sandbox"].test_values)
TEST_CARDS = [value for value in VALUES if len(value) > 9]
TEST_ROUTING = [value for value in VALUES if len(value) == 9]


@pytest.fixture
def both(engine: Engine) -> Place:
    """Give a place with a live gate beside those in test mode."""
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate_values("live", mode="live"))
    return find_place(engine, "local")


def row(gate: str, *, card: str = "", routing: str = "", reference: str = "") -> str:
    expiry = "12/39" if card else ""
    bank = f"123456789,{routing},checking,WEB" if routing else ",,,"
    if reference.startswith("bank_"):
        bank = ",,checking,WEB"
    return f"sale,100,USD,{card},{expiry},{bank},{reference},,{gate}\n"


def test_numbers_and_routing_numbers(engine: Engine, both: Place) -> None:
    rows = [row("live", card=each) for each in [GOOD, *TEST_CARDS]]
    rows += [row("live", routing=each) for each in ["021000021", *TEST_ROUTING]]
    result = run(engine, both, HEADER + "".join(rows))
    wanted = [None, *["test_value"] * len(TEST_CARDS), None, *["test_value"] * len(TEST_ROUTING)]
    assert result["reason"].to_list() == wanted
    assert "column card_number is ************" in result["message"][1]
    assert "column routing_number is 000000000: this is a test number" in result["message"][-3]
    text = HEADER + "".join(rows).replace(",live\n", ",sandbox\n")
    assert not run(engine, both, text)["reason"].count()


def test_what_came_in_at_a_test_gate_is_refused_by_its_reference(
    engine: Engine, both: Place
) -> None:
    """A reference is not held against a check digit again."""
    rows = [row("", card=each) for each in [GOOD, *TEST_CARDS]]
    rows += [row("", routing=each) for each in ["021000021", *TEST_ROUTING]]
    made = run(engine, both, HEADER + "".join(rows))
    references = [
        card or account
        for card, account in made.select("card_number", "account_number").iter_rows()
    ]
    again = [row("live", reference=each) for each in references]
    result = run(engine, both, HEADER + "".join(again))
    good = {0, len(TEST_CARDS) + 1}
    wanted = [None if n in good else "test_value" for n in range(len(references))]
    assert result["reason"].to_list() == wanted
    sale = {"kind": "sale", "amount_minor": "1", "card_reference": references[1]}
    caller = Caller(engine, both)
    assert caller.call({**sale, "gate": "live"})["reason"] == "test_value"
    assert caller.call(sale)["reason"] is None


def test_a_customer_s_means_too(engine: Engine, both: Place) -> None:
    for name, number in (("good", GOOD), ("tester", TEST_CARDS[0])):
        card = {"number": number, "expiry": "12/39"}
        reference = add_card(engine, ("demo", both.merchant_id), card, "local")
        add_customer(engine, ("demo", both.merchant_id), name, [reference], "local")
    rows = [f"sale,100,USD,,,,,,,,{name},live\n" for name in ("good", "tester")]
    result = run(engine, both, HEADER + "".join(rows))
    assert result["reason"].to_list() == [None, "test_value"]
    assert result["message"][1].startswith("column customer is tester: this is a test number")
