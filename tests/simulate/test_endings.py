"""The edges of a batch's life: receive, cancel and its end, cut off at every boundary.

Here nobody takes up the batch by its name: a worker comes and sweeps, as after any crash. It must
find all that was left: uploads, keys, secrets, rows.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from crash_support import AFTER, BEFORE, CrashError, Fate, content, hand_in, mortal
from paybatch.domain.lifecycle import BATCH_FINAL
from paybatch.flow import batch as batches
from paybatch.flow import control, worker
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake.receive import Request, receive
from paybatch.flow.place import find_place
from paybatch.store.database import DatabaseGoneError

SMALL: dict[str, object] = {"chunk_rows": 5, "stop_chunk_rows": 5, "threads": 1}
EDGE = 8  # boundaries that are tried at each end
Worlds = Callable[[], Any]


def cut_off(world: Any, policy: str, fate: Fate) -> None:
    """Let a process take the file on that meets its fate; then a worker comes."""
    engine = mortal(world.engine(**SMALL), fate)
    with suppress(CrashError, DatabaseGoneError, KeyboardInterrupt):
        hand_in(engine, policy)
    engine.close()
    engine = world.engine(**SMALL)
    if not world.batch_ids()[1:]:  # nothing of it is there: its sender comes again
        world.rewind()
        hand_in(engine, policy)
    worker.take_on_left(engine)
    engine.close()


def undisturbed(worlds: Worlds, policy: str) -> tuple[Any, list[tuple[int, str]]]:
    """Give what is left without a crash, and the boundaries with their numbers."""
    fate, quiet = Fate(), worlds()
    quiet.rewind()
    hand_in(mortal(quiet.engine(**SMALL), fate), policy)
    return quiet.left(2), list(enumerate(fate.names, start=1))


@pytest.mark.parametrize("policy", ["valid-rows", "stop-after=2", "all-or-none"])
def test_a_worker_finds_all_that_a_crash_leaves(worlds: Worlds, policy: str) -> None:
    wanted, boundaries = undisturbed(worlds, policy)
    edges = [*boundaries[:EDGE], *boundaries[-EDGE:]]
    for crash_at, name in [each for each in edges if each[1] != BEFORE]:
        world = worlds()
        cut_off(world, policy, Fate(crash_at))
        assert world.left(2) == wanted, (crash_at, name)
        world.end()


def test_a_lost_answer_to_a_commit_changes_nothing(worlds: Worlds) -> None:
    """The process lives on and tidies up, as it thinks; the commit stands."""
    wanted, boundaries = undisturbed(worlds, "valid-rows")
    commits = [crash_at for crash_at, name in boundaries if name == AFTER]
    for number, crash_at in enumerate([*commits[:4], *commits[4::3]]):
        error = DatabaseGoneError("lost") if number % 2 else KeyboardInterrupt()
        world = worlds()
        cut_off(world, "valid-rows", Fate(crash_at, error))
        assert world.left(2) == wanted, (crash_at, error)
        world.end()


def received(engine: Engine) -> int:
    return receive(engine, find_place(engine, "local"), content(), Request(file_name="x.csv"))


def half_read(engine: Engine) -> int:
    """Give a batch whose reader was killed after its first block."""

    def die(_: int) -> None:
        raise CrashError

    batch_id = received(engine)
    with suppress(CrashError):
        batches.go_on(engine, batch_id, batches.Listener(accepted=die))
    assert load_batch(engine, batch_id).state == "checking"
    return batch_id


def ready(engine: Engine) -> int:
    batch_id = received(engine)
    batches._accepted(engine, batch_id, find_place(engine, "local"), batches.Listener())
    return batch_id


def paused(engine: Engine) -> int:
    batch_id = ready(engine)
    batches.approve(engine, load_batch(engine, batch_id))
    control.pause(engine, load_batch(engine, batch_id), "test")
    return batch_id


def cancel(world: Any, stand: Callable[[Engine], int], fate: Fate) -> None:
    """Let a process that meets its fate cancel a batch; then a worker comes.

    Where not even the wish was stored, its person comes again.
    """
    world.rewind()
    engine = world.engine(**SMALL)
    batch_id = stand(engine)
    before = load_batch(engine, batch_id)
    with suppress(CrashError):
        control.cancel(mortal(engine, fate), before, "test")
    engine = world.engine(**SMALL)
    batch = load_batch(engine, batch_id)
    if batch.state == before.state:
        control.cancel(engine, batch, "test")
    worker.take_on_left(engine)
    assert load_batch(engine, batch_id).state in BATCH_FINAL
    engine.close()


@pytest.mark.parametrize("stand", [received, half_read, ready, paused])
def test_a_cancelling_that_is_cut_off_is_finished(
    worlds: Worlds, stand: Callable[[Engine], int]
) -> None:
    quiet, fate = worlds(), Fate()
    cancel(quiet, stand, fate)
    wanted = quiet.left(2)
    assert wanted["batch"][1][1] == "cancelled"
    assert (wanted["secret_block"], wanted["uploads"]) == ([], [])
    assert {row[2] for row in wanted["outcome"] if row[1] >> 30 == 2} <= {
        *("cancelled", "rejected", "replayed"),
    }
    for crash_at, name in enumerate(fate.names, start=1):
        if name != BEFORE or crash_at == 1:
            world = worlds()
            cancel(world, stand, Fate(crash_at))
            assert world.left(2) == wanted, (crash_at, name)
            world.end()
