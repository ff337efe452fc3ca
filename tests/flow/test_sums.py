"""Sums: whole numbers of any size, also where they pass what a bigint of the database holds."""

import polars as pl

from paybatch.flow.balance import trial_balance
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import Place
from paybatch.flow.preview import _added
from paybatch.flow.summary import summarize
from tests_support import run

LARGE = 9_999_999_999_990_000_000  # more than 2^63
TEXT = "kind,amount_minor,currency,card_number,card_expiry\nsale,100,USD,4111111111111111,12/39\n"


def test_a_batch_s_sums(engine: Engine, place: Place) -> None:
    run(engine, place, TEXT)
    with engine.database.transaction() as connection:
        connection.execute(
            "INSERT INTO tally (batch_id, kind, state, currency, row_count, requested_minor,"
            " approved_minor) VALUES (1, 'sale', 'approved', 'USD', 10000000, %s, %s)",
            [LARGE, LARGE],
        )
    approved = summarize(engine, load_batch(engine, 1))["approved"]
    assert (approved.requested, approved.approved) == ({"USD": LARGE + 100},) * 2


def test_the_ledger_s_sums(engine: Engine, place: Place) -> None:
    run(engine, place, TEXT)
    with engine.database.transaction() as connection:
        connection.execute(
            "INSERT INTO balance_delta"
            " (merchant_id, account_id, debit_minor, credit_minor, transfer_count)"
            " SELECT merchant_id, id, %s, 0, 1 FROM account WHERE name = 'receivable'",
            [LARGE],
        )
    found = trial_balance(engine)
    [receivable] = [each for each in found.accounts if each["account"] == "receivable"]
    assert receivable["balance_minor"] == LARGE + 100
    assert type(receivable["debit_minor"]) is int
    assert any(f"its balance is {LARGE + 100}, but" in each for each in found.broken)


def test_a_preview_s_sums() -> None:
    part = pl.DataFrame(
        {
            "state": ["queued", "rejected"],
            "kind": ["sale", "sale"],
            "reason": [None, "amount_zero"],
            "currency": ["USD", None],
            "row_count": [1, 1],
            "requested_minor": [2**62, 0],
        }
    )
    first, second = _added([part, part])
    assert (first["state"], first["row_count"], first["requested_minor"]) == ("queued", 2, 2**63)
    assert (second["reason"], second["currency"], second["row_count"]) == ("amount_zero", None, 2)
