"""Memory of running processes, sampled from ``smaps_rollup``.

Pss counts a page that several processes share in parts that add up to one. What PostgreSQL's
processes share with each other (``shared_buffers`` above all) is stated apart from what each has
of its own.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PAUSE_SECONDS = 0.1
SERVER_EVERY = 5  # the server's processes are looked at less often: their maps are large
MEGABYTE_IN_KILOBYTES = 1024


@dataclass
class Peaks:
    """The largest values seen, in megabytes."""

    command: float = 0.0
    largest_backend: float = 0.0
    all_backends: float = 0.0
    server_shared: float = 0.0


def _pss(pid: int) -> tuple[float, float]:
    """Give the Pss of a process without and of its shared memory, in megabytes; 0 if gone."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        shared = kilobytes.get("Pss_Shmem", 0)
        own = kilobytes["Pss"] - shared
        return own / MEGABYTE_IN_KILOBYTES, shared / MEGABYTE_IN_KILOBYTES
    return 0.0, 0.0


def _server_pids(postmaster_pid: int | None) -> list[int]:
    with suppress(psutil.Error):
        if postmaster_pid is not None:
            postmaster = psutil.Process(postmaster_pid)
            return [postmaster.pid, *(child.pid for child in postmaster.children())]
    return []


def _look_at_server(peaks: Peaks, postmaster_pid: int | None) -> None:
    found = [_pss(pid) for pid in _server_pids(postmaster_pid)]
    own = [each for each, _ in found]
    peaks.largest_backend = max([peaks.largest_backend, *own])
    peaks.all_backends = max(peaks.all_backends, sum(own))
    peaks.server_shared = max(peaks.server_shared, sum(shared for _, shared in found))


@contextmanager
def watched(pid: int, postmaster_pid: int | None) -> Iterator[Peaks]:
    """Sample a process and the server's processes until the block ends."""
    peaks = Peaks()
    is_over = threading.Event()

    def sample() -> None:
        turn = 0
        while not is_over.wait(PAUSE_SECONDS):
            peaks.command = max(peaks.command, sum(_pss(pid)))
            if turn % SERVER_EVERY == 0:
                _look_at_server(peaks, postmaster_pid)
            turn += 1

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        is_over.set()
        thread.join()
