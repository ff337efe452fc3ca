"""docs/triggers.md is what the connectors declare, and what the sandbox declares comes true."""

import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from paybatch import registry

ROOT = Path(__file__).parents[2]
MADE = runpy.run_path(str(ROOT / "docs" / "make_triggers.py"))
SANDBOX = registry.connectors()["sandbox"]
AMOUNTS = SANDBOX.triggers["amount_minor, its last five digits"]
CVVS, CODES = SANDBOX.triggers["card_cvv"], SANDBOX.triggers["billing_postal_code"]


def test_the_page_is_current() -> None:
    kept = (ROOT / "docs" / "triggers.md").read_text("utf-8")
    assert kept == MADE["page"](), "run `make docs` (python docs/make_triggers.py)"


def test_every_value_stands_on_the_page() -> None:
    page = MADE["page"]()
    for connector in registry.connectors().values():
        values = [
            *connector.test_values,
            *(v for each in connector.triggers.values() for v in each),
        ]
        assert all(f"| `{value}` |" in page for value in values)


def _row(**cells: str) -> dict[str, str]:
    card = {"card_number": "4111111111111111", "card_expiry": "12/39", "currency": "USD"}
    return {"kind": "sale", "amount_minor": "100", **card, **cells}


ROWS = [
    *(_row(amount_minor=f"7{value}") for value in AMOUNTS),
    *(
        _row(card_cvv=cvv, card_number="378282246310005" if len(cvv) == 4 else "4111111111111111")
        for cvv in CVVS
    ),
    *(_row(billing_postal_code=code) for code in CODES),
    _row(card_number="4000000000000002", voice_approval_code="VOICE1"),
    _row(pattern="recurring", initiator="customer"),
]


@pytest.fixture
def answered(run: Any) -> pl.DataFrame:
    """Run a row for each trigger; give the result as a table."""
    names = list(dict.fromkeys(name for row in ROWS for name in row))
    lines = [",".join(row.get(name, "") for name in names) for row in ROWS]
    return run("native", ("\n".join([",".join(names), *lines]) + "\n").encode())


def test_declared_triggers_come_true(answered: pl.DataFrame) -> None:
    outcomes = answered["outcome"].to_list()
    declined, approved = outcomes[: len(AMOUNTS)], outcomes[len(AMOUNTS) :]
    assert set(declined) == {"declined"}
    assert set(approved) == {"approved"}
    assert answered["approval_code"][-2] == "VOICE1"
    assert answered["result_scheme_transaction_id"].is_not_null().to_list()[-2:] == [False, True]
