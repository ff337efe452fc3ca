"""Adjust: change an authorized amount by a difference, up or down, before it is captured.

When: the final amount differs from what was held: a tip, a longer stay, an article less. Up is an
incremental authorization; down gives a part of the hold back. The row gives the difference. Only
authorizations by card are adjusted. Down for a brand that takes no reversal is done with us and not
sent; the message tells when that part of the hold rolls off.

Sources: Commerce Web Services ``Adjust``.
"""

import polars as pl

from paybatch.domain import columns, holds, payment, reversals
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.money import AMOUNT_MAX_MINOR
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

_up, _approved = pl.col("direction") == "up", pl.col("approved_minor")
_largest = pl.lit(AMOUNT_MAX_MINOR) - pl.col("authorized")


def _closes(capabilities: Capabilities) -> pl.Expr:
    """Give what the processor would not take back."""
    irreversible = ~_up & holds.is_irreversible(capabilities)
    return pl.when(irreversible).then("amount_minor").otherwise(0)


KIND = Kind(
    name="adjust",
    title="Adjustment",
    group="Follow-ups",
    verb=Verb.ADJUST,
    subject=Subject.PAYMENT,
    fields=(*columns.FOLLOW_UP, columns.DIRECTION),
    required=frozenset({"payment", "direction"}),
    amount=AmountRule.POSITIVE,
    statuses=lambda _: frozenset({Status.AUTHORIZED}),
    refusals=lambda _: (
        Fault(Reason.OTHER_UNDER_WAY, "payment", payment.hold_in_doubt()),
        reversals.prepared_first(),
        Fault(Reason.NOT_BY_CARD, "payment", payment.is_transfer()),
    ),
    fixed=holds.rolls_off,
    closes=_closes,
    # A hold that is taken down to nothing is a void: one minor unit stays.
    left=lambda _: pl.when(_up).then(_largest).otherwise(payment.free_hold() - 1),
    reserves="reserved_void",
    effects=(
        ChangePayment(amounts={"authorized": pl.when(_up).then(_approved).otherwise(-_approved)}),
    ),
    reads=(columns.DIRECTION,),
    allows_more=True,
    transfers=(
        Transfer(Account.HOLD, Account.HOLD_CONTRA, pl.when(_up).then(_approved)),
        Transfer(Account.HOLD_CONTRA, Account.HOLD, pl.when(~_up).then(_approved)),
    ),
    tells=holds.told_closed(),
    opposite="adjust",
    undone="in the other direction, until it is captured",
    permission="authorize",
    risk=Risk.TAKES,
    samples=(
        {"payment": "order-2001", "amount_minor": "700", "currency": "USD", "direction": "up"},
    ),
)
