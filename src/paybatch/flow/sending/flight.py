"""Flight: the calls of a chunk are sent, and their replies settled as they come.

No transaction is open while a call is under way. Each group of replies is settled in a transaction
of its own, in which the worker first sees that the chunk is still its own: one that was stopped for
too long finds that another has it, and settles nothing.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl
import structlog

from paybatch.domain.connector import Result
from paybatch.domain.few import distinct
from paybatch.domain.lifecycle import BatchState
from paybatch.flow.sending.broken import broken
from paybatch.flow.sending.landing import deadline, land, lose, parted
from paybatch.flow.sending.outward import Outward
from paybatch.flow.sending.retreat import retreat
from paybatch.flow.tallies import came, left, tally
from paybatch.flow.working.rounds import Work, drop_cvvs
from paybatch.store import batches, chunks, operations
from paybatch.store.breakers import Breaker
from paybatch.store.chunks import Lease
from paybatch.store.database import Connection, Row
from paybatch.store.public_ids import Shape

LOGGED_MAX = 10
_log = structlog.get_logger(__name__)
FAULTS = ("rejected", "declined", "failed")


class LostError(Exception):
    """The chunk is another worker's by now; nothing was settled."""


@dataclass(frozen=True)
class Flight:
    """The calls of a chunk that a worker has under way."""

    work: Work
    lease: Lease
    calls: pl.DataFrame
    has_followers: bool
    since: datetime  # when they were claimed

    def fly(self) -> None:
        """Send the calls and settle what comes back; leave the chunk when nothing is under way.

        What did not go out, because the processor does not answer or the batch was stopped, is
        given back; a processor that does not answer pauses the batch.

        Raises:
            LostError: Another worker has the chunk.
        """
        doubts, taken = 0, set[int]()
        outward = Outward(self.work.engine, self.work.place, self.since, self._goes_on)
        for replies in outward.send(self.calls):
            doubts += self._land(replies)
            taken |= set(replies["operation"])
        untaken = self.calls.filter(~pl.col("id").is_in(list(taken)))
        self._leave(doubts, untaken, outward.breaker)

    def _goes_on(self) -> bool:
        """Keep the chunk while its calls wait; tell whether the batch is still running."""
        with self.work.engine.database.transaction() as connection:
            self._hold(connection)
            return batches.state_of(connection, self.lease.batch_id) == BatchState.RUNNING

    def _land(self, replies: pl.DataFrame) -> int:
        """Settle replies that came together; give how many of them are unknown."""
        if replies.is_empty():
            return 0
        engine, place = self.work.engine, self.work.place
        answered = replies.select_seq(id="operation")
        calls = self.calls.join(answered, on="id", how="semi", maintain_order="left")
        known, lost = parted(calls, replies)
        with engine.database.transaction() as connection:
            is_fault = pl.col("result").is_in(FAULTS) & (
                pl.col("operation") % operations.LINES_MAX < operations.FILE_LINES_MAX
            )
            faults = known.filter(is_fault).height
            self._hold(connection, faults)
            tallies = [left(calls, "sending")]
            if not known.is_empty():
                done = calls.join(lost, on="id", how="anti", maintain_order="left")
                tallies.append(tally(land(engine, connection, place, done, known).counted))
            if not lost.is_empty():
                lose(connection, lost, engine.clock())
                self._tell_lost(lost)
                tallies.append(came(lost, Result.UNKNOWN.value))
            for each in tallies:
                operations.insert_tallies(connection, self.lease.batch_id, each)
        return lost.height

    def _tell_lost(self, lost: pl.DataFrame) -> None:
        """Log the calls of which nobody knows what became of them, the first of them by name."""
        ids = lost["id"].head(LOGGED_MAX)
        names = self.work.engine.public_ids.encode(ids, "op", Shape.NATIVE).to_list()
        _log.warning("unknown", calls=lost.height, operations=names)

    def _hold(self, connection: Connection[Row], faults: int = 0) -> None:
        now = self.work.engine.clock()
        until = deadline(now, timeout_seconds(self.work, self.calls))
        if not chunks.hold_chunk(
            connection, self.lease, now, deadline_at=until, fault_count=faults
        ):
            raise LostError

    def _leave(self, doubts: int, untaken: pl.DataFrame, breaker: Breaker | None) -> None:
        """Let go of the chunk; calls that no processor took are as if they were never claimed."""
        with self.work.engine.database.transaction() as connection:
            self._hold(connection)
            if not untaken.is_empty():
                retreat(connection, self.lease.batch_id, untaken)
            if not doubts and untaken.is_empty():
                drop_cvvs(self.work, connection, self.calls)
            is_open = self.has_followers or not untaken.is_empty()
            # Unknown may also be what was sent before the chunk was taken again.
            is_waiting = doubts or chunks.in_doubt(
                connection, self.lease.batch_id, self.lease.number
            )
            state = "loaded" if is_open else "waiting" if is_waiting else "done"
            chunks.leave_chunk(connection, self.lease, state)
            if breaker is not None and not untaken.is_empty():
                broken(self.work.engine, connection, self.lease.batch_id, breaker)


def timeout_seconds(work: Work, calls: pl.DataFrame) -> float:
    """Give how long the slowest of the connectors of these calls waits for an answer."""
    connectors = [work.place.connector(each) for each in distinct(calls["gate_id"])]
    return max(each.timeout_seconds for each in connectors)
