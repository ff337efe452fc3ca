"""Mark collected: a direct debit that was in collection is due, and its money is taken.

When: its day has come, or the bank says so. What was in collection is captured.

Sources: DESIGN of the ledger (`in_collection`); EPC016-06 (settlement on the due date).
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.effects import ChangePayment, Fact, Record, remark
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

KIND = Kind(
    name="mark_collected",
    title="Direct debit collected",
    group="Direct debits",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.MARK, columns.BANK_REFERENCE),
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset({Status.IN_COLLECTION}),
    refusals=lambda _: (Fault(Reason.PAYMENT_IN_DOUBT, "payment", payment.hold_in_doubt()),),
    effects=(
        ChangePayment(amounts={"captured": payment.open_hold()}, state=pl.lit("approved")),
        Record(
            fact=Fact.NOTE,
            values={"name": pl.lit("debit_collected"), "text": pl.col("bank_reference")},
        ),
        remark(),
    ),
    reads=(columns.BANK_REFERENCE, columns.COMMENT),
    transfers=(Transfer(Account.RECEIVABLE, Account.IN_COLLECTION, payment.open_hold()),),
    opposite="reverse",
    undone="the whole debit: voided before settlement, refunded after it",
    permission="sale",
    risk=Risk.TAKES,
    samples=({"payment": "debit-7202"},),
)
