"""A model of a processor outside: by key one effect each, and faults by amount."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.connector import REPLY_SCHEMA

INLINE = registry.connectors()["sandbox"]
LOST, LOST_BEFORE, NOT_TAKEN = 701, 702, 703  # amounts that trigger faults


@dataclass
class Processor:
    """A processor with books of its own: an effect for each key."""

    effects: dict[str, tuple[str, int]] = field(default_factory=dict)
    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    refusals: int = 2
    is_mute: bool = False
    schema: pl.Schema | None = None

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Answer each call, but for those whose amount is a fault."""
        self.schema = calls.schema
        for call in calls.iter_rows(named=True):
            self.calls.append(call["key"])
            amount = call["amount_minor"]
            if amount == NOT_TAKEN and self.refusals > 0:
                self.refusals -= 1
                yield told(call, "failed", 0, "not_taken")
                continue
            if amount == LOST_BEFORE and self.calls.count(call["key"]) == 1:
                yield told(call, "unknown", 0, None)
                continue
            reply = self._done(call)
            if self.is_mute or (amount == LOST and self.calls.count(call["key"]) == 1):
                continue  # the effect is there, the answer is not
            yield reply

    def _done(self, call: dict[str, Any]) -> pl.DataFrame:
        if call["key"] not in self.effects:
            one = pl.DataFrame([call], schema=self.schema)
            (reply,) = INLINE.send(one)
            self.replies[call["key"]] = reply.row(0, named=True)
            self.effects[call["key"]] = (call["verb"], call["amount_minor"])
        return pl.DataFrame([self.replies[call["key"]]], schema=REPLY_SCHEMA)

    def look_up(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Tell what became of keys."""
        self.schema = calls.schema
        for call in calls.iter_rows(named=True):
            self.looks.append(call["key"])
            if self.is_mute:
                yield told(call, "unknown", 0, None)
            elif call["key"] in self.effects:
                yield self._done(call)
            else:
                yield told(call, "failed", 0, "not_found")


def told(call: dict[str, Any], result: str, amount: int, response: str | None) -> pl.DataFrame:
    row = dict.fromkeys(REPLY_SCHEMA) | {"operation": call["operation"], "result": result}
    row |= {"approved_minor": amount, "response": response}
    return pl.DataFrame([row], schema=REPLY_SCHEMA)


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now
