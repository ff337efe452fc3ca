"""The rows that a result is written from: what was accepted and what was recorded when it settled.

A result is a pure function of these rows, never of a payment's present state. Columns: ``line``
Int64; ``in:NAME`` for every column of the request file (String, without numbers and secrets);
and those of ``REPORT_COLUMNS``. Ids are in the dialect's published shape.
"""

import polars as pl

CELL = "in:"

REPORT_COLUMNS: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "state": pl.String(),  # of the operation: lifecycle.OperationState
    "reason": pl.String(),
    "message": pl.String(),
    "operation": pl.String(),
    "payment": pl.String(),
    "status": pl.String(),  # of the payment when the operation settled: payment.Status
    "amount_minor": pl.Int64(),
    "approved_minor": pl.Int64(),
    "currency": pl.String(),
    "tax_minor": pl.Int64(),
    "tip_minor": pl.Int64(),
    "surcharge_minor": pl.Int64(),
    "shipping_minor": pl.Int64(),
    "response": pl.String(),  # connector.Response
    "processor_code": pl.String(),
    "processor_text": pl.String(),
    "approval_code": pl.String(),
    "avs_result": pl.String(),
    "cvv_result": pl.String(),
    "scheme_transaction_id": pl.String(),  # as the processor gave it
    "brand": pl.String(),
    "masked": pl.String(),
    "expiry": pl.Int16(),  # YYMM
    "card_reference": pl.String(),
    "account_type": pl.String(),
    "sec_code": pl.String(),
    "reference": pl.String(),
    "gate": pl.String(),
    "connector": pl.String(),
    "sender": pl.String(),
    "accepted_at": pl.String(),  # RFC 3339, UTC
    "settled_at": pl.String(),
}


def cell(column: str) -> pl.Expr:
    """Give the request file's own cell of a row, as text."""
    return pl.col(f"{CELL}{column}")
