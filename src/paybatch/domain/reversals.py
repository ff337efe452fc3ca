"""Reversals: what a void and a refund may take, which of them undoes a payment, what is prepared.

`void`, `refund` and the kinds that stand for them go by these rules. A prepared reversal stands in
the payment's column ``prepared`` (minor units); only who completes it may void or refund meanwhile.
That is a row that acts as another kind than its own: a `void` that is asked for as such is not.
"""

import polars as pl

from paybatch.domain import holds, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.kind import Fault
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_MAY_HOLD = frozenset(
    {
        Status.AUTHORIZED,
        Status.PARTIALLY_CAPTURED,
        Status.PARTIALLY_REFUNDED,
        Status.CHARGED_BACK,
        Status.IN_COLLECTION,
        Status.TRANSFER_PENDING,
    }
)
_TAKEN_WHOLE = frozenset({Status.CAPTURED, Status.CREDITED})


def stands_in() -> pl.Expr:
    """Tell which rows act as another kind than their own."""
    return pl.col("kind") != pl.col("act")


def under_way() -> pl.Expr:
    """Tell where a void, a refund or a preparation has no answer yet."""
    return pl.col("reserved_void") + pl.col("reserved_refund") > 0


def preparing(capabilities: Capabilities) -> Fault:
    """Refuse what would take what a preparation in doubt may have set aside."""
    in_doubt = pl.lit(capabilities.two_stage_reversal) & (pl.col("reserved_void") > 0)
    return Fault(Reason.OTHER_UNDER_WAY, "payment", in_doubt)


def prepared_first() -> Fault:
    """Refuse what would take from a payment of which a reversal is prepared."""
    return Fault(Reason.REVERSAL_PREPARED, "payment", pl.col("prepared") > 0)


def is_refunded(capabilities: Capabilities) -> pl.Expr:
    """Tell what a refund undoes now; everything else a void."""
    refunded = (pl.col("settled") > 0) | (payment.given_back() > 0)
    if not capabilities.void_captured:
        refunded |= pl.col("captured") > 0
    is_payout, arrived = pl.col("is_payout"), payment.is_transfer() & (payment.kept() > 0)
    refunded = (refunded | arrived) & ~(arrived & is_payout)
    return refunded & ((payment.refundable() > 0) | (payment.open_hold() == 0))


def completing(capabilities: Capabilities, *others: Fault) -> tuple[Fault, ...]:
    """Refuse what meets a prepared reversal, a second one beside one under way, and ``others``."""
    alone = (pl.col("prepared") > 0) | pl.lit(capabilities.two_stage_reversal)
    found = [
        Fault(Reason.OTHER_UNDER_WAY, "payment", stands_in() & alone & under_way()),
        preparing(capabilities),
        Fault(Reason.REVERSAL_PREPARED, "payment", ~stands_in() & (pl.col("prepared") > 0)),
        *others,
    ]
    return tuple(found)


def unprepared(capabilities: Capabilities, allowed: frozenset[Status]) -> Fault:
    """Refuse what would complete a preparation that is not there, and does not say how much.

    Where others prepare it means what they prepared, not the payment. ``allowed`` are the statuses
    in which it would be done; in others their own reason is told.
    """
    is_allowed = pl.col("status").is_in(sorted(each.value for each in allowed))
    unnamed = pl.col("requested_minor").is_null() & (pl.col("amount_minor") > 0)
    completes = stands_in() & pl.lit(capabilities.two_stage_reversal) & (pl.col("prepared") == 0)
    return Fault(Reason.NOTHING_TO_COMMIT, "payment", completes & unnamed & is_allowed)


def within_prepared(left: pl.Expr, usual: pl.Expr | None = None) -> pl.Expr:
    """Give what is left, or usual, of it: of a prepared reversal what is prepared (minor units)."""
    is_limited = stands_in() & (pl.col("prepared") > 0)
    prepared = pl.min_horizontal(left, "prepared")
    return pl.when(is_limited).then(prepared).otherwise(left if usual is None else usual)


def completed(approved: pl.Expr) -> pl.Expr:
    """Give by how much ``prepared`` changes where so much was approved (minor units)."""
    used = pl.min_horizontal("prepared", approved)
    return pl.when(stands_in()).then(-used).otherwise(0)


def lapsed(released: pl.Expr) -> pl.Expr:
    """Give by how much ``prepared`` changes where so much of the hold is gone (minor units).

    What is left of the payment may still be reversed as it was prepared.
    """
    rest = payment.open_hold() - released + payment.kept() - pl.col("refunded")
    return -pl.max_horizontal(pl.col("prepared") - pl.max_horizontal(rest, 0), 0)


def told_prepared() -> pl.Expr:
    """Say of rows that completed a part of a prepared reversal that more of it is prepared."""
    return pl.when(stands_in() & (pl.col("prepared") > 0)).then(
        pl.lit("a part of the reversal is still prepared: commit it again")
    )


def void_statuses(capabilities: Capabilities) -> frozenset[Status]:
    """Give the statuses of payments that may be voided."""
    return _MAY_HOLD | _TAKEN_WHOLE if capabilities.void_captured else _MAY_HOLD


def void_left(capabilities: Capabilities) -> pl.Expr:
    """Give how much may be voided (minor units)."""
    hold = payment.free_hold()
    if not capabilities.void_captured:
        return hold
    unsettled = payment.kept() - pl.col("settled")
    stays = payment.kept() - payment.given_back() - pl.col("reserved_refund")
    taken = pl.max_horizontal(pl.min_horizontal(unsettled, stays), 0)
    return hold + pl.when(payment.is_transfer()).then(0).otherwise(taken)


def void_refusals() -> tuple[Fault, ...]:
    """Give the more exact reasons for which nothing is voided."""
    settled = (pl.col("settled") > 0) & (pl.col("settled") >= payment.kept())
    status, arrived = pl.col("status"), payment.is_transfer() & (payment.kept() > 0)
    # What it releases and what it cancels is told by what it finds: no capture may change that.
    capturing = pl.col("reserved_capture") > 0
    return (
        Fault(Reason.OTHER_UNDER_WAY, "payment", capturing),
        Fault(Reason.CANCELLED_ALREADY, "payment", status == Status.VOIDED.value),
        Fault(Reason.HOLD_EXPIRED, "payment", status == Status.EXPIRED.value),
        Fault(Reason.TRANSFER_ARRIVED, "payment", arrived & (payment.open_hold() == 0)),
        Fault(Reason.SETTLED_ALREADY, "payment", settled & (payment.open_hold() == 0)),
    )


def whole_only(capabilities: Capabilities) -> pl.Expr:
    """Tell where what is prepared may only be reversed as a whole: a void completes it."""
    return ~is_refunded(capabilities) & pl.lit(not capabilities.partial_void)


def voids_a_part(capabilities: Capabilities) -> Fault:
    """Refuse what completes a preparation of a part, where only wholes are voided."""
    amount, is_prepared = pl.col("amount_minor"), stands_in() & (pl.col("prepared") > 0)
    is_part = (amount > 0) & (amount < void_left(capabilities))
    strict = pl.lit(not capabilities.partial_void)
    return Fault(Reason.PARTIAL_NOT_SUPPORTED, "amount_minor", strict & is_prepared & is_part)


def may_mean_either(capabilities: Capabilities) -> pl.Expr:
    """Tell where a preparation may be of the hold, or of what a chargeback or a return took since.

    Where captures are voided it may be of both.
    """
    taken = (payment.kept() > 0) & (payment.disputed() + pl.col("returned") > 0)
    return taken & pl.lit(not capabilities.void_captured) & ~is_refunded(capabilities)


def meant_otherwise(capabilities: Capabilities) -> Fault:
    """Refuse to void the hold for what may have been prepared of what was captured."""
    completes = stands_in() & (pl.col("prepared") > 0)
    return Fault(Reason.NOTHING_LEFT, "payment", completes & may_mean_either(capabilities))


def void_closes(capabilities: Capabilities) -> pl.Expr:
    """Give the hold that the processor would not reverse, or never heard of (minor units)."""
    is_pending = pl.col("state") == Status.TRANSFER_PENDING.value
    hold = pl.min_horizontal("amount_minor", payment.open_hold())
    return pl.when(holds.is_irreversible(capabilities) | is_pending).then(hold).otherwise(0)


def refund_statuses(capabilities: Capabilities) -> frozenset[Status]:
    """Give the statuses of payments that may be refunded."""
    settled = frozenset({Status.SETTLED, Status.PARTIALLY_REFUNDED, Status.CHARGED_BACK})
    captured = frozenset({Status.CAPTURED, Status.PARTIALLY_CAPTURED})
    over = frozenset({Status.REFUNDED}) if capabilities.refund_excess_percent else frozenset()
    return settled | over | (captured if capabilities.refund_before_settlement else frozenset())


def refund_left(capabilities: Capabilities) -> pl.Expr:
    """Give how much may be refunded, with the gate's excess (minor units)."""
    # The excess is of what stays when the voids under way are done.
    stays = payment.kept() - payment.voiding()
    ceiling = stays * (100 + capabilities.refund_excess_percent) // 100
    return ceiling - payment.given_back() - pl.col("reserved_refund")


def refund_refusals(capabilities: Capabilities) -> tuple[Fault, ...]:
    """Give the more exact reasons for which nothing is refunded."""
    if capabilities.refund_before_settlement:
        return ()
    waiting = (payment.kept() > 0) & (pl.col("settled") < payment.kept())
    taken = ~pl.col("is_payout")
    return (Fault(Reason.NOT_SETTLED_YET, "payment", taken & waiting),)
