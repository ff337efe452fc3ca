"""Mutants: the engine broken on purpose, in a worker's process only. The judge must see each."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import polars as pl

from paybatch.flow.sending import landing, recover
from paybatch.flow.sending.flight import Flight
from paybatch.flow.working.sender import Sender
from paybatch.flow.working.settle import Settled

MUTANT = "CHAOS_MUTANT"
_BETWEEN_SECONDS = 0.05


def break_engine(mutant: str) -> None:
    """Break the engine of this process; without a name it stays whole."""
    if mutant:
        MUTANTS[mutant]()


def instead(of: Any, name: str, new: Callable[..., Any]) -> None:
    """Put something else in the place of what is there.

    Raises:
        AttributeError: Nothing is there by this name, so nothing would be broken.
    """
    getattr(of, name)
    setattr(of, name, new)


def _without_fence() -> None:
    """A worker does not ask whether the chunk is still its own."""
    instead(Flight, "_hold", lambda *_args, **_kwargs: None)


def _new_key() -> None:
    """What is unknown is sent again, as a call of its own."""

    def asked(engine: Any, place: Any, _taken: Any, calls: pl.DataFrame) -> pl.DataFrame:
        again = calls.with_columns_seq(key=pl.concat_str(pl.col("key").str.head(-1), pl.lit("2")))
        replies = pl.concat(list(Sender(engine, place).outward(again)), how="diagonal")
        not_taken = pl.col("response").eq_missing("not_taken")
        unknown = pl.when(not_taken).then(pl.lit("unknown")).otherwise("result")
        return replies.with_columns_seq(result=unknown)

    instead(recover, "asked_of", asked)


def _outside_transaction() -> None:
    """Outcomes are stored first, and what they change in a transaction of its own behind that."""
    store, none = landing.store, pl.DataFrame()

    def stored(engine: Any, connection: Any, settled: list[Settled]) -> None:
        for each in settled:
            store(engine, connection, [Settled(each.outcomes, none, none, none, none)])
        connection.commit()
        time.sleep(_BETWEEN_SECONDS)
        store(engine, connection, [replace(each, outcomes=none) for each in settled])

    instead(landing, "store", stored)


MUTANTS: dict[str, Callable[[], None]] = {
    "no fence": _without_fence,
    "new key": _new_key,
    "outside the transaction": _outside_transaction,
}
