"""Plan: what a run does, all of it drawn from its seed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Every fault of the sandbox, and how often a request meets it while there is chaos.
RATES = {
    "timeout_before": 0.003,
    "timeout_after": 0.003,
    "drop_before": 0.01,
    "drop_after": 0.01,
    "error_500": 0.01,
    "error_502": 0.01,
    "busy": 0.003,
    "malformed": 0.01,
    "duplicate": 0.01,
    "late": 0.005,
    "stuck": 0.005,
    "pending": 0.01,
    "refuse": 0.0005,
}
HARMS = (
    "kill worker",
    "stop worker",
    "kill sandbox",
    "kill database",
    "tell faults",
    "kill caller",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run does. Times are short, so that much happens in little time.

    Attributes:
        seed: What everything is drawn from.
        files: How many files are handed in, all at once.
        rows: How many rows each has.
        chunk_rows: How many rows stand in a chunk.
        claim_rows: How many rows are claimed at once.
        calls: How many single calls are made beside them.
        workers: How many processes work.
        rates: How often a request meets each fault.
        harms: What is killed or stopped.
        harm_seconds: The mean time between two of them.
        harms_max: On a slow machine so many in a run, for something must be done in between.
        seconds_max: After this long there is no more harm, and what is left is let settle.
        stands_seconds_max: Then, when nothing becomes known for so long, nothing will any more.
        ambushes: What happens at the worst place; see ``ambush``.
        mutant: How the workers' engine is broken on purpose; none = it is as it is.
        has_keys: The processor looks at idempotency keys; without, it must be asked first.
        has_parts: Some rows allow no part, and what the processor approved of them is reversed.
        timeout_seconds: How long the connector waits for an answer.
        latency_ms: How long the processor takes, up to four times as long now and then.
        lease_seconds: How long a worker that gives no sign may keep a chunk, beside time-outs.
    """

    seed: int
    files: int = 8
    rows: int = 500
    chunk_rows: int = 200
    claim_rows: int = 100
    calls: int = 0
    workers: int = 4
    rates: dict[str, float] = field(default_factory=lambda: dict(RATES))
    harms: tuple[str, ...] = HARMS
    harm_seconds: float = 1.5
    harms_max: int = 50
    seconds_max: float = 300.0
    stands_seconds_max: float = 120.0
    ambushes: tuple[str, ...] = ()
    mutant: str = ""
    has_keys: bool = True
    has_parts: bool = False
    timeout_seconds: float = 1.5
    latency_ms: float = 5.0
    lease_seconds: float = 1.0


_WITHOUT_KEYS = 3  # one run in four is with a processor that takes no idempotency keys


def short(seed: int, **told: Any) -> Plan:
    """Give the plan of the form that is part of ``make test``."""
    usual = {"files": 5, "rows": 400, "calls": 150, "seconds_max": 900.0}
    usual |= {"has_parts": True, "harm_seconds": 1.5}
    return Plan(seed=seed, **{**usual, **told})


def long(seed: int, **told: Any) -> Plan:
    """Give the plan of a run of the long form: more of everything."""
    usual = {"files": 20, "rows": 2_500, "chunk_rows": 500, "seconds_max": 3600.0}
    usual |= {"calls": 1_500, "has_parts": True, "harm_seconds": 6.0, "claim_rows": 400}
    usual |= {"harms_max": 200}
    if seed % 4 == _WITHOUT_KEYS:  # there a call that is late must not be taken for absent
        usual |= {"has_keys": False, "timeout_seconds": 3.0}
    return Plan(seed=seed, **{**usual, **told})


# What each broken engine breaks on; see ``mutants``. Of the last the processor's faults are enough.
_BREAKS_ON = {
    "no fence": ("stand still",),
    "outside the transaction": ("die",),
    "new key": (),
    "": ("stand still", "die"),
}
_LOST = {"drop_after": 0.05, "timeout_after": 0.02, "late": 0.02, "error_500": 0.05}


def broken(seed: int, mutant: str = "", **told: Any) -> Plan:
    """Give the plan of a run in which the engine is broken on purpose; without: as it is."""
    usual = {"files": 2, "rows": 120, "workers": 3, "chunk_rows": 40, "harms": (), "rates": _LOST}
    usual |= {"ambushes": _BREAKS_ON[mutant], "mutant": mutant}
    usual |= {"stands_seconds_max": 10.0} if mutant else {}
    return Plan(seed=seed, **{**usual, **told})


FORMS: dict[str, Callable[..., Plan]] = {"short": short, "long": long, "broken": broken}
