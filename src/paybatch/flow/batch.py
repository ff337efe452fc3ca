"""The way of a batch from a file to its result: the steps in their order."""

from collections.abc import Iterable
from dataclasses import dataclass

from paybatch.domain.lifecycle import BatchState
from paybatch.flow import accept as accepting
from paybatch.flow import receive as receiving
from paybatch.flow import work as working
from paybatch.flow.accept import Advance
from paybatch.flow.engine import Engine, load_batch, move
from paybatch.flow.place import Place, find_place
from paybatch.flow.receive import Request
from paybatch.store.batches import Batch


def _silent(_: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Listener:
    """Who is told how many rows each step did, as they come."""

    accepted: Advance = _silent
    settled: Advance = _silent


def run(
    engine: Engine,
    place: Place,
    source: Iterable[bytes],
    request: Request,
    listener: Listener | None = None,
) -> Batch:
    """Take a file through receive, accept, approve and work; give the batch as it stands then.

    Raises:
        FileRefused: It cannot be read as a whole. Nothing was done.
        SeenBeforeError: The same bytes were handed in before.
    """
    batch_id = receiving.receive(engine, place, source, request)
    move(engine, batch_id, BatchState.CHECKING)
    return go_on(engine, batch_id, listener)


def go_on(engine: Engine, batch_id: int, listener: Listener | None = None) -> Batch:
    """Take a batch on from wherever it stands, as far as it goes now."""
    listener = listener or Listener()
    batch = load_batch(engine, batch_id)
    place = find_place_of(engine, batch)
    if batch.state == BatchState.RECEIVED:
        move(engine, batch_id, BatchState.CHECKING)
        batch = load_batch(engine, batch_id)
    if batch.state == BatchState.CHECKING:
        accepting.accept(engine, batch, place, listener.accepted)
        move(engine, batch_id, BatchState.READY)
        batch = load_batch(engine, batch_id)
    if batch.state == BatchState.READY:
        move(engine, batch_id, BatchState.RUNNING)
        batch = load_batch(engine, batch_id)
    if batch.state == BatchState.RUNNING:
        working.work(engine, batch, place, listener.settled)
        working.finish(engine, batch_id)
    return load_batch(engine, batch_id)


def find_place_of(engine: Engine, batch: Batch) -> Place:
    """Give the place that a batch belongs to, with its own merchant and gate as defaults."""
    place = find_place(engine, batch.sender, batch.merchant)
    return Place(
        place.sender_id,
        place.sender,
        place.merchants,
        place.gates,
        batch.merchant_id,
        batch.gate_id,
    )
