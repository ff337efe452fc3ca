"""Effects: the closed set of changes that an approved operation may ask for.

Amounts and values are expressions over the columns of the operation, its reply (``approved_minor``,
``response``) and, for one that acts on a payment, of that payment as it stood before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import polars as pl

from paybatch.domain.connector import Verb


def is_challenged() -> pl.Expr:
    """Tell which operations were approved and are held by their fraud score."""
    return pl.col("response") == "challenged"


def held_if_challenged() -> pl.Expr:
    """Give the state of a payment that a fraud score may hold: its amounts are held back then."""
    return pl.when(is_challenged()).then(pl.lit("challenged")).otherwise(pl.lit("approved"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """A payment is made, with these amounts (minor units).

    It is in ``state`` when it was approved; otherwise it is declined and has no amounts.
    ``is_payout`` tells whether its money goes to the payer.
    """

    state: pl.Expr = field(default_factory=lambda: pl.lit("approved"))
    amounts: Mapping[str, pl.Expr]
    is_payout: pl.Expr = field(default_factory=lambda: pl.lit(value=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangePayment:
    """The amounts of the subject payment grow by these (minor units); its state may change too.

    A kind that makes a payment from an earlier one may change the state of that one so.

    ``state`` is an expression; null leaves the payment's state as it is. ``state_declined`` is its
    state when the processor declines, over the column ``declined_for`` (the response).
    """

    amounts: Mapping[str, pl.Expr] = field(default_factory=dict)
    state: pl.Expr | None = None
    state_declined: pl.Expr | None = None


@dataclass(frozen=True, slots=True)
class ChangeMeans:
    """The subject payment is from now on for the card that the row brings, if it brings one."""


class Fact(StrEnum):
    """The tables of facts: rows are only added, and what holds now follows from them."""

    NOTE = "note"  # comments, marks and documents on a payment
    LISTING = "listing"  # what was put on a list, or taken off it
    DISPUTE_STEP = "dispute_step"  # how a dispute about a payment goes on
    CARD_NAME = "card_name"  # a customer's identifier that stands for a card
    SCORE = "score"  # what a scoring service said
    NOTICE = "notice"  # a callback that is owed
    MANDATE = "mandate"  # what a payer signed, so that a creditor may collect
    DEBIT = "debit"  # how a direct debit is collected
    DUE = "due"  # what the clock is to do with a payment, and on which day
    RECURRING = "recurring"  # what is charged again and again, and when
    RECURRING_CHANGE = "recurring_change"
    RECURRING_PAYER = "recurring_payer"  # who pays it


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A fact is kept; ``values`` are the columns of its table that the kind fills.

    Where no row has a value in any of the details that it is ``about``, none is looked for.
    """

    fact: Fact
    values: Mapping[str, pl.Expr]
    when: pl.Expr = field(default_factory=lambda: pl.lit(value=True))
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CloseDay:
    """Everything that is due at the gates is settled, and their next business day is opened.

    ``verb`` is asked of those connectors that have it. Without ``opens_next`` the business day goes
    on behind the close.
    """

    verb: Verb = Verb.CLOSE_DAY
    opens_next: bool = True


@dataclass(frozen=True, slots=True)
class UnlockGate:
    """Gates that a close of day left closing are open again."""


@dataclass(frozen=True, slots=True)
class Expand:
    """An operation of ``kind`` is made for each payment of the gates that is open for it.

    They are worked behind the row, each with an outcome of its own; the row's is their totals. At
    gates with terminal capture ``closes`` settles what is due behind them.
    """

    kind: str
    closes: CloseDay


def remark() -> Record:
    """Give the effect that keeps a row's comment with its payment, where it has both."""
    is_said = pl.col("comment").is_not_null() & pl.col("payment_id").is_not_null()
    values = {"name": pl.lit("comment"), "text": pl.col("comment")}
    return Record(fact=Fact.NOTE, values=values, when=is_said)


def keep_document() -> Record:
    """Give the effect that keeps a row's document with its payment, where it has one."""
    values = {"name": pl.lit("document"), "text": pl.col("document")}
    return Record(fact=Fact.NOTE, values=values, when=pl.col("document").is_not_null())


@dataclass(frozen=True, slots=True, kw_only=True)
class Enroll:
    """A card goes into a customer's wallet, behind those it has; the customer is made if absent.

    A card (number and expiry) that the wallet has already is refused (`Reason.CARD_HELD`).
    """

    customer: pl.Expr
    number_id: pl.Expr
    expiry: pl.Expr


Effect = NewPayment | ChangePayment | ChangeMeans | Record | Enroll | CloseDay | UnlockGate | Expand
