"""Balance: the trial balance of the ledger and the laws that it must keep."""

from dataclasses import dataclass
from typing import Any

from paybatch.flow.engine import Engine
from paybatch.store import ledger


@dataclass(frozen=True)
class TrialBalance:
    """Every account with its sums, and a sentence for each law that is broken.

    ``accounts``: the columns of ``store.ledger.balances``, ``balance_minor`` (debits less credits)
    and ``is_broken``.
    """

    accounts: list[dict[str, Any]]
    broken: list[str]


def trial_balance(engine: Engine) -> TrialBalance:
    """Add the ledger up and hold it against its laws, all as of one moment."""
    with engine.database.snapshot() as connection:
        accounts = ledger.balances(connection)
        moved = {(row["merchant_id"], row["id"]): row for row in ledger.broken_balances(connection)}
        laws = {
            (row["merchant_id"], row["gate_id"], row["currency"]): row
            for row in ledger.broken_laws(connection)
        }
    told: list[dict[str, Any]] = []
    sentences = [_unopened(row) for key, row in laws.items() if key not in _places(accounts)]
    for each in accounts:
        key = (each["merchant_id"], each["gate_id"], each["currency"])
        wrong = _wrong(each, moved.get((each["merchant_id"], each["account_id"])), laws.get(key))
        sentences += wrong
        balance = each["debit_minor"] - each["credit_minor"]
        told.append({**each, "balance_minor": balance, "is_broken": bool(wrong)})
    return TrialBalance(told, [*sentences, *_unequal(told)])


def _places(accounts: list[dict[str, Any]]) -> set[tuple[int, int, str]]:
    return {(each["merchant_id"], each["gate_id"], each["currency"]) for each in accounts}


def _unopened(law: dict[str, Any]) -> str:
    """Say that payments moved money at a gate that has no accounts."""
    owed = law["receivable_owed"] or law["hold_owed"] or law["in_collection_owed"]
    return (
        f"Merchant number {law['merchant_id']}, gate number {law['gate_id']}, {law['currency']}: "
        f"its payments say {owed} minor units, but it has no accounts."
    )


def _wrong(
    account: dict[str, Any], moved: dict[str, Any] | None, law: dict[str, Any] | None
) -> list[str]:
    """Say what is wrong with one account (amounts in minor units)."""
    name = f"{_place(account)}, account {account['account']}"
    wrong = []
    if moved is not None:
        wrong.append(
            f"{name}: its balance is {moved['kept']}, but its transfers sum to {moved['moved']} "
            "minor units."
        )
    if law is not None and account["account"] in {"receivable", "hold", "in_collection"}:
        kept = law[f"{account['account']}_kept"]
        owed = law[f"{account['account']}_owed"]
        if kept != owed:
            wrong.append(f"{name}: its balance is {kept}, but its payments say {owed} minor units.")
    return wrong


def _unequal(accounts: list[dict[str, Any]]) -> list[str]:
    """Say where the accounts of a gate and currency do not sum to zero."""
    sums: dict[str, int] = {}
    for each in accounts:
        sums[_place(each)] = sums.get(_place(each), 0) + each["balance_minor"]
    return [
        f"{place}: all accounts sum to {total} minor units and not to zero."
        for place, total in sums.items()
        if total
    ]


def _place(account: dict[str, Any]) -> str:
    return f"Merchant {account['merchant']}, gate {account['gate']}, {account['currency']}"
