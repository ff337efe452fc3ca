"""Mark sent: a pending bank transfer is on its way and has not arrived yet.

When: the payer's bank, or ours, says that it was sent.

Source: ConnPay PIPO Mark Sent.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.effects import ChangePayment, Fact, Record, remark
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

KIND = Kind(
    name="mark_sent",
    title="Transfer sent",
    group="Transfers",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.MARK, columns.BANK_REFERENCE),
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset({Status.TRANSFER_PENDING}),
    refusals=lambda _: (Fault(Reason.PAYMENT_IN_DOUBT, "payment", payment.hold_in_doubt()),),
    effects=(
        ChangePayment(state=pl.lit("sent")),
        Record(
            fact=Fact.NOTE,
            values={"name": pl.lit("transfer_sent"), "text": pl.col("bank_reference")},
        ),
        remark(),
    ),
    reads=(columns.BANK_REFERENCE, columns.COMMENT),
    opposite=None,
    undone="a transfer that is on its way is not called back",
    permission="transfer",
    risk=Risk.MARK,
    samples=({"payment": "transfer-8001", "bank_reference": "F7-2211"},),
)
