"""Timings: the engine's waits, cut short in the processes of a run.

A run cannot wait for an hour's look-up. What is changed is how long things take, not what is done.
"""

import os
from dataclasses import replace
from datetime import datetime, timedelta

from paybatch import registry
from paybatch.connectors import sandbox_http
from paybatch.flow import batch, work
from paybatch.flow.calls import outgoing
from paybatch.flow.sending import awaited, flight, landing, outward, passing, recover

LOOKS = 400  # nobody is asked: all that is unknown becomes known
TIMEOUT, LEASE, KEYS = "CHAOS_TIMEOUT_SECONDS", "CHAOS_LEASE_SECONDS", "CHAOS_KEYS"
CLAIM_ROWS = "CHAOS_CLAIM_ROWS"


def hasten() -> None:
    """Cut the waits of this process short, as its environment says."""
    timeout, lease = float(os.environ[TIMEOUT]), float(os.environ[LEASE])

    def deadline(now: datetime, timeout_seconds: float) -> datetime:
        return now + timedelta(seconds=2 * timeout_seconds + lease)

    has_keys = os.environ[KEYS] == "1"
    line = sandbox_http._LINE  # noqa: SLF001 - a connector has no other place for it
    line.timeout_seconds = timeout
    registry.connectors()["sandbox_http"] = replace(
        sandbox_http.CONNECTOR,
        timeout_seconds=timeout,
        claim_rows=int(os.environ[CLAIM_ROWS]),
        idempotent=has_keys,
    )
    for module in (landing, flight, work, outgoing):
        module.deadline = deadline  # type: ignore[attr-defined]  # where it was imported to
    outward.TRIES_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5)
    passing.OPEN_SECONDS, passing.OPEN_SECONDS_MAX, passing.PROBE_SECONDS = 0.5, 2.0, 3
    passing.METERED_SECONDS = 3.0
    for module in (landing, awaited, recover):
        module.FIRST_LOOK = timedelta(seconds=0.3)  # type: ignore[attr-defined]  # as above
    recover.WAITS_SECONDS = (0.3, 0.5, *(1,) * LOOKS)
    recover.GUARD = timedelta(seconds=4 * timeout)
    batch.OTHERS_SECONDS = 0.05
