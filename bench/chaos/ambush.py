"""Ambush: harm at the worst place, so that one that matters needs no luck.

Kills at random moments find a gap of milliseconds only now and then. Here a worker meets its end,
or stands still, exactly where a broken engine would do harm by it; a whole one must not mind.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from paybatch.flow.engine import Engine
from paybatch.flow.sending import landing
from paybatch.flow.sending.flight import Flight

AMBUSH = "CHAOS_AMBUSH"  # which of them, and the folder that counts how often
TIMES_MAX = 4  # of each in a run
_CHANCE = 0.3
_POLL_SECONDS, _STANDS_SECONDS_MAX = 0.2, 30.0
_SETTLED = "SELECT count(*) FROM outcome WHERE id = ANY(%s)"


def lie_in_wait() -> None:
    """Prepare the ambushes of this process, as its environment says."""
    names, folder = json.loads(os.environ.get(AMBUSH) or '[[], ""]')
    for name in names:
        AMBUSHES[name](Path(folder))


def _is_due(folder: Path, name: str) -> bool:
    """Tell whether it strikes now; all processes together strike so often at most."""
    if random.random() >= _CHANCE:
        return False
    for number in range(TIMES_MAX):
        try:
            (folder / f"{name}.{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        return True
    return False


def _stand_still(folder: Path) -> None:
    """Replies are there, and their worker stands still until others have settled the calls."""
    land = Flight._land  # noqa: SLF001 - between the replies and their transaction

    def landed(flight: Flight, replies: pl.DataFrame) -> int:
        if not replies.is_empty() and _is_due(folder, "stand still"):
            _await_others(flight.work.engine, replies["operation"].to_list())
        return land(flight, replies)

    Flight._land = landed  # type: ignore[method-assign]  # noqa: SLF001


def _await_others(engine: Engine, ids: list[int]) -> None:
    until = time.monotonic() + _STANDS_SECONDS_MAX
    while time.monotonic() < until:
        with engine.database.transaction() as connection:
            row = connection.execute(_SETTLED, (ids,)).fetchone()
        if row is not None and row[0] == len(ids):
            return
        time.sleep(_POLL_SECONDS)


def _die(folder: Path) -> None:
    """A worker is killed when a part of what it settles may be stored, and the rest is not."""
    store = landing.store

    def stored(*told: Any) -> None:
        if _is_due(folder, "die"):
            os.kill(os.getpid(), signal.SIGKILL)
        store(*told)

    landing.store = stored


AMBUSHES: dict[str, Callable[[Path], None]] = {"stand still": _stand_still, "die": _die}
