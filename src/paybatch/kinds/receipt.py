"""Receipt: the money of a prepayment, an invoice or a bank transfer has come, or a part of it.

When: it stands on the account's statement, with its amount; without one all that is awaited came.
What was awaited counts as captured, and further receipts may follow; where the gate says that a
capture follows, a pending transfer is authorized, in one receipt. For a payment that was captured
already it is kept that its money came, and no money moves. `mark_received` says the same of a whole
transfer, in and out.

Source: OPPWA ``RC`` (after PA, CP, DB, RB).
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import ChangePayment, Fact, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_awaits = payment.open_hold() > 0
_came = pl.when(pl.col("captures") & _awaits).then(pl.col("approved_minor")).otherwise(0)
_statuses = frozenset(
    {
        *(Status.TRANSFER_PENDING, Status.SENT, Status.AUTHORIZED, Status.PARTIALLY_CAPTURED),
        *(Status.CAPTURED, Status.SETTLED, Status.PARTIALLY_REFUNDED),
    }
)


def _refusals(_: Capabilities) -> tuple[Fault, ...]:
    held = _awaits & pl.col("payment_number_id").is_not_null()
    return (
        Fault(Reason.OTHER_UNDER_WAY, "payment", _awaits & payment.hold_in_doubt()),
        Fault(Reason.NO_MONEY_AWAITED, "payment", pl.col("is_payout") | held),
    )


def _fixed(capabilities: Capabilities) -> dict[str, pl.Expr]:
    return {"captures": pl.lit(not capabilities.transfer_needs_capture)}


def _left(_: Capabilities) -> pl.Expr:
    there = payment.kept() - payment.given_back()
    return pl.when(_awaits).then(payment.open_hold()).otherwise(there)


KIND = Kind(
    name="receipt",
    title="Receipt of money",
    group="Transfers",
    verb=None,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.BANK_REFERENCE),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: _statuses,
    refusals=_refusals,
    fixed=_fixed,
    left=_left,
    whole_only=lambda gate: pl.lit(gate.transfer_needs_capture),
    effects=(
        ChangePayment(amounts={"captured": _came}, state=pl.lit("approved")),
        Record(
            fact=Fact.NOTE,
            values={"name": pl.lit("receipt"), "text": pl.col("bank_reference")},
        ),
    ),
    reads=(columns.BANK_REFERENCE,),
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _came),
        Transfer(Account.HOLD_CONTRA, Account.HOLD, _came),
    ),
    opposite="refund",
    undone="what came goes back; it is awaited no more",
    permission="transfer",
    risk=Risk.TAKES,
    samples=({"payment": "transfer-8001", "amount_minor": "50000", "currency": "USD"},),
)
