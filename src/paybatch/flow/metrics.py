"""Metrics: what a worker tells Prometheus, read when it asks.

What stands in the database (queue, unknown calls, breakers) is the same at every worker; calls and
their times are those of the worker that is asked.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from paybatch.flow.engine import Engine
from paybatch.flow.traffic import BOUNDS_SECONDS, Seen
from paybatch.store import breakers, gauges

BREAKER_STATES = ("closed", "probing", "open")
_AT = ["merchant", "gate"]
Names = dict[int, tuple[str, str]]


class Metrics(Collector):
    """Everything that is told."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: to name it the database would be asked."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Read all of it.

        Raises:
            DatabaseGoneError: The database does not answer.
        """
        with self._engine.database.transaction() as connection:
            rows, batches = gauges.open_rows(connection), gauges.open_batches(connection)
            unknown, names = gauges.unknown_calls(connection), gauges.gate_names(connection)
            opened = breakers.list_breakers(connection)
        queue = GaugeMetricFamily(
            "paybatch_queue_rows", "Rows of chunks that are not done.", labels=["state"]
        )
        for state in ("loaded", "sending", "waiting"):
            count = sum(row["row_count"] for row in rows if row["state"] == state)
            queue.add_metric([state], count)
        yield queue
        unfinished = GaugeMetricFamily(
            "paybatch_batches", "Batches that are not finished.", labels=["state"]
        )
        for row in batches:
            unfinished.add_metric([row["state"]], row["batches"])
        yield unfinished
        yield from self._unknown(unknown)
        breaker = GaugeMetricFamily(
            "paybatch_breaker_open", "1 = open, 0.5 = probing, 0 = closed.", labels=_AT
        )
        for row in opened:
            value = BREAKER_STATES.index(row["state"]) / 2
            breaker.add_metric([row["merchant"], row["gate"]], value)
        yield breaker
        yield from _calls(self._engine.traffic.seen(), names)

    def _unknown(self, rows: list[dict[str, object]]) -> Iterator[Metric]:
        calls = GaugeMetricFamily(
            "paybatch_unknown_calls", "Calls whose effect is unknown.", labels=[*_AT, "state"]
        )
        age = GaugeMetricFamily(
            "paybatch_unknown_oldest_seconds", "Age of the oldest of them.", labels=[*_AT, "state"]
        )
        now = self._engine.clock()
        for row in rows:
            at = [str(row[name]) for name in (*_AT, "state")]
            calls.add_metric(at, int(str(row["calls"])))
            since = row["since"]
            age.add_metric(at, (now - since).total_seconds())  # type: ignore[operator]  # a time
        yield calls
        yield age


def _calls(seen: dict[int, Seen], names: Names) -> Iterator[Metric]:
    """Tell what became of the calls of this process, and after how long."""
    ended = CounterMetricFamily(
        "paybatch_calls", "Calls to processors by outcome.", labels=[*_AT, "outcome"]
    )
    took = HistogramMetricFamily(
        "paybatch_call_seconds",
        "From the moment calls were handed to their connector to their answers.",
        labels=_AT,
    )
    for gate_id, each in seen.items():
        if not each.ended:
            continue
        at = list(names.get(gate_id, ("", str(gate_id))))
        for outcome, count in sorted(each.ended.items()):
            ended.add_metric([*at, outcome], count)
        total, buckets = 0, []
        for bound, count in zip((*BOUNDS_SECONDS, "+Inf"), each.within, strict=True):
            total += count
            buckets.append((str(bound), total))
        took.add_metric(at, buckets, sum_value=each.seconds)
    yield ended
    yield took
