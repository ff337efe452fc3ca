"""Transfer create: a bank transfer is expected from the payer, or is to be sent to him.

When: the payer was told where to pay, or a payout by bank transfer is prepared. Nothing is asked of
a processor: the transfer is pending until `mark_sent` and `mark_received` say how it goes on.

Source: ConnPay PIPO (pay-in, pay-out).
"""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.effects import NewPayment
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer

_approved = pl.col("approved_minor")

KIND = Kind(
    name="transfer_create",
    title="Bank transfer",
    group="Transfers",
    verb=None,
    subject=Subject.NEW_PAYMENT,
    fields=(
        *(*columns.ADDRESS, *columns.AMOUNTS, columns.TRANSFER_DIRECTION, columns.DESCRIPTION),
        *(columns.BANK_REFERENCE, columns.EMAIL),
    ),
    needs_means=False,
    amount=AmountRule.POSITIVE,
    effects=(
        NewPayment(
            state=pl.lit("transfer_pending"),
            amounts={"authorized": _approved},
            is_payout=(pl.col("transfer_direction") == "out").fill_null(value=False),
        ),
    ),
    reads=(columns.TRANSFER_DIRECTION,),
    transfers=(Transfer(Account.HOLD, Account.HOLD_CONTRA, _approved),),
    opposite="void",
    undone="until it is sent",
    permission="transfer",
    risk=Risk.MARK,
    samples=({"amount_minor": "80000", "currency": "USD", "reference": "transfer-8001"},),
)
