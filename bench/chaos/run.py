"""Run: one run from its seed to its verdict."""

import time
from collections import Counter
from dataclasses import dataclass

from bench.chaos.harm import Harm
from bench.chaos.judge import Verdict, judged
from bench.chaos.plan import Plan
from bench.chaos.rows import file_lines
from bench.chaos.town import Town, opened_town
from paybatch.domain.lifecycle import BATCH_FINAL
from paybatch.flow import batch as batches
from paybatch.flow.intake.receive import Request, receive
from paybatch.flow.jobs import defer_work
from paybatch.flow.place import find_place
from paybatch.flow.sending.recover import recover

_TURN_SECONDS = 0.1
_NEARLY = 0.99  # of the work: harm to the rest would only make it last


@dataclass(frozen=True)
class Ran:
    """What a run came to, what was injected and done to it, and how long it took."""

    plan: Plan
    verdict: Verdict
    faults: Counter[str]
    harms: Counter[str]
    errors: Counter[str]
    seconds: float


def run(plan: Plan) -> Ran:
    """Live through a run."""
    started = time.monotonic()
    with opened_town(plan) as town:
        files = _handed_in(town)
        town.begin()
        _chaos(town)
        _settle(town, list(files))
        verdict = judged(town, files)
        town.processor.count()
        town.count_ambushes()
        faults = +town.processor.injected
        return Ran(plan, verdict, faults, +town.harms, town.errors(), time.monotonic() - started)


def _handed_in(town: Town) -> dict[int, list[str]]:
    """Hand in the files; give their lines by batch."""
    plan, place, files = town.plan, find_place(town.engine, "local"), {}
    for number in range(plan.files):
        lines = file_lines(plan.seed, number, plan.rows, parts=plan.has_parts)
        request = Request(file_name=f"file-{number}.csv", dialect="native")
        batch_id = receive(town.engine, place, ["\n".join(lines).encode()], request)
        files[batch_id] = lines
        with town.engine.database.transaction() as connection:
            defer_work(connection, batch_id)
    return files


def _chaos(town: Town) -> None:
    """Do harm until nearly all work is done, or the time is over."""
    harm, until = Harm(town), time.monotonic() + town.plan.seconds_max
    while time.monotonic() < until and (share := town.asked(lambda: _share(town))) < _NEARLY:
        harm.turn(share)
        town.tend()
        time.sleep(_TURN_SECONDS)
    harm.end()


def _share(town: Town) -> float:
    """Give how much of the work is done."""
    plan = town.plan
    return _count(town, "SELECT count(*) FROM outcome") / (plan.files * plan.rows + plan.calls)


def _count(town: Town, query: str) -> int:
    with town.engine.database.transaction() as connection:
        row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def _is_done(town: Town) -> bool:
    return town.calls_are_done() and not town.asked(lambda: _open(town))


def _open(town: Town) -> list[int]:
    with town.engine.database.transaction() as connection:
        rows = connection.execute("SELECT id, state FROM batch").fetchall()
    return [row[0] for row in rows if row[1] not in BATCH_FINAL]


@dataclass
class _Patience:
    """Waits as long as something becomes known; a slow machine gets the time that it needs."""

    town: Town
    until: float = 0.0
    known: int = -1

    def lasts(self) -> bool:
        """Tell whether to wait on."""
        now = time.monotonic()
        known = self.town.asked(lambda: _count(self.town, _KNOWN))
        if known != self.known:
            self.known, self.until = known, now + self.town.plan.stands_seconds_max
        return now < self.until


def _settle(town: Town, files: list[int]) -> None:
    """Let everything come to rest: nothing fails any more, and what is unknown is asked about."""
    town.tend()
    town.processor.calm()
    patience = _Patience(town)
    while patience.lasts() and not _is_done(town):
        town.tend()
        time.sleep(_TURN_SECONDS)
    town.end_processes()
    patience = _Patience(town)
    while patience.lasts() and (_count(town, _UNKNOWN) or _open(town)):
        recover(town.engine)
        for batch_id in files:
            batches.go_on(town.engine, batch_id)
        time.sleep(_TURN_SECONDS)


_KNOWN = "SELECT count(*) + (SELECT count(*) FROM batch WHERE state = 'completed') FROM outcome"
_UNKNOWN = """
SELECT count(*) FROM attempt AS a WHERE state IN ('sending', 'unknown') AND NOT EXISTS (
    SELECT 1 FROM outcome AS u WHERE u.merchant_id = a.merchant_id AND u.id = a.operation_id
)
"""
