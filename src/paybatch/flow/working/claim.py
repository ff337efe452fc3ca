"""Claim: which operations of a chunk go out now, with which amount, and which are refused.

A `Book` holds the payments of a chunk as they stand while it is worked: locked in the database,
changed here as replies come. Rows on the same payment are taken in rounds. A round takes, for each
payment, its next rows of one kind as long as each is allowed by what the rows before it would
leave if all of them were approved; the first that is not waits for the next round, when the
answers are known. So fifty thousand refunds of one payment take a few rounds, and the outcome is
the same as one after the other.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.few import FEW_ROWS, distinct, is_among, joined, where, without
from paybatch.domain.kind import Subject
from paybatch.domain.payment import AMOUNTS
from paybatch.flow.place import Place
from paybatch.flow.working.changes import KEY, STATE, changes_of, in_sequence
from paybatch.flow.working.enrolling import Wallets
from paybatch.flow.working.follow_up import judged
from paybatch.store.payments import LOCKED

_KEYS = {"merchant_id": pl.Int32(), "payment_id": pl.Int64()}
_NOTHING = pl.DataFrame(schema=_KEYS)
WINDOW_ROWS = 1_024  # rows of one payment that a round looks at
JUDGED = ("status", "act", "left", "amount_minor", "refusal")


_NAMED = pl.col("payment_reference").is_not_null() | (pl.col("payment_id") != pl.col("id"))


@cache
def acts_on_payment() -> pl.Expr:
    """Tell which operations act on a payment that exists, or take its means."""
    return acting(_NAMED.fill_null(value=False))


@cache
def makes_payment() -> pl.Expr:
    """Tell which operations make a payment; those may act on another one too."""
    return pl.col("kind").is_in(_makers()).fill_null(value=False)


def acting(is_named: pl.Expr) -> pl.Expr:
    """Tell which operations act on a payment; ``is_named`` tells which rows name one."""
    always, either = _actors()
    return pl.col("kind").is_in(always) | (pl.col("kind").is_in(either) & is_named)


def makers_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the operations that make a payment."""
    return where(rows, is_among(rows["kind"], _makers()))


def actors_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the operations that act on a payment that exists, or take its means."""
    if rows.height <= FEW_ROWS and is_among(rows["kind"], _actors()[1]).not_().all():
        return where(rows, is_among(rows["kind"], _actors()[0]))
    return where(rows, acts_on_payment())


@cache
def _makers() -> list[str]:
    return [kind.name for kind in registry.kinds().values() if kind.makes]


@cache
def _actors() -> tuple[list[str], list[str]]:
    """Name the kinds that always act on a payment, and those that do if they name one."""
    kinds = registry.kinds().values()
    named = {Subject.PAYMENT, Subject.NEW_FROM_PAYMENT}
    some = {Subject.PAYMENT_OR_MEANS, Subject.NEW_FROM_PAYMENT_OR_MEANS}
    always = [kind.name for kind in kinds if kind.subject in named]
    return always, [kind.name for kind in kinds if kind.subject in some]


def payments_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the payments that operations act on and make, by ``KEY``, each once."""
    acted = actors_of(rows)[list(KEY)]
    made = makers_of(rows)[["merchant_id", "id"]]
    made.columns = list(KEY)
    both = joined([each for each in (acted, made) if not each.is_empty()] or [acted])
    return both if both.height == 1 else both.unique(maintain_order=True)


@dataclass
class Book:
    """The payments that a chunk acts on, as they stand now.

    ``filtered`` looks calls up on the lists, once it is known whose means they take; None where
    nothing is listed. ``wallets`` are those that the chunk fills.
    """

    place: Place
    payments: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LOCKED))
    filtered: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    wallets: Wallets | None = None
    awaited: pl.DataFrame = field(default_factory=lambda: _NOTHING)

    def hold(self, calls: pl.DataFrame) -> None:
        """Hold what calls without an outcome act on and make: rows behind them wait."""
        found = payments_of(calls)
        held = [each for each in (self.awaited, found) if not each.is_empty()]
        self.awaited = pl.concat(held).unique() if len(held) > 1 else found

    def free(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Give the rows that wait for no call."""
        if self.awaited.is_empty() or rows.is_empty():
            return rows
        return rows.join(self.awaited, on=KEY, how="anti", maintain_order="left")

    def judge(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Join rows with their payments and judge them."""
        joined = rows.join(self.payments, on=KEY, how="left", maintain_order="left")
        return judged(self.place, taken_over(joined))

    def change(self, changes: pl.DataFrame) -> None:
        """Make changes (``KEY``, amounts and state, one row a payment) to the payments."""
        if changes.is_empty():
            return
        joined = self.payments.join(changes, on=KEY, how="left", suffix="_by")
        names = [name for name in changes.columns if name not in (*KEY, STATE)]
        grown = [(pl.col(name) + pl.col(f"{name}_by").fill_null(0)).alias(name) for name in names]
        if STATE in changes.columns:
            grown.append(pl.coalesce("state_by", STATE).alias(STATE))
        self.payments = joined.with_columns_seq(grown)[list(LOCKED)]

    def change_means(self, means: pl.DataFrame) -> None:
        """Let payments be for other cards (``means_changes.MEANS``)."""
        if means.is_empty():
            return
        new = means.rename({name: f"payment_{name}" for name in ("number_id", "brand", "expiry")})
        self.payments = self.payments.update(new, on=KEY)

    def add(self, made: pl.DataFrame) -> None:
        """Add payments that were made in this chunk."""
        made = made.with_columns_seq(payment_scheme_id="scheme_transaction_id")
        zeros = [pl.lit(0, pl.Int64).alias(n) for n in AMOUNTS if n not in made.columns]
        self.payments = pl.concat(
            [self.payments, made.with_columns_seq(zeros).select_seq(list(LOCKED))]
        )


@dataclass(frozen=True)
class Round:
    """What a round does: ``calls`` go out, ``refused`` are final, ``later`` wait.

    ``refused`` have the reason of the payment as it stood before the round; `refused_in_line`
    gives that of their line.
    """

    calls: pl.DataFrame
    refused: pl.DataFrame
    later: pl.DataFrame


def _as_asked(rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows that no payment changes: they act on what they ask for.

    They act as what they are, or as another kind that their own values choose (``stands_for``).
    """
    act = pl.col("kind")
    for name in distinct(rows["kind"]):
        for other, holds, details in _chosen_by_values(name):
            if all(detail in rows.columns and rows[detail].count() for detail in details):
                act = pl.when((pl.col("kind") == name) & holds).then(pl.lit(other)).otherwise(act)
    return rows.with_columns_seq(act=act, amount_minor="requested_minor")


@cache
def _chosen_by_values(name: str) -> list[tuple[str, pl.Expr, list[str]]]:
    """Give the kinds that a new payment's own values may choose: kind, test and its columns."""
    kind = registry.kinds()[name]
    others = kind.stands_for(Capabilities()) if kind.makes else {}
    return [
        (each, holds, holds.meta.root_names()) for each, holds in reversed(list(others.items()))
    ]


def claim_once(book: Book, operations: pl.DataFrame) -> Round:
    """Claim a chunk in which every payment occurs once."""
    if not operations["payment_id"].count() and not operations["reason"].count():
        none = operations.clear()
        return Round(_told_if_able(book.place, _as_asked(operations)), none, none)
    acts = operations.filter(acts_on_payment())
    new = _as_asked(operations.filter(~acts_on_payment()))
    rows = book.judge(acts)
    good = pl.col("refusal").is_null()
    calls = pl.concat([new, rows.filter(good)], how="diagonal")
    return Round(_told_if_able(book.place, calls), rows.filter(~good), acts.clear())


def _told_if_able(place: Place, calls: pl.DataFrame) -> pl.DataFrame:
    """Mark calls as ``unsent`` whose kind asks those connectors only that have its verb."""
    kinds = [registry.kinds()[name] for name in distinct(calls["act"])]
    some = [kind for kind in kinds if kind.if_able]
    if not some:
        return calls
    own = [name for name in ("payment_gate_id", "gate_id") if name in calls.columns]
    unsent = pl.col("unsent") if "unsent" in calls.columns else pl.lit(None, pl.Boolean)
    for kind in some:
        unable = [g.id for g in place.gates if kind.verb not in place.connector(g.id).verbs]
        is_unable = (pl.col("act") == kind.name) & pl.coalesce(own).is_in(unable)
        unsent = pl.when(is_unable).then(pl.lit(value=True)).otherwise(unsent)
    return calls.with_columns_seq(unsent=unsent)


def windows(operations: pl.DataFrame) -> list[pl.DataFrame]:
    """Cut rows in line order so that no part has more than ``WINDOW_ROWS`` rows on a payment.

    The parts are worked one after the other: a round costs what its part has, not what is left.
    Rows that make payments from others tie payments together; then there is one part.
    """
    subject = pl.when(acts_on_payment()).then(pl.col("payment_id")).otherwise(pl.col("id"))
    rows = operations.with_columns_seq(payment_id=subject)
    if rows.height <= WINDOW_ROWS or any(_is_chained(name) for name in distinct(rows["kind"])):
        return [rows]
    window = pl.int_range(pl.len()).over(KEY) // WINDOW_ROWS
    parts = rows.with_columns_seq(window=window).sort("window", "id").partition_by("window")
    return [part.drop("window") for part in parts]


def claim_round(book: Book, rows: pl.DataFrame) -> Round:
    """Claim the next rows of each payment of a window; ``rows`` are in line order."""
    rows, unmade = _without_unmade(rows)
    place = pl.int_range(pl.len()).over(KEY)
    turned = (pl.col("kind") != pl.col("kind").first().over(KEY)).cum_max().over(KEY)
    alone = ~acts_on_payment() & (place > 0)
    looked = rows.with_columns_seq(in_run=~turned & ~alone)
    run = looked.filter("in_run").drop("in_run")
    waiting = looked.filter(~pl.col("in_run")).drop("in_run")
    new = _as_asked(run.filter(~acts_on_payment()))
    acts = run.filter(acts_on_payment())
    if acts.is_empty():
        new = _told_if_able(book.place, new)
        return Round(new, acts, pl.concat([waiting, unmade]).sort("id"))
    now = book.judge(acts)
    fate = _fates(book, now)
    calls = pl.concat([new, now.filter(fate == "send")], how="diagonal")
    calls = _told_if_able(book.place, calls)
    held = acts.filter(fate == "wait")
    return Round(calls, now.filter(fate == "refuse"), pl.concat([held, waiting, unmade]).sort("id"))


def taken_over(joined: pl.DataFrame) -> pl.DataFrame:
    """Let rows, beside their payments, that make a payment from an earlier one take from that."""
    if not any(_is_chained(name) for name in distinct(joined["kind"])):
        return joined
    return in_series(joined.with_columns_seq(_taken_over()))


@cache
def _taken_over() -> list[pl.Expr]:
    """Give what a row that makes a payment from an earlier one takes from that."""
    source = {"number_id": "payment_number_id", "brand": "payment_brand"}
    source |= {"expiry": "payment_expiry", "currency": "payment_currency"}
    makes, asked = makes_payment(), pl.when(pl.col("gate_id") > 0).then("gate_id")
    gate = pl.coalesce(asked, "payment_gate_id")
    return [
        *(
            pl.when(makes).then(pl.coalesce(name, its)).otherwise(name).alias(name)
            for name, its in source.items()
        ),
        pl.when(makes).then(gate).otherwise("gate_id").alias("gate_id"),
    ]


def in_series(rows: pl.DataFrame) -> pl.DataFrame:
    """Give rows the scheme's id of the earlier payment, where the merchant starts a later one."""
    if not {"initiator", "scheme_transaction_id"} <= set(rows.columns):
        return rows
    own, is_later = pl.col("scheme_transaction_id"), pl.col("initiator") == "merchant"
    its = pl.when(makes_payment() & is_later).then("payment_scheme_id")
    return rows.with_columns_seq(scheme_transaction_id=pl.coalesce(own, its))


def _is_chained(kind: str | None) -> bool:
    return kind is not None and registry.kinds()[kind].chains


def _without_unmade(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Set the rows apart whose payment another of these rows is yet to make from an earlier one."""
    if not any(_is_chained(name) for name in distinct(rows["kind"])):
        return rows, rows.clear()
    makers = rows.filter(makes_payment() & acts_on_payment())["id"]
    waits = acts_on_payment() & pl.col("payment_id").is_in(makers.implode()).fill_null(value=False)
    return rows.filter(~waits), rows.filter(waits)


def refused_in_line(book: Book, turn: Round, replies: pl.DataFrame) -> pl.DataFrame:
    """Give the refused rows of a round with the reason that they meet in their line.

    They are refused whatever the answers to the rows before them are; which reason stands first
    depends on those answers.
    """
    approved = pl.col("result") == "approved"
    answered = replies.select_seq(
        id="operation",
        is_approved=approved,
        approved_minor=pl.when(approved).then(pl.col("approved_minor")).otherwise(0),
        declined_for=pl.when(pl.col("result") == "declined").then("response"),
    )
    sent = turn.calls.filter(acts_on_payment()).join(answered, on="id", how="inner")
    if sent.is_empty():
        return turn.refused
    none = turn.refused.with_columns_seq(
        is_approved=pl.lit(value=False),
        approved_minor=pl.lit(0, pl.Int64),
        declined_for=pl.lit(None, pl.String),
    )
    rows = in_sequence(pl.concat([sent, none], how="diagonal").sort("id"))
    again = judged(book.place, without(rows, *JUDGED))
    met = again.select_seq("id", met="refusal", met_as="status")
    refused = turn.refused.join(met, on="id", how="left", maintain_order="left")
    return refused.with_columns_seq(
        refusal=pl.coalesce("met", "refusal"), status=pl.coalesce("met_as", "status")
    ).drop("met", "met_as")


@cache
def _closing() -> list[str]:
    """Name the kinds of which a decline may forbid what follows."""
    kinds = registry.kinds().values()
    return [each.name for each in kinds if each.changes and each.changes.state_declined is not None]


def _fates(book: Book, now: pl.DataFrame) -> pl.Series:
    """Decide for each row of the runs: send, refuse, or wait for the answers before it.

    What is refused as the payment stands is refused for good, unless an approval of its kind may
    allow it (``allows_more``). Its reason is told when the answers to the rows before it are known,
    so behind a row that waits it waits too. Where a decline may forbid what follows, one row of a
    payment is sent at a time.
    """
    fits = pl.col("refusal").is_null()
    taken = now.with_columns_seq(
        is_approved=fits,
        approved_minor=pl.when(fits).then(pl.col("amount_minor")).otherwise(0),
        declined_for=pl.lit(None, pl.String),
    )
    ahead = in_sequence(taken)
    names = changes_of(frozenset(distinct(now["act"]))).names
    is_first = pl.Series([True]).new_from_index(0, now.height)
    for name in names:
        is_first &= ahead[name] == now[name]
    again = judged(book.place, without(ahead, *JUDGED))
    same = again["amount_minor"].eq_missing(now["amount_minor"]) & (again["act"] == now["act"])
    if "closed_minor" in now.columns:  # what the processor is asked for
        same &= again["closed_minor"].eq_missing(now["closed_minor"])
    still = again["refusal"].is_null() & same
    opening = [kind.name for kind in registry.kinds().values() if kind.allows_more]
    is_later = pl.int_range(pl.len()).over(KEY) > 0
    frame = now.select_seq(
        *KEY,
        fits=fits,
        still=pl.lit(still),
        first=pl.lit(is_first),
        hopes=pl.col("act").is_in(opening) & is_later,
        fears=pl.col("act").is_in(_closing()) & is_later,
    )
    waits = pl.col("fits") & ~pl.col("still") & ~pl.col("first")
    hopes, fears = ~pl.col("fits") & pl.col("hopes"), pl.col("fits") & pl.col("fears")
    stopped = (waits | hopes | fears).cum_max().over(KEY)
    return frame.select_seq(
        pl.when(stopped)
        .then(pl.lit("wait"))
        .when(~pl.col("fits"))
        .then(pl.lit("refuse"))
        .otherwise(pl.lit("send"))
    ).to_series()
