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
_REST = 100  # one in so many rows may be left when the harm ends


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
        faults = +town.processor.injected
        return Ran(plan, verdict, faults, town.harms, town.errors(), time.monotonic() - started)


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
    while time.monotonic() < until and not town.asked(lambda: _is_nearly_done(town)):
        harm.turn()
        town.tend()
        time.sleep(_TURN_SECONDS)
    harm.end()


def _is_nearly_done(town: Town) -> bool:
    """Tell whether so little is left that harm would only make it last."""
    plan = town.plan
    query = "SELECT count(*) FROM outcome"
    with town.engine.database.transaction() as connection:
        row = connection.execute(query).fetchone()
    left = plan.files * plan.rows + plan.calls - (int(row[0]) if row else 0)
    return left <= plan.files * plan.rows / _REST


def _is_done(town: Town) -> bool:
    return town.calls_are_done() and not town.asked(lambda: _open(town))


def _open(town: Town) -> list[int]:
    with town.engine.database.transaction() as connection:
        rows = connection.execute("SELECT id, state FROM batch").fetchall()
    return [row[0] for row in rows if row[1] not in BATCH_FINAL]


def _settle(town: Town, files: list[int]) -> None:
    """Let everything come to rest: nothing fails any more, and what is unknown is asked about."""
    town.tend()
    town.processor.calm()
    until = time.monotonic() + town.plan.settle_seconds_max
    while time.monotonic() < until and not _is_done(town):
        town.tend()
        time.sleep(_TURN_SECONDS)
    town.end_processes()
    while time.monotonic() < until and (_unknown(town) or _open(town)):
        recover(town.engine)
        for batch_id in files:
            batches.go_on(town.engine, batch_id)
        time.sleep(_TURN_SECONDS)


def _unknown(town: Town) -> int:
    query = """
        SELECT count(*) FROM attempt AS a WHERE state IN ('sending', 'unknown') AND NOT EXISTS (
            SELECT 1 FROM outcome AS u WHERE u.merchant_id = a.merchant_id AND u.id = a.operation_id
        )
    """
    with town.engine.database.transaction() as connection:
        row = connection.execute(query).fetchone()
    return int(row[0]) if row else 0
