"""Wallet credit: give money to a customer, to a means that stands in its wallet.

When: money is owed to a payer who is known, and there is no payment to refund. The customer's name
is the wallet's; `means_rank` says which of its means gets the money (1 is the first, the default).

Sources: Sips ``walletCredit`` (``walletCreditHolder``).
"""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer

_approved = pl.col("approved_minor")

KIND = Kind(
    name="wallet_credit",
    title="Credit to a wallet",
    group="Wallets",
    verb=Verb.CREDIT,
    subject=Subject.NEW_PAYMENT,
    fields=columns.WALLET_PAYMENT,
    required=frozenset({"customer"}),
    amount=AmountRule.POSITIVE,
    effects=(
        NewPayment(
            amounts={"authorized": _approved, "captured": _approved}, is_payout=pl.lit(value=True)
        ),
    ),
    transfers=(Transfer(Account.MERCHANT, Account.RECEIVABLE, _approved),),
    opposite="void",
    undone=(
        "before settlement, where the gate voids what was given (`void_captured`); "
        "afterwards nothing does"
    ),
    permission="credit",
    risk=Risk.GIVES,
    samples=(
        {
            "amount_minor": "700",
            "currency": "USD",
            "customer": "customer-1001",
            "reference": "wallet-9002",
        },
    ),
)
