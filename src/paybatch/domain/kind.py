"""The contract of a kind: everything that a payment operation declares about itself.

A kind is one module in ``paybatch.kinds`` with a docstring (its manual page) and one constant
``KIND``. Nothing else has to be written for a kind over existing nouns: the reader, the checks,
the preview, the worker, the ledger, the samples and the help pages read the declaration.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import polars as pl

from paybatch.domain.capabilities import Capabilities
from paybatch.domain.connector import REVERSING, Verb
from paybatch.domain.disputes import InDispute
from paybatch.domain.effects import (
    ChangeMeans,
    ChangePayment,
    CloseDay,
    Effect,
    Enroll,
    Expand,
    NewPayment,
    Record,
    UnlockGate,
)
from paybatch.domain.fields import Field
from paybatch.domain.ledger import Transfer
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason


class Subject(StrEnum):
    """What an operation acts on."""

    NEW_PAYMENT = "new payment"  # with a means that the row brings
    NEW_FROM_PAYMENT = "new payment from an earlier one"  # with the means of that one
    NEW_FROM_PAYMENT_OR_MEANS = "new payment from an earlier one, or with a means"
    PAYMENT = "payment"  # one that is named
    PAYMENT_OR_MEANS = "payment or means"  # one that is named, or what stands in its place
    GATE = "gate"  # or every gate of a processor


class AmountRule(StrEnum):
    """What a kind wants in its amount columns."""

    POSITIVE = "an amount greater than zero"
    ZERO = "no amount, or zero"
    LEFT = "an amount greater than zero; none = all that is left"
    TERMS = "an amount greater than zero, or none; it is noted, nothing moves"
    NONE = "no amount"


class Risk(StrEnum):
    """How much harm a wrong batch of this kind can do; approval policies ask for it."""

    MARK = "moves no money"
    TAKES = "takes money from payers"
    GIVES = "gives money away"


@dataclass(frozen=True, slots=True)
class Fault:
    """A rule that a row can break: true in ``fails`` = refused with ``reason`` at ``column``.

    Where no row has a value in any of the columns that it is ``about``, it is not asked.
    """

    reason: Reason
    column: str
    fails: pl.Expr
    about: tuple[str, ...] = ()


def _no_statuses(_: Capabilities) -> frozenset[Status]:
    return frozenset()


def _nothing(_: Capabilities) -> pl.Expr:
    return pl.lit(0, pl.Int64)


def _never(_: Capabilities) -> pl.Expr:
    return pl.lit(value=False)


def _no_refusals(_: Capabilities) -> tuple[Fault, ...]:
    return ()


def _all_sent(_: Capabilities) -> pl.Expr | None:
    return None


def _as_written(_: Capabilities) -> Mapping[str, pl.Expr]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a payment operation is.

    Attributes:
        name: The module's name; the word in a native file.
        title: The name for people.
        group: Under which heading help lists it.
        verb: What is asked of the connector; None = nothing leaves the house.
        if_able: Whether only those connectors are asked that have the verb; with others it is done
            with us alone.
        subject: What it acts on.
        fields: The columns it takes.
        required: Names of those that must have a value.
        needs_means: Whether a new payment needs a card, an account or a customer; a transfer that
            the payer makes does not.
        amount: What it wants in its amount columns.
        faults: Rules over the row's own values.
        statuses: Which statuses of the subject allow it, by the gate's capabilities.
        refusals: More exact reasons, tried before the status rule.
        fixed: Columns that the gate decides, whatever the row says.
        left: How much of the payment it may act on (over the payment's columns).
        whole: How much a row without an amount means (over the payment's columns), where that is
            less than what is left.
        whole_only: Whether it may only act on all that is left (over the payment's columns).
        reserves: The payment's column that is reserved while the call is under way.
        effects: What an approval changes.
        asks: Whether the processor is asked what became of the payment, and what is unknown of it
            is settled; it has no verb, and no effect outside.
        retries: Whether, of one that asks, only reversals are meant: what the processor does not
            know of them is sent again where that is safe, and the result tells what became of them.
        closes: How much of a row's amount is closed with us, though there is a verb (minor units,
            over the payment's columns); the processor is asked for the rest. None = nothing.
        forced: Which rows are done with us also when the processor declines.
        reads: Those of its fields that the effects read; they come from the row's own text.
        stands_for: Kinds that it acts as, each with the test of the payment that chooses it (the
            first that holds). Rules, verb, effects and transfers are theirs; facts that the kind
            declares itself are kept beside theirs.
        in_dispute: How it takes part in the disputes of its payment, if it does: its effects find
            the dispute's id in ``dispute``.
        allows_more: Whether an approval of it may allow what was refused before (of the same kind).
        waits_for_all: Whether earlier lines of its file end before it, and later ones wait.
        continues: Whether it goes on with the series of the payment that it acts on: where its row
            gives no scheme's id of the first payment it carries that one's.
        keeps_lines: Whether also those of its rows that follow each other take effect in line
            order, because the newest decides; only of one that waits for all.
        transfers: What an approval moves in the ledger.
        tells: What the result says of an approved row (its message).
        opposite: The kind that undoes it, if any; of a batch, row by row.
        undone: When that holds or what of it stays, or why nothing undoes it: half a sentence.
        permission: What a person needs to be allowed to run it.
        risk: How much harm a wrong batch can do.
        samples: Rows of a valid file, by field name. A row that acts on a payment names it by the
            reference of another kind's sample.
        samples_need: Kinds whose sample comes before this one's, on the same payment if it names
            one.
        document: The manual page; the registry fills in the module's docstring.
    """

    name: str
    title: str
    group: str
    verb: Verb | None
    if_able: bool = False
    subject: Subject
    fields: tuple[Field, ...]
    required: frozenset[str] = frozenset()
    needs_means: bool = True
    amount: AmountRule
    faults: tuple[Fault, ...] = ()
    statuses: Callable[[Capabilities], frozenset[Status]] = _no_statuses
    refusals: Callable[[Capabilities], tuple[Fault, ...]] = _no_refusals
    fixed: Callable[[Capabilities], Mapping[str, pl.Expr]] = _as_written
    left: Callable[[Capabilities], pl.Expr] = _nothing
    whole: Callable[[Capabilities], pl.Expr] | None = None
    whole_only: Callable[[Capabilities], pl.Expr] = _never
    reserves: str | None = None
    effects: tuple[Effect, ...] = ()
    asks: bool = False
    retries: bool = False
    closes: Callable[[Capabilities], pl.Expr | None] = _all_sent
    forced: pl.Expr | None = None
    reads: tuple[Field, ...] = ()
    stands_for: Callable[[Capabilities], Mapping[str, pl.Expr]] = _as_written
    in_dispute: InDispute | None = None
    allows_more: bool = False
    waits_for_all: bool = False
    continues: bool = False
    keeps_lines: bool = False
    transfers: tuple[Transfer, ...] = ()
    tells: pl.Expr | None = None
    opposite: str | None
    undone: str = ""
    permission: str
    risk: Risk
    samples: tuple[Mapping[str, str], ...]
    samples_need: tuple[str, ...] = ()
    document: str = field(default="", compare=False)

    @property
    def pays(self) -> bool:
        """Whether its rows bring the means of the payment that they make."""
        return self.subject is Subject.NEW_PAYMENT and self.needs_means

    @property
    def chains(self) -> bool:
        """Whether a payment that it makes may come from an earlier one."""
        return self.subject in {Subject.NEW_FROM_PAYMENT, Subject.NEW_FROM_PAYMENT_OR_MEANS}

    @property
    def takes_expiry(self) -> bool:
        """Whether its rows may bring a card with its expiry."""
        return any(each.name == "card_expiry" for each in self.fields)

    @property
    def makes(self) -> NewPayment | None:
        """The effect by which it makes a payment, if it does."""
        return next((each for each in self.effects if isinstance(each, NewPayment)), None)

    @property
    def changes(self) -> ChangePayment | None:
        """The effect by which it changes its payment, if it does."""
        return next((each for each in self.effects if isinstance(each, ChangePayment)), None)

    @property
    def changes_means(self) -> bool:
        """Whether it changes the card of its payment."""
        return any(isinstance(each, ChangeMeans) for each in self.effects)

    @property
    def gate_effect(self) -> CloseDay | UnlockGate | Expand | None:
        """The effect by which it changes gates or all that is open there, if it does."""
        mine = (each for each in self.effects if isinstance(each, CloseDay | UnlockGate | Expand))
        return next(mine, None)

    @property
    def needs(self) -> Verb | None:
        """What a connector must be able to do for it."""
        return None if self.if_able else self.verb

    @property
    def reverses(self) -> bool:
        """Whether it undoes a payment at its processor, or is a step of that."""
        return self.verb in REVERSING

    @property
    def verbs(self) -> frozenset[Verb]:
        """What it may ask of a connector."""
        own = frozenset() if self.verb is None else frozenset({self.verb})
        effect = self.gate_effect
        closes = effect.closes if isinstance(effect, Expand) else effect
        return own | {closes.verb} if isinstance(closes, CloseDay) else own

    @property
    def records(self) -> tuple[Record, ...]:
        """The facts that it keeps."""
        return tuple(each for each in self.effects if isinstance(each, Record))

    @property
    def enrolls(self) -> Enroll | None:
        """The effect by which it fills a wallet, if it does."""
        return next((each for each in self.effects if isinstance(each, Enroll)), None)
