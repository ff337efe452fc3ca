"""Outside: files and calls at a processor in a process of its own, some way off.

The yardstick is the leanest client there is, doing as many calls of the same kind in the same run.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from bench import files
from bench.command import paybatch, result_of, run_file, timed
from bench.figures import Figure
from bench.house import House

GATE = "outside"
GROUP = "processor outside"
IN_FLIGHT = 500
NEAR_MILLISECONDS, FAR_MILLISECONDS = 100, 500
IDEAL = IN_FLIGHT * 1_000 / NEAR_MILLISECONDS
SHARE_TARGET = 0.9
RESUME_SECONDS_TARGET = 10.0
ADDED_MILLISECONDS_TARGET = 8.0
WORKERS = (2, 4)
_PAYBATCH = str(Path(sys.executable).with_name("paybatch"))


@contextmanager
def _sandbox(house: House, latency_ms: int) -> Iterator[str]:
    """Run a sandbox of its own; give its address."""
    command = [_PAYBATCH, "sandbox", "--port", "0", "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(
        [*command, "--home", str(house.folder / f"sandbox-{time.monotonic_ns()}")],
        env=house.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1].rstrip(".")
    finally:
        process.terminate()
        process.wait()


def _gate(house: House, url: str) -> str:
    """Make a gate for a sandbox; give its name."""
    name = f"{GATE}{time.monotonic_ns()}"
    told = ("--connector", "sandbox_http", "--setting", f"url={url}")
    paybatch(house, "gate", "add", "demo", name, *told)
    return name


def outside(house: House) -> Iterator[Figure]:
    """Measure one worker beside the bare client, several workers, a resume, and single calls."""
    rows = house.sizes.outside_rows
    with _sandbox(house, NEAR_MILLISECONDS) as url:
        yield from _one_worker(house, url, rows)
        yield from _resumed(house, url, rows)
        yield from _single_calls(house, url)
    with _sandbox(house, FAR_MILLISECONDS) as url:
        yield from _workers(house, url, rows)


def _bare(house: House, url: str, count: int) -> float:
    settings = {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "bench.outside_client", url, str(count), str(IN_FLIGHT)]
    return float(timed(house, command, settings).answer["calls_per_second"])


def _one_worker(house: House, url: str, rows: int) -> Iterator[Figure]:
    path = house.folder / "outside.csv"
    files.sales(path, rows, house.sizes.cards, _gate(house, url))
    bare = _bare(house, url, rows)
    house.settle()
    rate = rows / run_file(house, path).steps["work"]
    best = min(IDEAL, max(bare, _bare(house, url, rows)))
    where = f"{NEAR_MILLISECONDS} ms away, {IN_FLIGHT} calls in flight"
    yield Figure(GROUP, f"bare client, {where}: calls/s", bare, "1/s")
    yield Figure(GROUP, f"one worker, {where}: operations/s", rate, "1/s")
    yield Figure(GROUP, "one worker to what is possible here", rate / best, "x", SHARE_TARGET)
    _forget(path)


def _workers(house: House, url: str, rows: int) -> Iterator[Figure]:
    """Measure one, two and four processes on one batch."""
    first = 0.0
    for count in (1, *WORKERS):
        path = house.folder / f"outside-{count}.csv"
        files.sales(path, rows, house.sizes.cards, _gate(house, url))
        house.settle()
        others = [_worker(house) for _ in range(count - 1)]
        time.sleep(3 if others else 0)
        try:
            rate = rows / run_file(house, path).steps["work"]
        finally:
            for each in others:
                each.send_signal(signal.SIGTERM)
                each.wait()
        _forget(path)
        name = f"{count} workers, {FAR_MILLISECONDS} ms away: operations/s"
        yield Figure(GROUP, name, rate, "1/s")
        first = first or rate
        if count > 1:
            name = f"{count} workers to {count} times one"
            yield Figure(GROUP, name, rate / first / count, "x", SHARE_TARGET)


def _worker(house: House) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [_PAYBATCH, "worker"],
        env=house.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _resumed(house: House, url: str, rows: int) -> Iterator[Figure]:
    """Measure how soon a batch goes on whose process was killed in the middle."""
    path = house.folder / "killed.csv"
    files.sales(path, rows, house.sizes.cards, _gate(house, url))
    before = _outcomes(house)
    process = subprocess.Popen(
        [_PAYBATCH, "run", str(path), "--again"],
        env=house.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while _outcomes(house) < before + rows // 10:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1)
    settled = _outcomes(house)
    name = str(json.loads(paybatch(house, "batch", "list", "--json").words)[0]["id"])
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        resumed = pool.submit(paybatch, house, "batch", "resume", name)
        while _outcomes(house) == settled and not resumed.done():
            time.sleep(0.02)
        seconds = time.monotonic() - started
        resumed.result()
    target = RESUME_SECONDS_TARGET
    yield Figure(GROUP, "after kill -9, until it goes on", seconds, "s", target, "at most")
    path.unlink()


def _outcomes(house: House) -> int:
    ((count,),) = house.execute("SELECT count(*) FROM outcome")
    return int(str(count))


def _single_calls(house: House, url: str) -> Iterator[Figure]:
    """Measure what a single call takes beside the processor's own time."""
    gate = _gate(house, url)
    settings = {"POLARS_MAX_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-m", "bench.outside_calls", gate, url]
    found = timed(house, command, settings).answer
    yield Figure(GROUP, "the processor's own time: p50", found["own"], "ms")
    target = ADDED_MILLISECONDS_TARGET
    yield Figure(GROUP, "a single call adds: p50", found["added"], "ms", target, "at most")


def _forget(path: Path) -> None:
    path.unlink()
    result_of(path).unlink()
