"""Payments and their amounts: one function for each statement."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from psycopg import Connection
from psycopg.rows import dict_row

from paybatch.domain.payment import AMOUNTS, CHANGEABLE, RESERVED
from paybatch.store.database import Row, copy_in, copy_out
from paybatch.store.statements import statements

_SQL = statements("payment")

LOCKED = {
    "merchant_id": pl.Int32(),
    "payment_id": pl.Int64(),
    "payment_gate_id": pl.Int32(),
    "origin": pl.String(),
    "is_payout": pl.Boolean(),
    "state": pl.String(),
    "payment_currency": pl.String(),
    "payment_number_id": pl.String(),
    "payment_brand": pl.String(),
    "payment_expiry": pl.Int16(),
    "payment_scheme_id": pl.String(),
    "payment_day": pl.Date(),
    **{name: pl.Int64() for name in AMOUNTS},
}
NONE_LOCKED = pl.DataFrame(schema=LOCKED)

PAYMENT_COLUMNS = (
    *("merchant_id", "id", "gate_id", "origin", "is_payout", "state", "currency", "number_id"),
    *(
        "expiry",
        "brand",
        "scheme_transaction_id",
        "business_day",
        "made_on",
        "authorized",
        "captured",
        "refund_excess_percent",
        "created_at",
    ),
)
FEW_CHANGES = 1_000  # so many are given as lists
CHANGE_COLUMNS = ("merchant_id", "payment_id", *CHANGEABLE, "state")


def copy_payments(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Store new payments; the frame has ``PAYMENT_COLUMNS``."""
    copy_in(connection, _SQL["copy_payments"], frame[PAYMENT_COLUMNS])


def lock_payments(connection: Connection[Row], keys: pl.DataFrame) -> pl.DataFrame:
    """Lock payments by ``merchant_id, payment_id`` until the transaction ends.

    Returns the payments that exist, shaped as ``LOCKED``.
    """
    return copy_out(connection, _SQL["lock_payments"], _listed(keys), LOCKED)


def lock_free_payments(
    connection: Connection[Row], keys: pl.DataFrame
) -> tuple[pl.DataFrame, set[tuple[int, int]]]:
    """Lock those payments that nobody holds, without waiting.

    Returns them, shaped as ``LOCKED``, and the keys of those that somebody else holds.
    """
    locked = copy_out(connection, _SQL["lock_free_payments"], _listed(keys), LOCKED)
    if locked.height == keys.height:
        return locked, set()
    rows = connection.execute(_SQL["existing_payments"], _listed(keys)).fetchall()
    existing = {(int(row[0]), int(row[1])) for row in rows}
    return locked, existing - set(locked[["merchant_id", "payment_id"]].iter_rows())


def _listed(keys: pl.DataFrame) -> dict[str, list[int]]:
    """Give payments by ``merchant_id, payment_id`` as parameters of a statement."""
    return {
        "merchant_ids": keys["merchant_id"].to_list(),
        "payment_ids": keys["payment_id"].to_list(),
    }


def apply_changes(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Add changes (``CHANGE_COLUMNS``, one row for each payment) to payments that are locked.

    Raises:
        ConstraintError: A change breaks a rule of the amounts.
    """
    if frame.is_empty():
        return
    if frame.height <= FEW_CHANGES:
        changes = frame.select_seq(CHANGE_COLUMNS).to_dict(as_series=False)
        connection.execute(_SQL["apply_few"], changes)
        return
    connection.execute(_SQL["make_changes"])
    copy_in(connection, _SQL["copy_changes"], frame[CHANGE_COLUMNS])
    connection.execute(_SQL["apply_changes"])


def change_means(connection: Connection[Row], frame: pl.DataFrame) -> None:
    """Let payments (``merchant_id, payment_id``) that are locked be for other cards."""
    parameters = {
        **_listed(frame),
        "number_ids": frame["number_id"].to_list(),
        "brands": frame["brand"].to_list(),
        "expiries": frame["expiry"].to_list(),
    }
    connection.execute(_SQL["change_means"], parameters)


def forget_changes(connection: Connection[Row]) -> None:
    """Forget the changes that were applied in this transaction, before others are."""
    connection.execute(_SQL["forget_changes"])


def name_at_scheme(connection: Connection[Row], made: pl.DataFrame) -> None:
    """Give payments (``merchant_id, payment_id``) their ``scheme_transaction_id``."""
    if not made.is_empty():
        names = {"names": made["scheme_transaction_id"].to_list()}
        connection.execute(_SQL["name_at_scheme"], {**_listed(made), **names})


def drop_pending(connection: Connection[Row], keys: pl.DataFrame) -> None:
    """Drop the payments (``merchant_id, payment_id``) that calls were to make and never left."""
    connection.execute(_SQL["drop_pending"], _listed(keys))


def reserve(connection: Connection[Row], amounts: pl.DataFrame) -> None:
    """Add to what is reserved of payments: ``merchant_id, payment_id`` and ``RESERVED``.

    One row a payment, which is locked.

    Raises:
        ConstraintError: More would be reserved than there is.
    """
    if amounts.is_empty():
        return
    parameters = {
        "merchant_ids": amounts["merchant_id"].to_list(),
        "payment_ids": amounts["payment_id"].to_list(),
        **{name: amounts[name].to_list() for name in RESERVED},
    }
    connection.execute(_SQL["reserve"], parameters)


def get_payment(
    connection: Connection[Row], merchant_ids: Sequence[int], payment_id: int
) -> dict[str, Any] | None:
    """Read one payment with what was asked for when it was made."""
    parameters = {"merchant_ids": list(merchant_ids), "id": payment_id}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["get_payment"], parameters).fetchone()


def merchants_of_payments(
    connection: Connection[Row], merchant_ids: Sequence[int], payment_ids: Sequence[int]
) -> dict[int, int]:
    """Give the merchant of each of these payments that one of these merchants has."""
    parameters = {"merchant_ids": list(merchant_ids), "payment_ids": list(payment_ids)}
    rows = connection.execute(_SQL["merchants_of_payments"], parameters).fetchall()
    return {int(row[0]): int(row[1]) for row in rows}


def payments_by_reference(
    connection: Connection[Row], merchant_ids: Sequence[int], reference: str, limit: int
) -> list[tuple[int, int]]:
    """Give (merchant, payment) of the payments whose row carried a reference, newest first."""
    parameters = {
        "merchant_ids": list(merchant_ids),
        "reference": reference,
        "limit": limit,
    }
    rows = connection.execute(_SQL["payments_by_reference"], parameters).fetchall()
    return [(int(row[0]), int(row[1])) for row in rows]


def operations_of_payment(
    connection: Connection[Row], merchant_id: int, payment_id: int, limit: int
) -> list[dict[str, Any]]:
    """List what was done to a payment, in order."""
    parameters = {"merchant_id": merchant_id, "id": payment_id, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["operations_of_payment"], parameters).fetchall()
