"""A crash at every boundary call, in one process: what is left is as if nothing had happened.

Another process takes the batch on.
"""

import random
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest

from crash_support import BEFORE, CARD, CrashError, Fate, hand_in, mortal
from paybatch.flow import batch as batches

Worlds = Callable[[], Any]
BARRIERS = [  # rows that wait for all, between rows on payments of both sides
    "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference,payment,gate",
    f"sale,100,USD,{CARD},200,a,,",
    f"authorize,200,USD,{CARD},123,b,,",
    "capture,50,USD,,,,,b,",
    "blacklist,,,4111111111111111,,,,,",
    f"sale,100,USD,{CARD},200,c,,",
    "capture,20,USD,,,,,b,",
    "close_day,,,,,,,,sandbox",
    "close_day,,,,,,,,sandbox",
    "void,,,,,,,a,",
    "refund,30,,,,,,b,",
    "unblacklist,,,4111111111111111,,,,,",
    f"sale,70,USD,{CARD},301,d,,",
    "close_day,,,,,,,,sandbox",
]


def live(
    world: Any,
    policy: str,
    settings: dict[str, object],
    crashes: Iterable[int],
    source: list[bytes] | None = None,
) -> list[str]:
    """Let one process after the other take the file on; each dies, but for the last.

    Gives the boundaries that the first one reached.
    """
    first: list[str] = []
    for crash_at in [*crashes, 0]:
        fate = Fate(crash_at)
        engine = mortal(world.engine(**settings), fate)
        with suppress(CrashError):
            stored = world.batch_ids()[1:]
            if not stored:
                world.rewind()
                hand_in(engine, policy, source)
            else:
                batches.go_on(engine, stored[0])
        engine.close()
        first = first or fate.names
    return first


@pytest.mark.parametrize("policy", ["valid-rows", "stop-after=2", "all-or-none"])
def test_a_crash_at_every_boundary_changes_nothing(worlds: Worlds, policy: str) -> None:
    """With one thread "before a commit" leaves the same as "after" the one before it."""
    settings: dict[str, object] = {"chunk_rows": 5, "stop_chunk_rows": 5, "threads": 1}
    quiet = worlds()
    names = live(quiet, policy, settings, [])
    wanted = quiet.left(2)
    assert len(names) > 20
    # What the policies have in common is tried in full once.
    step = 1 if policy == "valid-rows" else 3
    for crash_at, name in list(enumerate(names, start=1))[::step]:
        if name != BEFORE or step > 1:
            world = worlds()
            live(world, policy, settings, [crash_at])
            assert world.left(2) == wanted, (crash_at, name)
            world.end()


@pytest.mark.parametrize("policy", ["valid-rows", "all-or-none"])
def test_many_processes_that_die_one_after_the_other(worlds: Worlds, policy: str) -> None:
    """With several threads; each process gets only a little further."""
    settings: dict[str, object] = {"chunk_rows": 2, "threads": 3}
    quiet = worlds()
    live(quiet, policy, settings, [])
    wanted = quiet.left(2)
    for seed in range(3):
        chance = random.Random(seed)
        crashes = [chance.randint(1, 14) for _ in range(chance.randint(3, 9))]
        world = worlds()
        live(world, policy, settings, crashes)
        assert world.left(2) == wanted, f"seed {seed}: {crashes}"
        world.end()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_crash_between_phases_changes_nothing(worlds: Worlds, threads: int) -> None:
    settings: dict[str, object] = {"chunk_rows": 5, "threads": threads}
    source = ["\n".join([*BARRIERS, ""]).encode()]
    quiet = worlds()
    names = live(quiet, "valid-rows", settings, [], source)
    wanted = quiet.left(2)
    assert [row[6:9] for row in wanted["settlement"]] == [(8, 3185, 0), (0, 0, 0), (1, 70, 1)]
    states = [row[2] for row in wanted["outcome"] if row[1] >> 30 == 2]
    assert states.count("rejected") == 2, "the sale of a listed card, the void of a settled one"
    for crash_at, name in list(enumerate(names, start=1))[threads :: 2 + threads]:
        if name != BEFORE or threads > 1:
            world = worlds()
            live(world, "valid-rows", settings, [crash_at, crash_at // 2 + 1], source)
            assert world.left(2) == wanted, (crash_at, name)
            world.end()


MADE = [  # rows that make operations of their own, between rows on the same payments
    "kind,amount_minor,currency,card_number,card_expiry,reference,payment,gate,differences",
    *(
        f"authorize,{amount},USD,{CARD},{name},,,"
        for name, amount in zip("abcde", range(200, 205), strict=True)
    ),
    "capture,50,USD,,,,b,,",
    "capture_all,,,,,,,sandbox,a=150",
    "refund,,,,,,a,,",
    f"authorize,90,USD,{CARD},f,,,",
    "capture_all,,,,,,,sandbox,",
    "capture_all,,,,,,,sandbox,",
    "close_day,,,,,,,sandbox,",
]


@pytest.mark.parametrize("threads", [1, 2])
def test_a_crash_between_what_a_row_makes_changes_nothing(worlds: Worlds, threads: int) -> None:
    settings: dict[str, object] = {"chunk_rows": 4, "threads": threads}
    source = ["\n".join([*MADE, ""]).encode()]
    quiet = worlds()
    names = live(quiet, "valid-rows", settings, [], source)
    wanted = quiet.left(2)
    kinds = [row[1] for row in wanted["operation"] if row[0] >> 29 & 1]
    assert kinds == ["capture"] * 12, "those that the world was born with, five, and one behind"
    states = [row[2] for row in wanted["outcome"] if row[1] >> 30 == 2]
    assert (states.count("approved"), states.count("rejected")) == (23, 1)
    for crash_at, name in list(enumerate(names, start=1))[threads :: 1 + threads]:
        if name != BEFORE or threads > 1:
            world = worlds()
            live(world, "valid-rows", settings, [crash_at, crash_at // 2 + 1], source)
            assert world.left(2) == wanted, (crash_at, name)
            world.end()
