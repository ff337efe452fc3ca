"""Wallet sale: take an amount with a means that stands in a customer's wallet.

When: a payer who is known comes again. The customer's name is the wallet's; `means_rank` says which
of its means pays (1 is the first, which is the default). Otherwise it is a sale. The wallet is
looked at when the file is read: what a row of the same file enrolls, the next file can use.

Sources: Sips ``walletOrder``.
"""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment, held_if_challenged, is_challenged
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer

_approved = pl.col("approved_minor")
_held = pl.when(is_challenged()).then(_approved).otherwise(0)

KIND = Kind(
    name="wallet_sale",
    title="Sale from a wallet",
    group="Wallets",
    verb=Verb.SALE,
    subject=Subject.NEW_PAYMENT,
    fields=columns.WALLET_PAYMENT,
    required=frozenset({"customer"}),
    amount=AmountRule.POSITIVE,
    effects=(
        NewPayment(
            state=held_if_challenged(),
            amounts={"authorized": _approved, "captured": _approved - _held},
        ),
    ),
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _approved - _held),
        Transfer(Account.HOLD, Account.HOLD_CONTRA, _held),
    ),
    opposite="reverse",
    undone="voided before settlement, refunded after it",
    permission="sale",
    risk=Risk.TAKES,
    samples=(
        {
            "amount_minor": "1250",
            "currency": "USD",
            "customer": "customer-1001",
            "means_rank": "1",
            "reference": "wallet-9001",
        },
    ),
)
