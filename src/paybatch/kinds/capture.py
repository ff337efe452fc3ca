"""Capture: take an authorized amount, or a part of it.

When: the goods have been shipped. Without an amount all that is left is captured. Where the gate
allows several captures, each may take a part; ``final`` says that no more will follow, and the
rest of the hold is released. Where it does not, every capture is final, whatever the row says.

Sources: Commerce Web Services ``Capture`` (several with ``MultiplePartialCapture``); OPPWA ``CP``;
ConnPay Capture; Sips ``validate``.
"""

import polars as pl

from paybatch.domain import columns, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_approved = pl.col("approved_minor")
_rest = pl.when(pl.col("final")).then(payment.open_hold() - _approved).otherwise(0)


def _statuses(capabilities: Capabilities) -> frozenset[Status]:
    once = frozenset({Status.AUTHORIZED})
    several = once | {Status.PARTIALLY_CAPTURED, Status.PARTIALLY_REFUNDED}
    return several if capabilities.several_captures else once


def _refusals(capabilities: Capabilities) -> tuple[Fault, ...]:
    expired = pl.col("status") == Status.EXPIRED.value
    refusals = (Fault(Reason.HOLD_EXPIRED, "payment", expired),)
    if capabilities.several_captures:
        return refusals
    taken = (pl.col("captured") > 0) & ~pl.col("is_payout")
    return (Fault(Reason.CAPTURED_ALREADY, "payment", taken), *refusals)


def _fixed(capabilities: Capabilities) -> dict[str, pl.Expr]:
    return {} if capabilities.several_captures else {"final": pl.lit(value=True)}


KIND = Kind(
    name="capture",
    title="Capture",
    group="Follow-ups",
    verb=Verb.CAPTURE,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.FINAL, columns.TAX, columns.SHIPPING, columns.TIP),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=_statuses,
    refusals=_refusals,
    fixed=_fixed,
    left=lambda _: payment.open_hold() - pl.col("reserved_capture") - pl.col("reserved_void"),
    reserves="reserved_capture",
    effects=(ChangePayment(amounts={"captured": _approved, "released": _rest}),),
    transfers=(
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _approved),
        Transfer(Account.HOLD_CONTRA, Account.HOLD, _approved + _rest),
    ),
    opposite="void",
    permission="capture",
    risk=Risk.TAKES,
    samples=({"payment": "order-2001", "amount_minor": "5000", "currency": "USD"},),
)
