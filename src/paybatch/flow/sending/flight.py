"""Flight: the calls of a chunk are sent, and their replies settled as they come.

No transaction is open while a call is under way. Each group of replies is settled in a transaction
of its own, in which the worker first sees that the chunk is still its own: one that was stopped for
too long finds that another has it, and settles nothing.
"""

import time
from dataclasses import dataclass

import polars as pl

from paybatch.domain.connector import Response, Result
from paybatch.domain.few import distinct
from paybatch.flow.sending.landing import deadline, land, lose, parted
from paybatch.flow.sending.retreat import retreat
from paybatch.flow.tallies import came, left, tally
from paybatch.flow.working.rounds import Work, drop_cvvs
from paybatch.flow.working.sender import Sender
from paybatch.store import chunks, operations
from paybatch.store.chunks import Lease
from paybatch.store.database import Connection, Row

FAULTS = ("rejected", "declined", "failed")
TRIES_SECONDS = (0.1, 0.3, 1.0, 3.0, 5.0)


class LostError(Exception):
    """The chunk is another worker's by now; nothing was settled."""


@dataclass(frozen=True)
class Flight:
    """The calls of a chunk that a worker has under way."""

    work: Work
    lease: Lease
    calls: pl.DataFrame
    has_followers: bool

    def fly(self) -> None:
        """Send the calls and settle what comes back; leave the chunk when nothing is under way.

        Calls that the processor did not take are sent again a few times, with the same keys.

        Raises:
            LostError: Another worker has the chunk.
        """
        sender = Sender(self.work.engine, self.work.place)
        calls, doubts = self.calls, 0
        for number, pause_seconds in enumerate(TRIES_SECONDS):
            if number:
                self._still_hold()  # who asks what became of these calls must find them resting
            again = []
            for replies in sender.outward(calls):
                taken = is_taken(replies)
                again.append(replies.filter(~taken).select_seq(id="operation"))
                doubts += self._land(replies.filter(taken))
            calls = calls.join(pl.concat(again), on="id", how="semi", maintain_order="left")
            if calls.is_empty():
                break
            time.sleep(pause_seconds)
        self._leave(doubts, calls)

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
                tallies.append(came(lost, Result.UNKNOWN.value))
            for each in tallies:
                operations.insert_tallies(connection, self.lease.batch_id, each)
        return lost.height

    def _hold(self, connection: Connection[Row], faults: int = 0) -> None:
        now = self.work.engine.clock()
        until = deadline(now, timeout_seconds(self.work, self.calls))
        if not chunks.hold_chunk(
            connection, self.lease, now, deadline_at=until, fault_count=faults
        ):
            raise LostError

    def _still_hold(self) -> None:
        with self.work.engine.database.transaction() as connection:
            self._hold(connection)

    def _leave(self, doubts: int, untaken: pl.DataFrame) -> None:
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


def is_taken(replies: pl.DataFrame) -> pl.Series:
    """Tell which replies say more than that the processor took nothing for the moment."""
    return replies["response"].ne_missing(Response.NOT_TAKEN.value)


def timeout_seconds(work: Work, calls: pl.DataFrame) -> float:
    """Give how long the slowest of the connectors of these calls waits for an answer."""
    connectors = [work.place.connector(each) for each in distinct(calls["gate_id"])]
    return max(each.timeout_seconds for each in connectors)
