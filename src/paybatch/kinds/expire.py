"""Expire: an authorization is over; what is left of its hold is released.

When: its days are over, by brand and gate (`hold_days`), or those in which it was to be captured.
The clock does that every day in a system batch; by hand, when the processor says so. It is a fact:
nothing is asked of the processor. What was captured stays captured. What was prepared of the hold
to be reversed is prepared no more.

Sources: ConnPay preauth (lapses if no capture comes); Sips EXPIRED.
"""

import polars as pl

from paybatch.domain import columns, payment, reversals
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import ChangePayment, remark
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_approved = pl.col("approved_minor")
_may_hold = frozenset(
    {
        Status.AUTHORIZED,
        Status.CHALLENGED,
        Status.PARTIALLY_CAPTURED,
        Status.PARTIALLY_REFUNDED,
        Status.CHARGED_BACK,
    }
)


def _refusals(_: Capabilities) -> tuple[Fault, ...]:
    expired = pl.col("status") == Status.EXPIRED.value
    return (
        Fault(Reason.OTHER_UNDER_WAY, "payment", payment.hold_in_doubt()),
        Fault(Reason.HOLD_EXPIRED, "payment", expired),
    )


KIND = Kind(
    name="expire",
    title="Expiry",
    group="Follow-ups",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda _: _may_hold,
    refusals=_refusals,
    left=lambda _: payment.open_hold(),
    effects=(
        ChangePayment(
            amounts={"released": _approved, "prepared": reversals.lapsed(_approved)},
            state=pl.when(payment.kept() == 0).then(pl.lit("expired")),
        ),
        remark(),
    ),
    reads=(columns.COMMENT,),
    transfers=(Transfer(Account.HOLD_CONTRA, Account.HOLD, _approved),),
    opposite=None,
    undone="`duplicate` asks for a new authorization",
    permission="void",
    risk=Risk.MARK,
    samples=({"payment": "order-2001"},),
)
