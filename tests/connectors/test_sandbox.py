"""Sandbox: its triggers work in test mode, and in test mode only."""

from typing import Any

import polars as pl
import pytest

from paybatch import registry
from paybatch.flow import people
from paybatch.flow.engine import Engine
from paybatch.flow.people import NewGate
from paybatch.flow.place import Place, find_place
from tests_support import run

SANDBOX = registry.connectors()["sandbox"]
TEXTS = ("test_value", "payment_test_value", "bank_code", "cvv", *sorted(SANDBOX.wants))
TRIGGERS: list[dict[str, Any]] = [
    {"test_value": "4000000000000002"},
    {"test_value": "4000000000000051"},
    {"verb": "refund", "payment_test_value": "4000000000000010"},
    {"bank_code": "000000000"},
    {"cvv": "200"},
    {"billing_postal_code": "20000"},
    *({"amount_minor": ends} for ends in (50_200, 50_204, 50_220, 50_400, 150_200)),
]
PLAIN: dict[str, Any] = {"verb": "sale", "amount_minor": 1000, "cvv": "123"}
PLAIN |= {"billing_postal_code": "10115"}
TOLD = ("result", "response", "avs_result", "cvv_result")


def answer(mode: str, **values: Any) -> tuple[str | None, ...]:
    """Ask the sandbox once; give what it says but for amounts and numbers."""
    call = {"operation": 7, "mode": mode, **dict.fromkeys(TEXTS), **PLAIN, **values}
    schema = dict.fromkeys(TEXTS, pl.String)
    (reply,) = SANDBOX.send(pl.DataFrame([call], schema_overrides=schema))
    return tuple(reply.item(0, name) for name in TOLD)


@pytest.mark.parametrize("trigger", TRIGGERS, ids=str)
def test_a_trigger_works_in_test_mode_only(trigger: dict[str, Any]) -> None:
    plain = ("approved", "approved", None if "bank_code" in trigger else "Y", "M")
    assert answer("live", **trigger) == plain
    assert answer("test", **trigger) != plain


HEADER = (
    "kind,gate,amount_minor,card_number,card_expiry,account_number,routing_number,account_type,"
    "sec_code,card_cvv,billing_postal_code\n"
)


@pytest.fixture
def both(engine: Engine) -> Place:
    """Give a place with a gate in live mode beside the one in test mode."""
    people.add_gate(engine, NewGate(merchant="demo", name="real", mode="live"), "local")
    return find_place(engine, "local")


def test_each_gate_gives_its_calls_its_mode(engine: Engine, both: Place) -> None:
    rows = [
        f"sale,{gate},{amount},4111111111111111,12/39,,,,,{cvv},20000\n"
        for gate in ("sandbox", "real")
        for amount, cvv in ((50_200, 123), (50_400, 200), (100, 123))
    ]
    result = run(engine, both, HEADER + "".join(rows))
    assert result["outcome"].to_list() == ["declined", "declined", *["approved"] * 4]
    with engine.database.transaction() as connection:
        told = connection.execute("SELECT avs_result, cvv_result FROM outcome ORDER BY id")
        assert told.fetchall() == [("N", "M"), ("N", "N"), ("N", "M"), *[("Y", "M")] * 3]


def test_a_live_gate_passes_over_no_check_digit(engine: Engine, both: Place) -> None:
    form = "sale,{},100,,,1234567890,000000001,checking,WEB,,\n"
    result = run(engine, both, HEADER + form.format("sandbox") + form.format("real"))
    assert result["outcome"].to_list() == ["approved", "rejected"]
    assert "the routing number's check digit is wrong" in result["message"][1]
