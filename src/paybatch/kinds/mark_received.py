"""Mark received: a bank transfer has arrived; its money is there.

When: it stands on the account's statement. Sent may be skipped. It counts as captured, unless the
gate says that a capture follows; then a pay-in is authorized. A payout is done when it has arrived.

Sources: ConnPay PIPO Mark Received; OPPWA ``RC``.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import ChangePayment, Fact, Record, remark
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_captured = pl.when(pl.col("captures")).then(payment.open_hold()).otherwise(0)


def _fixed(capabilities: Capabilities) -> dict[str, pl.Expr]:
    return {"captures": pl.col("is_payout") | pl.lit(not capabilities.transfer_needs_capture)}


KIND = Kind(
    name="mark_received",
    title="Transfer received",
    group="Transfers",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.MARK, columns.BANK_REFERENCE),
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset({Status.TRANSFER_PENDING, Status.SENT}),
    refusals=lambda _: (Fault(Reason.PAYMENT_IN_DOUBT, "payment", payment.hold_in_doubt()),),
    fixed=_fixed,
    effects=(
        ChangePayment(amounts={"captured": _captured}, state=pl.lit("approved")),
        Record(
            fact=Fact.NOTE,
            values={"name": pl.lit("transfer_received"), "text": pl.col("bank_reference")},
        ),
        remark(),
    ),
    reads=(columns.BANK_REFERENCE, columns.COMMENT),
    transfers=(
        Transfer(
            Account.RECEIVABLE, Account.MERCHANT, pl.when(~pl.col("is_payout")).then(_captured)
        ),
        Transfer(Account.MERCHANT, Account.RECEIVABLE, pl.when("is_payout").then(_captured)),
        Transfer(Account.HOLD_CONTRA, Account.HOLD, _captured),
    ),
    opposite="refund",
    undone="of a pay-in that is captured; a payout that has arrived is final",
    permission="transfer",
    risk=Risk.TAKES,
    samples=({"payment": "transfer-8001"},),
)
