"""Vault: numbers go in while rows are accepted, and nothing but their ids comes out."""

import json
from collections.abc import Sequence
from datetime import datetime

import polars as pl

from paybatch.domain.few import without
from paybatch.flow.engine import Engine
from paybatch.flow.texts import NUMBERS
from paybatch.store import attempts, numbers
from paybatch.store.database import Connection, Row
from paybatch.store.keys import DataKey

KNOWN_MAX = 200_000  # about 30 MB


def keep_numbers(engine: Engine, rows: pl.DataFrame) -> pl.DataFrame:
    """Store the numbers of these rows and give the rows with ``number_id``, without the numbers.

    A short transaction of its own, numbers in the order of their keys, so that two blocks at once
    do not wait for each other in a circle. Numbers that this process has seen are not sent again.
    """
    numbers_of = rows.select_seq(_NUMBER).to_series()
    if not numbers_of.count():
        return without(rows, *NUMBERS)
    ids = engine.keys.fingerprints(numbers_of)
    given = ids.to_list()
    keys = set(zip(rows["merchant_id"].to_list(), given, strict=True)) - engine.known_numbers
    if any(number_id is not None for _, number_id in keys):
        _keep_new(engine, rows.with_columns_seq(number=numbers_of, id=ids), keys)
    known = rows["number_id"] if numbers_of.null_count() else None
    return without(rows, *NUMBERS).with_columns_seq(
        number_id=ids if known is None else ids.zip_with(ids.is_not_null(), known)
    )


# An account number means something at its bank only.
_NUMBER = pl.coalesce(
    "card_number", pl.concat_str("routing_number", pl.lit(":"), "account_number"), "iban"
).alias("number")


_IS_BANK = pl.col("account_number").is_not_null()


def _keep_new(engine: Engine, rows: pl.DataFrame, keys: set[tuple[int, str]]) -> None:
    distinct = rows.select_seq(
        "merchant_id",
        "number",
        "id",
        "brand",
        "masked",
        bank_code=pl.when(_IS_BANK).then("routing_number"),
    ).unique(["merchant_id", "id"])
    pairs = zip(distinct["merchant_id"].to_list(), distinct["id"].to_list(), strict=True)
    fresh = distinct.filter(pl.Series([pair in keys for pair in pairs])).drop_nulls("number")
    sealed = engine.keys.seal_numbers(fresh["number"], fresh["id"])
    with engine.database.transaction() as connection:
        numbers.keep_numbers(connection, fresh.with_columns_seq(sealed=sealed))
    if len(engine.known_numbers) > KNOWN_MAX:
        engine.known_numbers.clear()
    engine.known_numbers.update(key for key in keys if key[1] is not None)


def seal_secrets(key: DataKey, rows: pl.DataFrame, context: str) -> bytes:
    """Seal the secrets of rows (``line, card_cvv``) together."""
    secrets = {str(line): cvv for line, cvv in rows.select_seq("line", "card_cvv").iter_rows()}
    return key.seal(json.dumps(secrets).encode(), context)


def secret_context(batch_id: int, chunk_number: int) -> str:
    """Name what sealed secrets belong to: they open nowhere else."""
    return f"secrets/{batch_id}/{chunk_number}"


def read_secrets(
    connection: Connection[Row],
    key: DataKey | None,
    batch_id: int,
    lines: Sequence[int],
    not_before: datetime,
) -> dict[int, str]:
    """Read the secrets of these lines, and leave them where they are.

    For calls that leave the house: they may have to be made again, with the same key.
    """
    wanted = set(lines)
    found: dict[int, str] = {}
    for chunk, sealed, stored_at in attempts.secrets_of_lines(connection, batch_id, lines):
        if key is not None and stored_at >= not_before:
            block = json.loads(key.open(sealed, secret_context(batch_id, chunk)))
            found |= {int(line): cvv for line, cvv in block.items() if int(line) in wanted}
    return found


def take_secrets(
    connection: Connection[Row],
    key: DataKey | None,
    batch_id: int,
    lines: Sequence[int],
    not_before: datetime,
) -> dict[int, str]:
    """Take the secrets of these lines out of the database; they live on in memory only.

    In the transaction that settles the rows. What is older than ``not_before`` is deleted unread.
    """
    wanted = set(lines)
    found: dict[int, str] = {}
    for chunk, sealed, stored_at in numbers.secrets_of_lines(
        connection, batch_id, (min(wanted), max(wanted))
    ):
        if key is None or stored_at < not_before:
            numbers.replace_secrets(connection, batch_id, chunk, None)
            continue
        context = secret_context(batch_id, chunk)
        block = {int(line): cvv for line, cvv in json.loads(key.open(sealed, context)).items()}
        found |= {line: cvv for line, cvv in block.items() if line in wanted}
        left = {line: cvv for line, cvv in block.items() if line not in wanted}
        rest = key.seal(json.dumps(left).encode(), context) if left else None
        numbers.replace_secrets(connection, batch_id, chunk, rest)
    return found
