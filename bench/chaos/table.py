"""Table: what was injected and survived, as bench/CHAOS.md; its figures are in bench/chaos.json."""

import json
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.chaos.run import Ran

_BENCH = Path(__file__).parents[1]
PAGE, FIGURES = _BENCH / "CHAOS.md", _BENCH / "chaos.json"
_FAULTS = {
    "timeout_before": "nothing is done, nothing is answered",
    "timeout_after": "it is done, nothing is answered",
    "drop_before": "nothing is done, the connection ends",
    "drop_after": "it is done, the connection ends in mid-answer",
    "error_500": "500, done or not",
    "error_502": "502, done or not",
    "busy": "429 with Retry-After, nothing is done",
    "malformed": "it is done, the answer is cut or names another key",
    "duplicate": "it is done, the answer comes twice",
    "late": "it is done, the answer comes after the time-out",
    "stuck": "it is done late; until then nobody knows of it",
    "pending": "answered as pending, done later",
    "refuse": "connections are refused for a while",
}
_HARMS = {
    "kill worker": "`kill -9` of one of the worker processes",
    "stop worker": "SIGSTOP of a worker, past the deadline of its calls as a rule, then SIGCONT",
    "kill caller": "`kill -9` of the process that makes single calls",
    "kill sandbox": "`kill -9` of the processor; it comes back with its books",
    "kill database": "`kill -9` of PostgreSQL; it recovers",
    "tell faults": "one of the faults above for the next calls, all of them",
}
_TOP = """# Chaos

Made by `make chaos`: rows in, effects out, whatever breaks in between. Each run starts a
PostgreSQL, a processor outside (`paybatch sandbox`) and {workers} workers, hands in files of sales,
authorizations, captures, voids and refunds in chains, makes single calls on the same payments, and
lets the below happen at random moments of its seed. At the end the processor's books are held
against our operations and payments, the laws of the ledger, the tallies, the order of lines on each
payment, and the result files line by line. `make chaos CHAOS_SEED=n` repeats a run: the same files
and draws of harm, though not the same interleaving of processes.

**{operations:,} operations, {effects:,} effects: double {double}, lost {lost}, unknown {unknown},
wrong {wrong}** (wrong is what differs otherwise: amounts, books, order, tallies, results).
"""
_COUNTED = ("operations", "effects", "double", "lost", "unknown", "wrong")
_RUNS = ("seed", *_COUNTED, "minutes", "processor", "day", "tree")
Record = dict[str, Any]


def keep(ran: Ran, *, is_first: bool) -> None:
    """Add a run to the figures, or begin them anew with it, and write the page."""
    records: list[Record] = []
    if not is_first and FIGURES.exists():
        records = json.loads(FIGURES.read_text())
    records.append(_record(ran))
    FIGURES.write_text(json.dumps(records, indent=1) + "\n")
    PAGE.write_text(page(records))


def _record(ran: Ran) -> Record:
    return {
        "seed": ran.plan.seed,
        **{name: getattr(ran.verdict, name) for name in _COUNTED},
        "minutes": round(ran.seconds / 60, 1),
        "processor": "with keys" if ran.plan.has_keys else "without keys",
        "day": datetime.now(UTC).date().isoformat(),
        "tree": _tree(),
        "workers": ran.plan.workers,
        "faults": dict(ran.faults),
        "harms": dict(ran.harms),
    }


def _tree() -> str:
    """Give the commit that runs, with a plus where the code differs from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    return commit + ("+" if _git("status", "--porcelain", "--", "../src", "chaos") else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=_BENCH, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def page(records: list[Record]) -> str:
    """Give the page of some runs."""
    faults, harms = Counter[str](), Counter[str]()
    for each in records:
        faults += Counter(each["faults"])
        harms += Counter(each["harms"])
    sums = {name: sum(each[name] for each in records) for name in _COUNTED}
    parts = [
        _TOP.format(workers=records[0]["workers"], **sums),
        *_rows("what the processor did wrong", _FAULTS, faults),
        "",
        *_rows("what was killed or stopped", _HARMS, harms),
        "",
        "The runs, each with a fresh database and books:",
        "",
        f"| {' | '.join(_RUNS)} |",
        "|" + " ---: |" * len(_RUNS),
        *(f"| {' | '.join(str(each[name]) for name in _RUNS)} |" for each in records),
        "",
    ]
    return "\n".join(parts)


def _rows(title: str, words: dict[str, str], counted: Counter[str]) -> list[str]:
    head = [f"| {title} | | times |", "| --- | --- | ---: |"]
    return head + [f"| {name} | {what} | {counted[name]:,} |" for name, what in words.items()]
