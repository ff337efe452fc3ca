"""Refund: give back a captured payment, or a part of it, to the payer.

When: goods come back. Several partial refunds are allowed up to what was captured; some gates
refund settled payments only, some allow a little more than was captured, also in a further refund;
without an amount never more is given than was taken.
A credit gave money away already and cannot be refunded. What is charged back or returned is with
the payer already and counts as given back.

Sources: Commerce Web Services ``ReturnById``; Sips ``refund``; OPPWA ``RF``; FluidPay refund.
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
_is_reversed = pl.col("kind") != pl.col("act")  # who reverses wants the hold undone as well


def _statuses(capabilities: Capabilities) -> frozenset[Status]:
    settled = frozenset({Status.SETTLED, Status.PARTIALLY_REFUNDED, Status.CHARGED_BACK})
    captured = frozenset({Status.CAPTURED, Status.PARTIALLY_CAPTURED})
    over = frozenset({Status.REFUNDED}) if capabilities.refund_excess_percent else frozenset()
    return settled | over | (captured if capabilities.refund_before_settlement else frozenset())


def _refusals(capabilities: Capabilities) -> tuple[Fault, ...]:
    if capabilities.refund_before_settlement:
        return ()
    waiting = (payment.kept() > 0) & (pl.col("settled") < payment.kept())
    taken = ~pl.col("is_payout")
    return (Fault(Reason.NOT_SETTLED_YET, "payment", taken & waiting),)


def _left(capabilities: Capabilities) -> pl.Expr:
    # The excess is of what stays when the voids under way are done.
    stays = payment.kept() - payment.voiding()
    ceiling = stays * (100 + capabilities.refund_excess_percent) // 100
    return ceiling - payment.given_back() - pl.col("reserved_refund")


def _whole(_: Capabilities) -> pl.Expr:
    """Give what was taken and is not given back: an excess is given to those only who name it."""
    return payment.refundable()


KIND = Kind(
    name="refund",
    title="Refund",
    group="Follow-ups",
    verb=Verb.REFUND,
    subject=Subject.PAYMENT,
    fields=columns.FOLLOW_UP,
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=_statuses,
    refusals=_refusals,
    left=_left,
    whole=_whole,
    reserves="reserved_refund",
    effects=(ChangePayment(amounts={"refunded": _approved}),),
    transfers=(Transfer(Account.MERCHANT, Account.RECEIVABLE, _approved),),
    tells=pl.when(_is_reversed & (payment.open_hold() > 0)).then(
        pl.lit("refunded; a part of the payment is still held: reverse it again")
    ),
    opposite=None,
    undone="what was given back is taken by a new payment only",
    permission="refund",
    risk=Risk.GIVES,
    samples=({"payment": "order-1001", "amount_minor": "250", "currency": "USD"},),
)
