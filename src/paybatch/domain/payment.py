"""A payment's amounts and the status that follows from them.

The amounts are the truth; the status is computed, never stored as a payment's own state. The
columns are those of table ``payment``, Int64 in minor units.
"""

from enum import StrEnum

import polars as pl

AMOUNTS = (
    "authorized",
    "released",
    "captured",
    "cancelled",
    "settled",
    "refunded",
    "refund_settled",
    "returned",
    "charged_back",
    "represented",
    "prepared",
    "reserved_capture",
    "reserved_void",
    "reserved_refund",
)

RESERVED = tuple(name for name in AMOUNTS if name.startswith("reserved_"))
CHANGEABLE = tuple(name for name in AMOUNTS if name not in RESERVED)


class Status(StrEnum):
    """What a payment is, in one word."""

    PENDING = "pending"
    UNKNOWN = "unknown"
    DECLINED = "declined"
    FILTERED = "filtered"  # refused by our lists, never sent
    CHALLENGED = "challenged"  # held by its fraud score until a person decides
    VERIFIED = "verified"
    AUTHORIZED = "authorized"
    PARTIALLY_CAPTURED = "partially_captured"
    CAPTURED = "captured"
    SETTLED = "settled"
    VOIDED = "voided"
    EXPIRED = "expired"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    CREDITED = "credited"
    CHARGED_BACK = "charged_back"
    RETURNED = "returned"
    TRANSFER_PENDING = "transfer_pending"
    SENT = "sent"
    RECEIVED = "received"
    IN_COLLECTION = "in_collection"  # a direct debit that is not due yet
    MANDATE_ONCE = "mandate_once"  # for one debit, which was not made yet
    MANDATE_OPEN = "mandate_open"  # for several debits, none was made yet
    MANDATE_RUNNING = "mandate_running"
    MANDATE_ENDED = "mandate_ended"  # the last debit was made
    MANDATE_CANCELLED = "mandate_cancelled"
    RECURRING_ACTIVE = "recurring_active"
    RECURRING_PAUSED = "recurring_paused"
    RECURRING_FAILED = "recurring_failed"  # its card was declined for good: it wants another one
    RECURRING_STOPPED = "recurring_stopped"
    RECURRING_FINISHED = "recurring_finished"  # its last date was charged


def open_hold() -> pl.Expr:
    """What is authorized and neither captured nor released (minor units)."""
    return pl.col("authorized") - pl.col("captured") - pl.col("released")


def free_hold() -> pl.Expr:
    """What of the open hold nothing under way may take (minor units); more may be under way."""
    return open_hold() - pl.col("reserved_capture") - pl.col("reserved_void")


def hold_in_doubt() -> pl.Expr:
    """Tell where a call is under way that may take the hold, or give it back."""
    return pl.col("reserved_capture") + pl.col("reserved_void") > 0


def voiding() -> pl.Expr:
    """What voids under way may cancel of what is kept: they take the hold first (minor units)."""
    return pl.max_horizontal(pl.col("reserved_void") - open_hold(), 0)


def refundable() -> pl.Expr:
    """What of the kept is neither given back nor may be by what is under way (minor units)."""
    return kept() - given_back() - pl.col("reserved_refund") - voiding()


def kept() -> pl.Expr:
    """What was captured and not cancelled before settlement (minor units)."""
    return pl.col("captured") - pl.col("cancelled")


def disputed() -> pl.Expr:
    """What is charged back and was not won back (minor units)."""
    return pl.col("charged_back") - pl.col("represented")


def given_back() -> pl.Expr:
    """What the payer has again: refunds, returns and open chargebacks (minor units)."""
    return pl.col("refunded") + pl.col("returned") + disputed()


def taken() -> pl.Expr:
    """What facts are about: what is kept; of a payment that is cancelled what was captured."""
    return pl.when(kept() == 0).then(pl.col("captured")).otherwise(kept())


def told_over_returned() -> pl.Expr:
    """Say of payments that the payer has more of them than was taken."""
    return pl.when(over_returned()).then(pl.lit("more was given back than was taken"))


def over_returned() -> pl.Expr:
    """Tell where more was given back than taken: facts are recorded, whatever they add up to."""
    return given_back() > kept()


def is_transfer() -> pl.Expr:
    """Tell which payments are bank transfers: they have no means, and no processor took them."""
    return pl.col("payment_number_id").is_null()


KNOWN = frozenset(Status) - {Status.UNKNOWN, Status.PENDING}
USABLE_MANDATES = frozenset({Status.MANDATE_ONCE, Status.MANDATE_OPEN, Status.MANDATE_RUNNING})
MANDATES = USABLE_MANDATES | {Status.MANDATE_ENDED, Status.MANDATE_CANCELLED}
OPEN_RECURRING = frozenset(
    {Status.RECURRING_ACTIVE, Status.RECURRING_PAUSED, Status.RECURRING_FAILED}
)
RECURRING = OPEN_RECURRING | {Status.RECURRING_STOPPED, Status.RECURRING_FINISHED}
GOOD = KNOWN - {Status.DECLINED, Status.FILTERED, Status.VERIFIED} - MANDATES - RECURRING


def in_collection() -> pl.Expr:
    """Tell which payments are direct debits that are not due yet."""
    return pl.col("state") == Status.IN_COLLECTION.value


def status() -> pl.Expr:
    """Compute the status of each payment from ``state``, ``is_payout`` and the amounts."""
    state, refunded = pl.col("state"), pl.col("refunded")
    lit = {each: pl.lit(each.value) for each in Status}
    return (
        pl.when(state != "approved")
        .then(state)
        .when(disputed() > 0)
        .then(lit[Status.CHARGED_BACK])
        .when((pl.col("returned") > 0) & (pl.col("returned") >= kept()) & (open_hold() == 0))
        .then(lit[Status.RETURNED])
        .when((kept() == 0) & (open_hold() == 0) & (pl.col("authorized") > 0))
        .then(lit[Status.VOIDED])
        .when(pl.col("is_payout"))
        .then(lit[Status.CREDITED])
        .when((refunded > 0) & (refunded >= kept()) & (open_hold() == 0))
        .then(lit[Status.REFUNDED])
        .when(refunded > 0)
        .then(lit[Status.PARTIALLY_REFUNDED])
        .when(kept() == 0)
        .then(lit[Status.AUTHORIZED])
        .when(open_hold() > 0)
        .then(lit[Status.PARTIALLY_CAPTURED])
        .when(pl.col("settled") >= kept())
        .then(lit[Status.SETTLED])
        .otherwise(lit[Status.CAPTURED])
    )
