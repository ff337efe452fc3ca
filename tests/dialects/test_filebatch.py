"""Filebatch: the published codes and words, also those that the sandbox never gives."""

from collections.abc import Mapping

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.connector import Response
from paybatch.domain.reasons import Reason
from paybatch.domain.report import CELL, REPORT_COLUMNS

FILEBATCH = registry.dialects()["filebatch"]
# What the gateway's API documents of response_code; 0 is unknown.
CODES = {
    "approved": "100",
    "challenged": "100",
    "partially_approved": "110",
    "declined": "200",
    "do_not_honor": "201",
    "insufficient_funds": "202",
    "limit_exceeded": "203",
    "invalid_transaction": "204",
    "invalid_amount": "220",
    "no_such_issuer": "221",
    "expired_card": "223",
    "invalid_cvv": "225",
    "refer_to_issuer": "240",
    "pick_up": "250",
    "lost_card": "251",
    "stolen_card": "252",
    "stop_recurring": "261",
    "duplicate": "301",
    "processor_error": "400",
    "not_found": "421",
    "not_taken": "421",
    "no_answer": "0",  # not known yet
    "pending": "0",
}
# Of rows that we refuse ourselves, before anybody was asked; 300 is the gateway's own decline.
REASON_CODES = {
    "amount_malformed": "220",
    "amount_zero": "220",
    "expiry_past": "223",
    "expiry_malformed": "223",
    "cvv_malformed": "225",
    "cvv_gone": "225",
    "key_conflict": "301",
    "key_running": "301",
    "number_listed": "310",
    "not_supported": "410",
    "number_check_digit": "300",
    "gate_unknown": "300",
}
STATUSES = {
    "captured": "pending_settlement",
    "credited": "pending_settlement",
    "authorized": "authorized",
    "challenged": "flagged",
    "declined": "declined",
    "settled": "settled",
    "unknown": "unknown",
    "pending": "pending",
}


def result_of(values: Mapping[str, object]) -> dict[str, str | None]:
    """Write the result of one row: these values, and nothing else."""
    schema = {"line": pl.Int64(), **REPORT_COLUMNS}
    schema |= {f"{CELL}{name}": pl.String() for name in FILEBATCH.columns}
    row = pl.DataFrame([{name: values.get(name) for name in schema}], schema=schema)
    return FILEBATCH.result(row, list(FILEBATCH.columns)).row(0, named=True)


def test_every_response_has_its_published_code() -> None:
    assert set(CODES) == {each.value for each in Response}
    told = {each: result_of({"state": "approved", "response": each}) for each in CODES}
    assert {each: row["response_code"] for each, row in told.items()} == CODES


def test_no_answer_has_no_code() -> None:
    row = result_of({"state": "queued", "amount_minor": 100})
    assert (row["response_code"], row["amount_authorized"]) == ("0", "0")


@pytest.mark.parametrize(("reason", "code"), REASON_CODES.items())
def test_a_refused_row_has_the_code_of_its_reason(reason: str, code: str) -> None:
    assert reason in {each.value for each in Reason}
    row = result_of({"state": "rejected", "reason": reason, "payment": "p", "message": "no"})
    assert (row["id"], row["response"], row["response_code"]) == (None, "rejected", code)
    assert row["processor_response_text"] == "no"


@pytest.mark.parametrize(("status", "word"), STATUSES.items())
def test_statuses_have_their_published_words(status: str, word: str) -> None:
    assert result_of({"state": "approved", "status": status})["status"] == word


def test_amounts_are_those_of_the_status() -> None:
    """What is only held is authorized; what was declined is neither."""
    values = {"state": "approved", "response": "approved", "approved_minor": 70}
    columns = ("amount_authorized", "amount_captured", "captured_at")
    at = {"settled_at": "2026-11-21T12:00:00Z"}
    rows = {each: result_of({**values, **at, "status": each}) for each in STATUSES}
    told = {each: tuple(row[name] for name in columns) for each, row in rows.items()}
    assert told["captured"] == told["credited"] == ("70", "70", at["settled_at"])
    assert told["authorized"] == ("70", "0", None)


def test_a_card_and_an_account_are_told_apart() -> None:
    card = result_of({"brand": "visa", "expiry": 3912})
    bank = result_of({"brand": "bank", "sec_code": "WEB"})
    names = ("payment_method", "payment_type", "card_type", "expiration")
    assert [card[name] for name in names] == ["card", "card", "visa", "12/39"]
    assert [bank[name] for name in names] == ["ach", "ach", None, None]
    assert result_of({"expiry": 101})["expiration"] == "01/01"
