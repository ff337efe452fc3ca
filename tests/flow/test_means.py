"""Means: a row names one, and what belongs to another one is not taken with it."""

from dataclasses import replace

import pytest

from conftest import gate_values
from paybatch import registry
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, find_place
from paybatch.store import directory
from tests_support import run

HEADER = (
    "kind,amount_minor,currency,gate,card_number,card_expiry,card_cvv,card_reference,"
    "account_number,routing_number,account_type,sec_code\n"
)
CARD = "sale,100,USD,,4012000033330026,12/39,,"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (f"{CARD},,021000021,,", "means_several"),
        (f"{CARD},,,checking,", "means_several"),
        (f"{CARD},,,,WEB", "means_several"),
        (f"{CARD},1234567890,021000021,checking,WEB", "means_several"),
        ("sale,100,USD,,,,123,,1234567890,021000021,checking,WEB", "means_several"),
        ("sale,100,USD,,,,,,1234567890,021000021,checking,WEB", None),
        (f"{CARD},,,,", None),
    ],
)
def test_a_card_and_a_bank_account_do_not_mix(
    engine: Engine, place: Place, row: str, reason: str | None
) -> None:
    assert run(engine, place, f"{HEADER}{row}\n")["reason"].to_list() == [reason]


def test_a_bank_code_never_sticks_to_a_card(engine: Engine, place: Place) -> None:
    mixed = run(engine, place, f"{HEADER}{CARD},,000000000,checking,WEB\n")
    reference = mixed["card_number"].item()
    again = f"sale,100,USD,,,,,{reference},,,,"
    result = run(engine, place, f"{HEADER}{again}\n")
    assert result["outcome"].to_list() == ["approved"]


def test_a_gate_without_its_connector_harms_no_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate_values("outer", connector="elsewhere"))
    place = find_place(engine, "local")
    rows = f"{CARD},,,,\n{CARD.replace('USD,', 'USD,outer', 1)},,,,\n"
    result = run(engine, place, HEADER + rows)
    assert result["outcome"].to_list() == ["approved", "rejected"]
    assert result["reason"].to_list() == [None, "not_supported"]


def test_test_values_are_those_of_the_gates_own_connector(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = registry.connectors()["sandbox"]
    other = replace(sandbox, name="other", test_values={"4111111111111112": "anything"})
    both = {"sandbox": sandbox, "other": other}
    monkeypatch.setattr(registry, "connectors", lambda: both)
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate_values("other", connector="other"))
    place = find_place(engine, "local")
    row = "sale,100,USD,{},4111111111111112,12/39,,,,,,\n"
    result = run(engine, place, HEADER + row.format("other") + row.format("sandbox"))
    assert result["reason"].to_list() == [None, "number_check_digit"]


def test_what_a_base_amount_is_exempt_of_is_no_part_of_it(engine: Engine, place: Place) -> None:
    header = "kind,base_amount_minor,tax_minor,tax_exempt,currency,card_number,card_expiry\n"
    rows = [f"sale,{base},80,{exempt},USD,4111111111111111,12/39" for base, exempt in
            ((1000, "true"), (1000, "false"), (50, "true"))]  # fmt: skip
    run(engine, place, header + "\n".join(rows) + "\n")
    with engine.database.transaction() as connection:
        kept = connection.execute("SELECT amount_minor, tax_minor FROM operation ORDER BY id")
        assert kept.fetchall() == [(1000, 0), (1080, 80), (50, 0)]
