"""Single calls in one process: one after the other, and thirty-two threads at once.

``python -m bench.calls CALLS AT_ONCE PLAIN_AT_ONCE`` measures in its own process and prints JSON;
``calls`` starts it and gives the figures.
"""

import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.command import timed
from bench.figures import Figure
from bench.house import House
from bench.make_file import card
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import open_engine
from paybatch.flow.place import find_place
from paybatch.settings import Settings

GROUP = "single calls"
AT_ONCE = "32 threads, in groups: operations/s"
PLAIN = "32 threads, each its own commit: operations/s"
WARM_UP = 50
THREADS = 32
CARDS = 1_000
P50_TARGET_MILLISECONDS = 6.0
AT_ONCE_TARGET = 1_500.0


def calls(house: House) -> Iterator[Figure]:
    """Measure single calls in a process of their own."""
    sizes = house.sizes
    house.settle()
    counts = (sizes.calls, sizes.calls_at_once, sizes.plain_calls_at_once)
    command = [sys.executable, "-m", "bench.calls", *map(str, counts)]
    # As the paybatch command does: our threads share the cores, not those of polars.
    settings = {"POLARS_MAX_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    found = timed(house, command, settings).answer
    p50, at_once = P50_TARGET_MILLISECONDS, AT_ONCE_TARGET
    for name in ("new card", "known card"):
        figures = found[name]
        yield Figure(GROUP, f"one at a time, {name}: p50", figures["p50"], "ms", p50, "at most")
        yield Figure(GROUP, f"one at a time, {name}: p99", figures["p99"], "ms")
    yield Figure(GROUP, AT_ONCE, found["at_once"], "1/s", at_once)
    yield Figure(GROUP, PLAIN, found["plain"], "1/s")


def _sale(number: int) -> dict[str, str]:
    return {
        "kind": "sale",
        "amount_minor": str(1_000 + number % 40_000),
        "currency": "USD",
        "card_number": card(number % CARDS),
        "card_expiry": "12/39",
        "reference": f"call-{number}",
    }


def _measure(calls: int, at_once: int, plain: int) -> dict[str, Any]:
    engine = open_engine(Settings())
    place = find_place(engine, "local")
    caller = Caller(engine, place)
    seconds = _timed_calls(caller, WARM_UP + calls)[WARM_UP:]
    found = {
        "new card": _percentiles(seconds),
        "known card": _percentiles(_timed_calls(caller, calls)),
        "at_once": _rate([caller] * THREADS, at_once),
        "plain": _rate([Caller(engine, place) for _ in range(THREADS)], plain),
    }
    engine.close()
    return found


def _percentiles(seconds: list[float]) -> dict[str, float]:
    """Give p50 and p99 in milliseconds."""
    ranked = sorted(seconds)
    return {f"p{part}": ranked[len(ranked) * part // 100] * 1_000 for part in (50, 99)}


def _timed_calls(caller: Caller, count: int) -> list[float]:
    seconds = []
    for number in range(count):
        started = time.monotonic()
        answer = caller.call(_sale(number))
        seconds.append(time.monotonic() - started)
        assert answer["state"] == "approved", answer
    return seconds


def _rate(callers: list[Caller], count: int) -> float:
    """Give the calls per second of threads, each with its caller, after a first round."""
    share = count // len(callers)
    with ThreadPoolExecutor(len(callers)) as pool:
        list(pool.map(_timed_calls, callers, [2] * len(callers)))
        started = time.monotonic()
        list(pool.map(_timed_calls, callers, [share] * len(callers)))
        return share * len(callers) / (time.monotonic() - started)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_measure(*map(int, sys.argv[1:4]))))
