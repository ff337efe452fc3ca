"""A model of a processor outside, with books of its own and faults by command or by amount."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.connector import OPTIONAL, REPLY_SCHEMA, Connector
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import find_place
from paybatch.store.batches import Batch

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
CARD = "4111111111111111,12/39"
REQUEST = Request(file_name="out.csv", dialect="native", again=True)
INLINE = registry.connectors()["sandbox"]
SALE = {"kind": "sale", "currency": "USD", "card_number": "4111111111111111"}
SALE |= {"card_expiry": "12/39"}
LOST, LOST_BEFORE, NOT_TAKEN = 701, 702, 703  # amounts that trigger faults


@dataclass
class Model:
    """A processor: an effect for each key.

    Attributes:
        loses: The effect is there, the answer is not.
        is_deaf: It answers no look-up.
        is_busy: It takes nothing for the moment.
        retry_after_seconds: What it says then.
        busy_after: It is busy when it has done so many calls.
    """

    replies: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    sends: list[int] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    loses: bool = False
    is_deaf: bool = False
    is_busy: bool = False
    busy_after: int | None = None
    retry_after_seconds: int | None = None

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Answer each call."""
        self.sends.append(calls.height)
        for call in calls.iter_rows(named=True):
            self.calls.append(call["key"])
            if self.is_busy or (self.busy_after is not None and self.done >= self.busy_after):
                yield self._told(call, "failed", "not_taken")
            elif self.loses:
                self._done(call, calls.schema)
                yield self._told(call, "unknown", "no_answer")
            else:
                yield self._done(call, calls.schema)

    @property
    def done(self) -> int:
        """How many effects there are."""
        return len(self.replies)

    def _done(self, call: dict[str, Any], schema: pl.Schema) -> pl.DataFrame:
        if call["key"] not in self.replies:
            (reply,) = INLINE.send(pl.DataFrame([call], schema=schema))
            self.replies[call["key"]] = reply.row(0, named=True)
        row = {**self.replies[call["key"]], "operation": call["operation"]}
        return pl.DataFrame([row], schema=REPLY_SCHEMA)

    def look_up(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Tell what became of keys."""
        for call in calls.iter_rows(named=True):
            self.looks.append(call["key"])
            if self.is_deaf:
                yield self._told(call, "unknown", "no_answer")
            elif call["key"] in self.replies:
                yield self._done(call, calls.schema)
            else:
                yield self._told(call, "failed", "not_found")

    def _told(self, call: dict[str, Any], result: str, response: str | None) -> pl.DataFrame:
        schema = pl.Schema({**REPLY_SCHEMA, **OPTIONAL})
        row = dict.fromkeys(schema) | {"operation": call["operation"], "result": result}
        row |= {"approved_minor": 0, "response": response}
        row |= {"retry_after_seconds": self.retry_after_seconds}
        return pl.DataFrame([row], schema=schema)

    def connector(self) -> Connector:
        """Give the sandbox as a connector that is really outside, and this model behind it."""
        return replace(INLINE, inline=False, idempotent=True, send=self.send, look_up=self.look_up)


@dataclass
class Processor(Model):
    """A model whose faults are triggered by the amount of a call.

    Attributes:
        effects: The verb and the amount behind each key.
        refusals: How many calls of ``NOT_TAKEN`` it does not take.
        is_mute: It answers nothing at all.
    """

    effects: dict[str, tuple[str, int]] = field(default_factory=dict)
    refusals: int = 2
    is_mute: bool = False

    def send(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Answer each call, but for those whose amount is a fault."""
        for call in calls.iter_rows(named=True):
            self.calls.append(call["key"])
            amount, is_first = call["amount_minor"], self.calls.count(call["key"]) == 1
            if amount == NOT_TAKEN and self.refusals > 0:
                self.refusals -= 1
                yield self._told(call, "failed", "not_taken")
            elif amount == LOST_BEFORE and is_first:
                yield self._told(call, "unknown", None)
            else:
                reply = self._done(call, calls.schema)
                if not self.is_mute and not (amount == LOST and is_first):
                    yield reply  # else the effect is there, the answer is not

    def _done(self, call: dict[str, Any], schema: pl.Schema) -> pl.DataFrame:
        self.effects.setdefault(call["key"], (call["verb"], call["amount_minor"]))
        return super()._done(call, schema)

    def look_up(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Tell what became of keys."""
        self.is_deaf = self.is_mute
        return super().look_up(calls)


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


def clocked(engine: Engine, **settings: object) -> tuple[Engine, Clock]:
    """Give an engine with a clock that is set by hand, and no patience."""
    clock = Clock(engine.clock())
    changed = engine.settings.model_copy(update={"patience_seconds": 0.0, **settings})
    return replace(engine, clock=clock, settings=changed), clock


def hand_in(engine: Engine, rows: str) -> Batch:
    """Hand in a file of rows (``HEADER``) and take it as far as it goes now."""
    place = find_place(engine, "local")
    return batches.run(engine, place, [(HEADER + rows).encode()], REQUEST)


def outcomes(engine: Engine) -> list[tuple[str, str | None, str | None]]:
    """Give state, status and message of every outcome, in order."""
    with engine.database.transaction() as connection:
        query = "SELECT state, status, message FROM outcome ORDER BY id"
        return connection.execute(query).fetchall()
