"""Group: calls that are settled together, from their lines to their answers, in one transaction."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from paybatch.domain.few import nulls
from paybatch.flow import phases
from paybatch.flow.calls.waiting import Answer, PaymentKey
from paybatch.flow.engine import Engine
from paybatch.flow.intake.shaping import Origin, rejected, replayed
from paybatch.flow.place import Place, refreshed
from paybatch.flow.working import details, filters, gates
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import Book, acts_on_payment
from paybatch.flow.working.enrolling import wallets_of
from paybatch.flow.working.rounds import Sender, in_rounds, locked
from paybatch.flow.working.settle import Settled, store
from paybatch.flow.working.subjects import stored_subjects
from paybatch.store import operations, payments
from paybatch.store.database import Connection, Row
from paybatch.store.operations import CLAIMED
from paybatch.store.public_ids import Shape

_KEPT = (
    *("state", "reason", "message", "status", "approved_minor", "response", "processor_code"),
    *(
        "processor_text",
        "approval_code",
        "avs_result",
        "cvv_result",
        "scheme_transaction_id",
        "first",
        "first_state",
    ),
)


@dataclass(frozen=True)
class Group:
    """Calls that are settled together; ``rows`` are as `shaping.shaped` gives them."""

    engine: Engine
    place: Place
    origin: Origin
    rows: pl.DataFrame

    def settle(self, connection: Connection[Row], *, waits: bool) -> list[Answer | PaymentKey]:
        """Store the calls with what became of them, and give their answers in order.

        A call whose payment somebody else holds is not stored, and gets the payment's key; if the
        group ``waits`` there is none. Payments are locked before idempotency keys are taken: so
        nobody waits for a key of somebody who waits.
        """
        rows = self.rows
        good = rows if rows["accepted"].all() else rows.filter("accepted")
        acts = stored_subjects(connection, self.place, good)
        taken, held = _locked(connection, acts, waits=waits)
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
                store(self.engine, connection, done)
            settled += done
        answers = self._answers([*refused, *(each.outcomes for each in settled)])
        return [held[each] if each in held else answers[each] for each in self.rows["id"]]

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
        listed = filters.kinds_of_lists(connection)
        looked = {name for what, name in filters.DETAILS.items() if what in listed}
        claim = _detailed(self.place, rows, looked)
        sender = Sender(self.engine, self.place)
        # Calls of one group may act on the same payment.
        is_ordered = claim["payment_id"].count() > 1
        looked_up = partial(filters.filtered, connection, whats=listed) if listed else None
        wallets = wallets_of(claim, connection)
        book = Book(self.place, taken, filtered=looked_up, wallets=wallets)
        now = self.engine.clock()
        return in_rounds(book, claim, sender.send, now, is_ordered=is_ordered)

    def _answers(self, outcomes: list[pl.DataFrame]) -> dict[int, Answer]:
        """Give the answers by the ids of their operations."""
        rows = [row for each in outcomes for row in each.iter_rows(named=True)]
        names = [
            self.engine.public_ids.encode(
                pl.Series([row[column] for row in rows], dtype=pl.Int64), noun, Shape.NATIVE
            )
            for column, noun in (("id", "op"), ("payment_id", "pay"))
        ]
        return {
            row["id"]: {
                **{name: row.get(name) for name in _KEPT},
                "operation": operation,
                "payment": payment,
            }
            for row, operation, payment in zip(rows, *names, strict=True)
        }


def _detailed(
    place: Place, rows: pl.DataFrame, more: AbstractSet[str] = frozenset()
) -> pl.DataFrame:
    """Give rows as a claim takes them, with their CVVs and the details that are wanted of them."""
    wanted = details.wanted(place, rows) | more
    absent = nulls(wanted - set(rows.columns), pl.String(), rows.height)
    claim = rows.hstack([*absent, rows["card_cvv"].alias("cvv")])
    claim = claim[[*CLAIMED, *wanted, "cvv", "payment"]]
    return details.read(claim, wanted)


def _locked(
    connection: Connection[Row], acts: pl.DataFrame, *, waits: bool
) -> tuple[pl.DataFrame, dict[int, PaymentKey]]:
    """Lock the payments that calls act on.

    Gives the payments, and the operations whose payment somebody else holds, with its key.
    """
    if waits or not acts["payment_id"].count():
        return locked(connection, acts), {}
    named = acts.filter(acts_on_payment() & pl.col("payment_id").is_not_null())
    keys = named.select_seq(KEY).unique().sort(KEY)
    taken, held = payments.lock_free_payments(connection, keys)
    subjects = {each: (merchant, payment) for each, merchant, payment in named[["id", *KEY]].rows()}
    return taken, {each: key for each, key in subjects.items() if key in held}
