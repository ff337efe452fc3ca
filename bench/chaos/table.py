"""Table: what was injected and survived, as bench/CHAOS.md."""

from collections import Counter
from pathlib import Path

from bench.chaos.judge import Verdict
from bench.chaos.run import Ran

PAGE = Path(__file__).parents[1] / "CHAOS.md"
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
authorizations, captures, voids and refunds in chains, and lets the below happen at random moments
of its seed. At the end the processor's books are held against our operations and payments, the laws
of the ledger, the tallies, the order of lines on each payment, and the result files line by line.
`make chaos CHAOS_SEED=n` repeats a run: the same files and draws of harm, though not the same
interleaving of processes.

**{verdict}**; wrong: {wrong}. {runs} runs, seeds {seeds}, {minutes:.0f} minutes.
"""


def write(ran: list[Ran], total: Verdict) -> None:
    """Write the page."""
    faults, harms = Counter[str](), Counter[str]()
    for each in ran:
        faults += each.faults
        harms += each.harms
    top = _TOP.format(
        workers=ran[0].plan.workers,
        verdict=total,
        wrong=", ".join(f"{name} {count}" for name, count in total.faults.items()) or "nothing",
        runs=len(ran),
        seeds=f"{ran[0].plan.seed} to {ran[-1].plan.seed}",
        minutes=sum(each.seconds for each in ran) / 60,
    )
    parts = [
        top,
        *_rows("what the processor did wrong", _FAULTS, faults),
        "",
        *_rows("what was killed or stopped", _HARMS, harms),
        "",
    ]
    PAGE.write_text("\n".join(parts))


def _rows(title: str, words: dict[str, str], counted: Counter[str]) -> list[str]:
    head = [f"| {title} | | times |", "| --- | --- | ---: |"]
    return head + [f"| {name} | {what} | {counted[name]:,} |" for name, what in words.items()]
