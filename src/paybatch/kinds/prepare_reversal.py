"""Prepare reversal: set an amount of a payment aside to be voided or refunded later.

When: a reversal is to be looked at by somebody else before it is done, or the processor wants it
in two stages. No money moves. Until `commit_reversal` completes it or `withdraw_reversal` takes it
back, the payment is not captured, adjusted, voided or refunded in any other way; chargebacks,
returns, expiries and closes of day are facts and go on. What may be prepared is what a `reverse`
could undo now, and preparations add up. Where the gate does not void what is captured, a hold is
not prepared beside a chargeback or a return: void it directly.

At a gate that reverses in two stages a `reverse` means this. There the processor is asked, if it
knows preparations; else it is prepared with us alone, as at every other gate.

Sources: ConnPay Reversal and Commit Reversal (that they are two stages is our reading).
"""

import polars as pl

from paybatch.domain import columns, payment, reversals
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment, remark
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_prepared, _amount = pl.col("prepared"), pl.col("amount_minor")


def _refusals(capabilities: Capabilities) -> tuple[Fault, ...]:
    """Refuse what the void or the refund would be refused for, that is to complete it."""
    is_refund, status = reversals.is_refunded(capabilities), pl.col("status")
    refunds = sorted(each.value for each in reversals.refund_statuses(capabilities))
    voids = sorted(each.value for each in reversals.void_statuses(capabilities))
    wrong = pl.when(is_refund).then(~status.is_in(refunds)).otherwise(~status.is_in(voids))
    of_void = reversals.void_refusals()
    of_refund = reversals.refund_refusals(capabilities)
    one_stage = reversals.stands_in() & pl.lit(not capabilities.two_stage_reversal)
    return (
        Fault(Reason.OTHER_UNDER_WAY, "payment", reversals.under_way()),
        Fault(Reason.REVERSAL_PREPARED, "payment", one_stage),
        *(Fault(each.reason, each.column, ~is_refund & each.fails) for each in of_void),
        *(Fault(each.reason, each.column, is_refund & each.fails) for each in of_refund),
        Fault(Reason.STATUS_NOT_ALLOWED, "payment", wrong),
        Fault(Reason.NOTHING_LEFT, "payment", reversals.may_mean_either(capabilities)),
    )


def _of_either(refund: pl.Expr, void: pl.Expr, capabilities: Capabilities) -> pl.Expr:
    return pl.when(reversals.is_refunded(capabilities)).then(refund).otherwise(void) - _prepared


def _left(capabilities: Capabilities) -> pl.Expr:
    refund, void = reversals.refund_left(capabilities), reversals.void_left(capabilities)
    return _of_either(refund, void, capabilities)


def _whole(capabilities: Capabilities) -> pl.Expr:
    return _of_either(payment.refundable(), reversals.void_left(capabilities), capabilities)


def _closes(capabilities: Capabilities) -> pl.Expr:
    """Give what the processor need not hear of, as the void that completes it will not reach it."""
    if not capabilities.two_stage_reversal:
        return _amount
    hold = reversals.void_closes(capabilities)
    return pl.when(reversals.is_refunded(capabilities)).then(0).otherwise(hold)


KIND = Kind(
    name="prepare_reversal",
    title="Preparation of a reversal",
    group="Follow-ups",
    verb=Verb.PREPARE_REVERSAL,
    if_able=True,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.COMMENT),
    required=frozenset({"payment"}),
    amount=AmountRule.LEFT,
    statuses=lambda gate: frozenset[Status](
        reversals.void_statuses(gate) | reversals.refund_statuses(gate)
    ),
    refusals=_refusals,
    left=_left,
    whole=_whole,
    whole_only=reversals.whole_only,
    reserves="reserved_void",
    closes=_closes,
    effects=(ChangePayment(amounts={"prepared": pl.col("approved_minor")}), remark()),
    reads=(columns.COMMENT,),
    tells=pl.lit("prepared: commit_reversal completes it, withdraw_reversal takes it back"),
    opposite="withdraw_reversal",
    undone="as long as it is not committed",
    permission="refund",
    risk=Risk.MARK,
    samples=({"payment": "order-1001", "amount_minor": "250", "currency": "USD"},),
)
