"""Asked close: what processors are told of a close of day, and what they answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from paybatch import registry
from paybatch.domain.effects import CloseDay, Expand
from paybatch.domain.few import joined
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.sending.outward import Outward
from paybatch.flow.sending.recover import asked_of
from paybatch.flow.working.closing import NO_MEANS
from paybatch.flow.working.replies import OUTSIDE
from paybatch.store import attempts
from paybatch.store.closings import Call, Closing, Taken
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate

SEND_PATIENCE_SECONDS = 5.0  # then a processor that takes nothing is asked later


@dataclass(frozen=True)
class Room:
    """A close that was taken on, and where it is worked."""

    engine: Engine
    place: Place
    taken: Taken

    def gates(self, closing: Closing) -> list[Gate]:
        """Give the gates that are closed."""
        return [self.place.gate(each) for each in closing.gate_ids]

    def row(self, connection: Connection[Row]) -> pl.DataFrame:
        """Read the operation."""
        keys = {"merchant_id": [self.taken.merchant_id], "id": [self.taken.operation_id]}
        return attempts.claim_ids(connection, pl.DataFrame(keys))


NO_REPLIES = pl.DataFrame(schema=OUTSIDE).drop("retry_after_seconds")


def effect_of(kind: str) -> CloseDay:
    """Give the close that a kind asks for, itself or behind what it makes."""
    effect = registry.kinds()[kind].gate_effect
    closes = effect.closes if isinstance(effect, Expand) else effect
    assert isinstance(closes, CloseDay)
    return closes


def replies_of(
    room: Room, calls: Sequence[Call], since: datetime | None, drain_until: datetime
) -> pl.DataFrame:
    """Ask the processors; ``since`` is when it was known that the calls are ours to send.

    Without it they may have been sent before (after the drain), and are looked up like lost ones.
    """
    with room.engine.database.transaction() as connection:
        kind = room.row(connection)["kind"][0]
    table = _table(room, calls, kind)
    if since is None:
        tries = table.select_seq(
            operation_id="operation",
            looks=pl.lit(room.taken.looks - 1),  # the first time it was sent
            created_at=pl.lit(drain_until),
            sent_at=pl.lit(room.taken.sent_at, pl.Datetime("us", "UTC")),
        )
        return asked_of(room.engine, room.place, tries, table)
    patience = SEND_PATIENCE_SECONDS
    out = Outward(room.engine, room.place, since, is_single=True, patience_seconds=patience)
    return joined([NO_REPLIES, *out.send(table)])


def _table(room: Room, calls: Sequence[Call], kind: str) -> pl.DataFrame:
    """Give calls as connectors take them; the operation of each is its number."""
    rows = [
        {
            "operation": each.number,
            "id": each.number,
            "merchant_id": room.taken.merchant_id,
            "gate_id": each.gate_id,
            "act": kind,
            "key": each.key,
            "verb": effect_of(kind).verb.value,
            "amount_minor": each.sale_minor,
            "currency": each.currency,
            "sale_count": each.sale_count,
            "refund_count": each.refund_count,
            "refund_minor": each.refund_minor,
        }
        for each in calls
    ]
    wants = {name for each in calls for name in room.place.connector(each.gate_id).wants}
    absent = {**NO_MEANS, **dict.fromkeys((*wants, "number_id"), pl.String())}
    table = pl.DataFrame(rows).cast({"gate_id": pl.Int32(), "merchant_id": pl.Int32()})
    return table.with_columns_seq(pl.lit(None, kind).alias(name) for name, kind in absent.items())
