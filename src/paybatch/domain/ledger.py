"""Ledger: the accounts that every gate has in each currency, and what a transfer is.

Double entry by construction: a transfer is a positive amount from a debit account to a credit
account, so that the sum of all accounts is zero at every moment.
"""

from dataclasses import dataclass
from enum import StrEnum

import polars as pl


class Account(StrEnum):
    """The name of an account; there is one for each merchant, gate and currency."""

    RECEIVABLE = "receivable"  # captured, not settled
    CLEARING = "clearing"  # settled, not funded
    MERCHANT = "merchant"  # what is the merchant's
    DISPUTED = "disputed"  # charged back
    IN_COLLECTION = "in_collection"  # direct debits until they are due
    IN_TRANSIT = "in_transit"  # transfers under way
    FEES = "fees"
    FX = "fx"
    HOLD = "hold"  # authorizations, a memo account
    HOLD_CONTRA = "hold_contra"  # its other side


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer that a kind makes when it is approved; nothing where ``amount`` is 0 or null.

    ``amount`` is an expression over the columns of an approved operation and, for a follow-up, of
    its payment as it stood before (minor units).
    """

    debit: Account
    credit: Account
    amount: pl.Expr
