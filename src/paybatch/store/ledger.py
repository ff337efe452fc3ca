"""The ledger's tables: accounts, transfers, balances and the laws that can fail."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.domain.ledger import Account
from paybatch.store.database import Row, copy_in, run_each
from paybatch.store.statements import statements

_SQL = statements("ledger")

TRANSFER_COLUMNS = (
    *("merchant_id", "operation_id", "number", "debit_account_id", "credit_account_id"),
    "amount_minor",
)


def find_accounts(
    connection: Connection[Row], merchant_id: int, gate_id: int, currency: str
) -> dict[str, int]:
    """Give the ids of a gate's accounts in a currency by name; empty when not opened yet."""
    parameters = {"merchant_id": merchant_id, "gate_id": gate_id, "currency": currency}
    rows = connection.execute(_SQL["find_accounts"], parameters).fetchall()
    return {str(row[0]): int(row[1]) for row in rows}


def open_accounts(
    connection: Connection[Row], merchant_id: int, gate_id: int, currency: str
) -> None:
    """Open every account that a gate has in a currency, where it is not open."""
    connection.cursor().executemany(
        _SQL["open_account"],
        [
            {
                "merchant_id": merchant_id,
                "gate_id": gate_id,
                "currency": currency,
                "name": account.value,
            }
            for account in sorted(Account)
        ],
    )


def copy_transfers(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store transfers; the frame has ``TRANSFER_COLUMNS``."""
    copy_in(connection, _SQL["copy_transfers"], frame[TRANSFER_COLUMNS])


def insert_deltas(
    connection: Connection[Row], deltas: Mapping[tuple[int, int], Sequence[int]]
) -> None:
    """Append what a chunk moved on each account, in the order of the accounts.

    ``deltas``: (merchant, account) -> debits, credits (minor units), number of transfers.
    """
    run_each(
        connection,
        _SQL["insert_delta"],
        [
            {
                "merchant_id": merchant_id,
                "account_id": account_id,
                "debit_minor": debit,
                "credit_minor": credit,
                "transfer_count": count,
            }
            for (merchant_id, account_id), (debit, credit, count) in sorted(deltas.items())
        ],
    )


def fold(connection: Connection[Row]) -> None:
    """Add the deltas of each account up into one."""
    connection.execute(_SQL["fold"])


_SUMS = {
    *("debit_minor", "credit_minor", "kept", "moved"),
    *("receivable_owed", "receivable_kept", "hold_owed", "hold_kept"),
    *("in_collection_owed", "in_collection_kept"),
}


def _rows(connection: Connection[Row], name: str) -> list[dict[str, Any]]:
    """Read rows. Sums are numeric in SQL, as they may pass the largest bigint, and whole."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_SQL[name]).fetchall()
    return [
        {column: int(value) if column in _SUMS else value for column, value in row.items()}
        for row in rows
    ]


def balances(connection: Connection[Row]) -> list[dict[str, Any]]:
    """Give the sums of every account."""
    return _rows(connection, "balances")


def broken_balances(connection: Connection[Row]) -> list[dict[str, Any]]:
    """Give the accounts whose balance is not the sum of its transfers."""
    return _rows(connection, "broken_balances")


def broken_laws(connection: Connection[Row]) -> list[dict[str, Any]]:
    """Give the gates and currencies where payments and ledger say different things."""
    return _rows(connection, "broken_laws")
