"""Group: calls that are settled together, from their lines to their answers, in one transaction."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from paybatch.domain.few import is_among, nulls, where
from paybatch.flow import phases
from paybatch.flow.calls.outgoing import BegunClose, Outgoing, answers_of, kept, unknown
from paybatch.flow.calls.waiting import Answer, PaymentKey
from paybatch.flow.engine import Engine
from paybatch.flow.intake.shaping import Origin, rejected, replayed
from paybatch.flow.place import Place, refreshed
from paybatch.flow.sending.awaited import awaited_of
from paybatch.flow.working import details, filters, gates
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import Book, actors_of
from paybatch.flow.working.closing_gates import come_again
from paybatch.flow.working.enrolling import wallets_of
from paybatch.flow.working.rounds import as_refused, in_rounds, locked
from paybatch.flow.working.sender import Sender
from paybatch.flow.working.series import with_scheme_ids
from paybatch.flow.working.settle import Settled, refuse, store
from paybatch.flow.working.subjects import stored_subjects
from paybatch.store import facts, operations, payments
from paybatch.store.database import Connection, Row
from paybatch.store.operations import CLAIMED

Told = Answer | PaymentKey | Outgoing | BegunClose


@dataclass(frozen=True)
class Group:
    """Calls that are settled together; ``rows`` are as `shaping.shaped` gives them."""

    engine: Engine
    place: Place
    origin: Origin
    rows: pl.DataFrame

    def settle(self, connection: Connection[Row], *, waits: bool) -> list[Told]:
        """Store the calls with what became of them, and give their answers in order.

        One that leaves the house has no answer yet, and is given as it is to be sent; so is a close
        of day that was begun. A call whose
        payment somebody else holds is not stored, and gets the payment's key; if the group
        ``waits`` there is none, but for calls behind another one on a payment of a gate outside.
        Payments are locked before idempotency keys are taken: so
        nobody waits for a key of somebody who waits.
        """
        rows = self.rows
        good = rows if rows["accepted"].all() else rows.filter("accepted")
        acts = stored_subjects(connection, self.place, good)
        taken, held = _locked(connection, acts, waits=waits)
        if self.place.has_outside:
            held |= _behind_others(acts)
        if held:
            is_free = ~pl.col("id").is_in(list(held))
            rows, acts = rows.filter(is_free), acts.filter(is_free)
        refused = self._refused(connection, rows)
        if refused:
            outcomes = pl.concat(refused, how="diagonal_relaxed")
            is_left = ~pl.col("id").is_in(outcomes["id"].implode())
            rows, acts = rows.with_columns_seq(accepted=is_left), acts.filter(is_left)
            operations.copy_outcomes(connection, outcomes)
        operations.copy_operations(connection, rows)
        settled: list[Settled] = []
        for place, part in enumerate(phases.runs(acts)):
            done = (
                self._behind(connection, part) if place else self._rounds(connection, taken, part)
            )
            if done:
                store(self.engine, connection, [each for each in done if each.awaited.is_empty()])
            settled += done
        awaited = awaited_of(settled)
        out: dict[int, Outgoing] = {}
        answers = answers_of(self.engine, [*refused, *(each.outcomes for each in settled)])
        if not awaited.is_empty():
            out = kept(self.engine, connection, self.place, awaited)
            answers |= {
                call["id"][0]: unknown(self.engine, call) for call in awaited.iter_slices(1)
            }
        closes = where(acts, is_among(acts["kind"], phases.alone()))["id"]
        begun = {each: BegunClose(each) for each in closes if each not in answers}
        found: dict[int, Told] = {**answers, **out, **held, **begun}
        return [found[each] for each in self.rows["id"]]

    def _behind(self, connection: Connection[Row], rows: pl.DataFrame) -> list[Settled]:
        """Take calls through their rounds that stand behind a phase of their group.

        What that changed is read again; the payments are held by this transaction.
        """
        payments.forget_changes(connection)
        group = replace(self, place=refreshed(connection, self.place))
        return group._rounds(connection, locked(connection, rows), rows)  # noqa: SLF001 - its own

    def _refused(self, connection: Connection[Row], rows: pl.DataFrame) -> list[pl.DataFrame]:
        """Give the outcomes of calls that failed a check, or whose key was used before."""
        refused = []
        if not rows["accepted"].all():
            refused.append(rejected(rows, self.origin.now))
        if rows["idempotency_key"].count():
            refused.append(replayed(connection, self.origin, rows))
        return refused

    def _rounds(
        self, connection: Connection[Row], taken: pl.DataFrame, rows: pl.DataFrame
    ) -> list[Settled]:
        """Take calls through claim, send and settle; ``taken`` are the payments they act on."""
        if rows.is_empty():
            return []
        if gates.acts_on_gates(rows):
            return gates.worked(self.engine, connection, self.place, _detailed(self.place, rows))
        standing = facts.standing(connection)
        listed = standing.listed
        looked = {name for what, name in filters.DETAILS.items() if what in listed}
        claim = with_scheme_ids(connection, _detailed(self.place, rows, looked))
        sender = Sender(self.engine, self.place)
        now = self.engine.clock()
        settled: list[Settled] = []
        if standing.closing:
            again = come_again(claim, taken, standing.closing)
            if not again.is_empty():
                settled.append(as_refused(refuse(again, now)))
                claim = claim.join(again.select_seq("id"), on="id", how="anti")
        # Calls of one group may act on the same payment.
        is_ordered = claim["payment_id"].count() > 1
        looked_up = partial(filters.filtered, connection, whats=listed) if listed else None
        wallets = wallets_of(claim, connection)
        book = Book(self.place, taken, filtered=looked_up, wallets=wallets)
        return settled + in_rounds(book, claim, sender.send, now, is_ordered=is_ordered)


def _detailed(
    place: Place, rows: pl.DataFrame, more: AbstractSet[str] = frozenset()
) -> pl.DataFrame:
    """Give rows as a claim takes them, with their CVVs and the details that are wanted of them."""
    wanted = details.wanted(place, rows) | more
    absent = nulls(wanted - set(rows.columns), pl.String(), rows.height)
    claim = rows.hstack([*absent, rows["card_cvv"].alias("cvv")])
    claim = claim[[*CLAIMED, *wanted, "cvv", "payment"]]
    return details.read(claim, wanted)


def _behind_others(acts: pl.DataFrame) -> dict[int, PaymentKey]:
    """Give the operations behind another one on the same payment, with its key.

    What they may do is known when that one was sent, and what it may take is reserved.
    """
    if acts.height <= 1:
        return {}
    named = actors_of(acts).drop_nulls("payment_id")
    behind = named.filter(~pl.struct(KEY).is_first_distinct())
    return {each: (merchant, payment) for each, merchant, payment in behind[["id", *KEY]].rows()}


def _locked(
    connection: Connection[Row], acts: pl.DataFrame, *, waits: bool
) -> tuple[pl.DataFrame, dict[int, PaymentKey]]:
    """Lock the payments that calls act on.

    Gives the payments, and the operations whose payment somebody else holds, with its key.
    """
    if waits or not acts["payment_id"].count():
        return locked(connection, acts), {}
    named = actors_of(acts).drop_nulls("payment_id")
    keys = named.select_seq(KEY).unique().sort(KEY)
    taken, held = payments.lock_free_payments(connection, keys)
    subjects = {each: (merchant, payment) for each, merchant, payment in named[["id", *KEY]].rows()}
    return taken, {each: key for each, key in subjects.items() if key in held}
