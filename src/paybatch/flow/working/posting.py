"""Posting: transfers get their accounts, and are stored with one delta for each account."""

import polars as pl

from paybatch.domain.few import FEW_ROWS
from paybatch.flow.engine import Engine
from paybatch.store import ledger
from paybatch.store.database import Connection, Row

_SIDES = ("merchant_id", "gate_id", "currency", "debit", "credit")
_IDS = ("debit_account_id", "credit_account_id")
Sides = tuple[int, int, str, str, str]


def store_transfers(engine: Engine, connection: Connection[Row], transfers: pl.DataFrame) -> None:
    """Store transfers and one delta for each account; accounts come last and in order."""
    if transfers.is_empty():
        return
    deltas: dict[tuple[int, int], list[int]] = {}
    pairs: dict[Sides, tuple[int, int]] = {}
    for sides, (amount, count) in _summed(transfers).items():
        merchant, gate, currency, debit, credit = sides
        accounts = _accounts(engine, (merchant, gate, currency))
        pairs[sides] = ids = (accounts[debit], accounts[credit])
        for account, row in zip(ids, ((amount, 0, count), (0, amount, count)), strict=True):
            delta = deltas.setdefault((merchant, account), [0, 0, 0])
            for place, value in enumerate(row):
                delta[place] += value
    ledger.copy_transfers(connection, _with_accounts(transfers, pairs))
    ledger.insert_deltas(connection, deltas)


def _summed(transfers: pl.DataFrame) -> dict[Sides, tuple[int, int]]:
    """Give the sum and the number of the transfers between the same accounts."""
    if transfers.height > FEW_ROWS:
        sums = transfers.group_by(_SIDES).agg(pl.col("amount_minor").sum(), pl.len())
        return {row[:5]: row[5:] for row in sums.iter_rows()}
    summed: dict[Sides, tuple[int, int]] = {}
    for row in transfers[[*_SIDES, "amount_minor"]].iter_rows():
        amount, count = summed.get(row[:5], (0, 0))
        summed[row[:5]] = (amount + row[5], count + 1)
    return summed


def _with_accounts(transfers: pl.DataFrame, pairs: dict[Sides, tuple[int, int]]) -> pl.DataFrame:
    """Add the ids of the accounts that transfers name, and put many rows in order."""
    schema = dict.fromkeys(_IDS, pl.Int32)
    if transfers.height <= FEW_ROWS:
        ids = [pairs[sides] for sides in transfers[_SIDES].iter_rows()]
        return transfers.hstack(pl.DataFrame(ids, schema=schema, orient="row"))
    named = {name: transfers.schema[name] for name in _SIDES}
    rows = [(*sides, *ids) for sides, ids in pairs.items()]
    accounts = pl.DataFrame(rows, schema={**named, **schema}, orient="row")
    placed = transfers.join(accounts, on=_SIDES, how="left")
    return placed.sort("operation_id", "number")


def _accounts(engine: Engine, key: tuple[int, int, str]) -> dict[str, int]:
    """Give the accounts of a gate in a currency, opened if need be."""
    if key not in engine.accounts:
        with engine.database.transaction() as connection:
            ledger.open_accounts(connection, *key)
        with engine.database.transaction() as connection:
            engine.accounts[key] = ledger.find_accounts(connection, *key)
    return engine.accounts[key]
