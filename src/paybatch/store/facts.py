"""Facts: what operations leave behind beside money. Rows are only added."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.domain.effects import Fact
from paybatch.store.database import Row, copy_in, copy_out
from paybatch.store.statements import statements

_SQL = statements("fact")

_KEYS = ("merchant_id", "operation_id", "payment_id")
FACT_COLUMNS: dict[Fact, tuple[str, ...]] = {
    Fact.NOTE: (*_KEYS, "name", "text", "created_at"),
    Fact.LISTING: (*_KEYS, "level", "place", "what", "value", "is_listed", "created_at"),
    Fact.DISPUTE_STEP: (
        *(*_KEYS, "dispute", "stage", "amount_minor", "currency", "arn", "reason_code"),
        *("happened_on", "due_on", "text", "created_at"),
    ),
    Fact.CARD_NAME: (*_KEYS, "name_type", "name", "number_id", "expiry", "created_at"),
    Fact.SCORE: (*_KEYS, "number_id", "score", "band", "created_at"),
    Fact.NOTICE: (*_KEYS, "state", "created_at"),
    Fact.MANDATE: (*_KEYS, "creditor_id", "bic", "mandate_type", "signed_on", "created_at"),
    Fact.DEBIT: (*_KEYS, "mandate_id", "sequence_type", "collect_on", "created_at"),
    Fact.DUE: (*_KEYS, "kind", "due_on", "created_at"),
    Fact.RECURRING: (
        *(*_KEYS, "source_id", "amount_minor", "amount_to_minor", "amounts", "period", "every"),
        *("start_on", "finish_on", "finish_count", "attempts", "scheme_transaction_id"),
        *("created_at", "next_on"),
    ),
    Fact.RECURRING_CHANGE: (
        *(*_KEYS, "amount_minor", "amount_to_minor", "amounts", "is_back", "created_at"),
    ),
    Fact.RECURRING_PAYER: (
        *(*_KEYS, "billing_first_name", "billing_last_name", "billing_address_line_1"),
        *("billing_city", "billing_state", "billing_postal_code", "billing_country"),
        *("billing_phone", "email", "customer_ip", "created_at"),
    ),
}


NAMED = {
    "merchant_id": pl.Int32(),
    "identifier_type": pl.String(),
    "name": pl.String(),
    "number_id": pl.String(),
    "found_expiry": pl.Int16(),
    "found_brand": pl.String(),
    "found_masked": pl.String(),
    "found_bank_code": pl.String(),
}


def copy_facts(connection: Connection[Row], fact: Fact, frame: pl.DataFrame) -> None:
    """Store facts; columns of ``FACT_COLUMNS[fact]`` that the frame lacks are null."""
    absent = [name for name in FACT_COLUMNS[fact] if name not in frame.columns]
    rows = frame.with_columns_seq(pl.lit(None, pl.String).alias(name) for name in absent)
    copies = {
        Fact.NOTE: _SQL["copy_note"],
        Fact.LISTING: _SQL["copy_listing"],
        Fact.DISPUTE_STEP: _SQL["copy_dispute_step"],
        Fact.CARD_NAME: _SQL["copy_card_name"],
        Fact.SCORE: _SQL["copy_score"],
        Fact.NOTICE: _SQL["copy_notice"],
        Fact.MANDATE: _SQL["copy_mandate"],
        Fact.DEBIT: _SQL["copy_debit"],
        Fact.DUE: _SQL["copy_due"],
        Fact.RECURRING: _SQL["copy_recurring"],
        Fact.RECURRING_CHANGE: _SQL["copy_recurring_change"],
        Fact.RECURRING_PAYER: _SQL["copy_recurring_payer"],
    }
    copy_in(connection, copies[fact], rows[FACT_COLUMNS[fact]])


def facts_of_payment(
    connection: Connection[Row], merchant_id: int, payment_id: int
) -> list[dict[str, Any]]:
    """List what stands on a payment beside money.

    Columns: operation_id, fact, name, text, detail (values by name), created_at.
    """
    parameters = {"merchant_id": merchant_id, "payment_id": payment_id}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["facts_of_payment"], parameters).fetchall()


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands on any list (``number``, ``bin``, ``email``, ``ip``), and gates that close."""

    listed: frozenset[str]
    closing: frozenset[int]


def standing(connection: Connection[Row]) -> Standing:
    """Tell what rows meet before they are sent: lists, and gates whose day is being closed."""
    rows = connection.execute(_SQL["standing"]).fetchall()
    listed = frozenset(str(what) for what, _ in rows if what is not None)
    return Standing(listed, frozenset(int(gate) for _, gate in rows if gate is not None))


Listed = tuple[int, int, str]


def listed(connection: Connection[Row], what: str, wanted: Sequence[Listed]) -> set[Listed]:
    """Give those of (merchant, gate, value) that stand on a list that holds for them."""
    parameters = {
        "what": what,
        "merchant_ids": [each[0] for each in wanted],
        "gate_ids": [each[1] for each in wanted],
        "values": [each[2] for each in wanted],
    }
    return {(row[0], row[1], row[2]) for row in connection.execute(_SQL["listed"], parameters)}


def cards_of_names(connection: Connection[Row], wanted: pl.DataFrame) -> pl.DataFrame:
    """Give the cards of ``merchant_id, identifier_type, name`` that are mapped, as ``NAMED``."""
    parameters = {
        "merchant_ids": wanted["merchant_id"].to_list(),
        "name_types": wanted["identifier_type"].to_list(),
        "names": wanted["name"].to_list(),
    }
    return copy_out(connection, _SQL["cards_of_names"], parameters, NAMED)
