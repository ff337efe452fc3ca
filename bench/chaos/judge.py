"""Judge: the processor's books against our operations, payments, ledger and result files."""

import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from bench.chaos.town import Town
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.place import find_place
from paybatch.flow.report import report
from paybatch.store import ledger
from paybatch.store.operations import LINES_MAX
from paybatch.store.public_ids import Shape

_KEY = re.compile(r"(\w+?)-(\d+)(-reversal)?")
_SAID_MAX = 5  # of one sort of fault, so many are told
_OPERATIONS = """
SELECT o.id, o.batch_id, o.line, o.kind, o.accepted, u.state, u.approved_minor, u.payment_id,
    a.state AS attempt, a.act
FROM operation AS o LEFT JOIN outcome AS u ON o.merchant_id = u.merchant_id AND o.id = u.id
LEFT JOIN attempt AS a ON o.merchant_id = a.merchant_id AND o.id = a.operation_id
"""
_PAYMENTS = """
SELECT id, state, authorized, released, captured, cancelled, refunded,
    reserved_capture + reserved_void + reserved_refund AS reserved FROM payment
"""
_TALLIES = """
SELECT batch_id, state, sum(row_count)::bigint AS rows FROM tally
GROUP BY batch_id, state HAVING sum(row_count) <> 0
"""
Row = dict[str, Any]


@dataclass
class Verdict:
    """What a run came to."""

    operations: int = 0
    effects: int = 0
    double: int = 0
    lost: int = 0
    unknown: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Count what is neither: amounts, payments, books, order, tallies, results that differ."""
        own = ("double", "lost", "unknown")
        return sum(count for what, count in self.faults.items() if what not in own)

    @property
    def is_good(self) -> bool:
        """Tell whether everything agrees."""
        return not self.faults

    def say(self, what: str, sentence: str) -> None:
        """Note a fault."""
        self.faults[what] += 1
        if self.faults[what] <= _SAID_MAX:
            self.sentences.append(f"{what}: {sentence}")

    def add(self, other: "Verdict") -> None:
        """Add what another run came to."""
        for name in ("operations", "effects", "double", "lost", "unknown"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.faults += other.faults
        self.sentences += other.sentences

    def __str__(self) -> str:
        """Give the last line."""
        return (
            f"operations {self.operations}, effects {self.effects}, double {self.double}, "
            f"lost {self.lost}, unknown {self.unknown}, wrong {self.wrong}"
        )


def judged(town: Town, batches: dict[int, list[str]]) -> Verdict:
    """Hold everything against everything; ``batches`` are the files' lines by batch."""
    verdict = Verdict()
    operations = {row["id"]: row for row in _rows(town.engine, _OPERATIONS)}
    entries = _by_operation(town, verdict)
    verdict.operations = len(operations)
    for row in operations.values():
        _judge_operation(verdict, row, entries.get(row["id"], []))
    for stranger in entries.keys() - operations.keys():
        verdict.lost += 1
        verdict.say("lost", f"operation {stranger} has an effect and is not known to us")
    _judge_payments(verdict, town, entries, operations)
    _judge_order(verdict, entries, operations)
    _judge_tallies(verdict, town.engine, operations)
    for batch_id, lines in batches.items():
        _judge_result(verdict, town, batch_id, lines)
    _judge_calls(verdict, town, operations)
    for each in town.unexpected():
        verdict.say("error", each)
    with town.engine.database.transaction() as connection:
        broken = ledger.broken_balances(connection) + ledger.broken_laws(connection)
    for each in broken:
        verdict.say("ledger", str(each))
    return verdict


def _rows(engine: Engine, query: str) -> list[Row]:
    with engine.database.transaction() as connection:
        cursor = connection.execute(query.encode())
        names = [each.name for each in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _by_operation(town: Town, verdict: Verdict) -> dict[int, list[Row]]:
    """Give what took effect at the processor, by our operations.

    A part that was reversed at once, and its reversal, are no effect.
    """
    found: dict[int, list[Row]] = defaultdict(list)
    for entry in town.processor.books():
        if entry["status"] != "approved":
            continue
        verdict.effects += 1
        matched = _KEY.fullmatch(entry["key"])
        number = matched and _number(town, matched[1])
        if number is None:
            verdict.lost += 1
            verdict.say("lost", f"key {entry['key']} is not ours")
        else:
            found[number].append(entry)
    return {number: left for number, each in found.items() if (left := _without_reversed(each))}


def _number(town: Town, named: str) -> int | None:
    """Give the operation that a key names; that of a reversal may be its number."""
    return int(named) if named.isdigit() else _decoded(town, named)


def _decoded(town: Town, named: str) -> int | None:
    return town.engine.public_ids.decode_one(named, "op", Shape.NATIVE)


def _without_reversed(effects: list[Row]) -> list[Row]:
    """Take away reversals and what they reversed."""
    undone = [each for each in effects if each["key"].endswith("-reversal")]
    amounts = [each["approved_minor"] for each in undone]
    kept = [each for each in effects if each not in undone]
    for amount in amounts:
        for each in kept:
            if each["approved_minor"] == amount:
                kept.remove(each)
                break
        else:
            return effects
    return kept


def _judge_operation(verdict: Verdict, row: Row, effects: list[Row]) -> None:
    """Hold one operation against its effects."""
    named = f"operation {row['batch_id']}/{row['line']} ({row['kind']}, {row['state']})"
    if len(effects) > 1:
        verdict.double += 1
        keys = [(each["key"], each["times"]) for each in effects]
        verdict.say("double", f"{named} has the effects {keys}")
    if row["state"] is None:
        if row["attempt"] in {"unknown", "person"}:
            verdict.unknown += 1
            verdict.say("unknown", f"{named} is still unknown")
        else:
            verdict.lost += 1
            verdict.say("lost", f"{named} has no outcome; its attempt is {row['attempt']}")
    elif row["state"] != "approved" and effects:
        verdict.lost += 1
        verdict.say("lost", f"{named} has an effect of {effects[0]['approved_minor']}")
    elif row["state"] == "approved" and not effects:
        verdict.lost += 1
        verdict.say("lost", f"{named} has no effect")
    elif row["state"] == "approved":
        effect = effects[0]
        if effect["approved_minor"] != row["approved_minor"] or effect["verb"] != row["act"]:
            told = (effect["verb"], effect["approved_minor"], row["act"], row["approved_minor"])
            verdict.say("amount", f"{named}: processor and we differ: {told}")
        if row["attempt"] == "unknown":
            verdict.say("attempt", f"{named} has an outcome, and is still asked about")


def _judge_payments(
    verdict: Verdict, town: Town, entries: dict[int, list[Row]], operations: dict[int, Row]
) -> None:
    """Hold the amounts of each payment against the sums of its effects."""
    if verdict.unknown:
        return  # what their amounts are to be is not known yet
    sums: dict[int, Counter[str]] = defaultdict(Counter)
    for number, effects in entries.items():
        for effect in effects:
            matched = _KEY.fullmatch(effect["payment"])
            payment = matched and town.engine.public_ids.decode_one(matched[1], "op", Shape.NATIVE)
            own = operations.get(number)
            if payment is None or (own is not None and own["payment_id"] not in {payment, None}):
                verdict.say("payment", f"{effect['key']} acts on {effect['payment']}")
            else:
                sums[payment][effect["verb"]] += effect["approved_minor"]
    for row in _rows(town.engine, _PAYMENTS):
        told = sums[row["id"]]
        wanted = {
            "authorized": told["sale"] + told["authorize"],
            "captured": told["sale"] + told["capture"],
            "refunded": told["refund"],
        }
        found = {name: row[name] for name in wanted}
        if wanted != found:
            verdict.say("payment", f"{row['id']} has {found}, the processor says {wanted}")
        if row["cancelled"] > told["void"] or row["released"] + row["cancelled"] < told["void"]:
            verdict.say("payment", f"{row['id']}: voids of {told['void']}, but {row}")
        if row["reserved"]:
            verdict.say("payment", f"{row['id']} still has {row['reserved']} reserved")
        if row["state"] in {"pending", "unknown"}:
            verdict.say("payment", f"{row['id']} is still {row['state']}")


def _judge_order(
    verdict: Verdict, entries: dict[int, list[Row]], operations: dict[int, Row]
) -> None:
    """See that rows of one file took effect on a payment in their order.

    Rows of one kind that follow each other are under way together; others never are.
    """
    chains: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number in sorted(entries.keys() & operations.keys()):
        row = operations[number]
        if row["payment_id"] is not None:
            chains[row["batch_id"], row["payment_id"]].append(number)
    for (batch_id, _), chain in chains.items():
        if not _is_file(operations[chain[0]]):
            continue
        latest, kind = 0.0, ""
        for number in chain:
            row, at = operations[number], [each["at"] for each in entries[number]]
            if row["kind"] != kind and min(at) < latest:
                verdict.say("order", f"line {row['line']} of batch {batch_id} came too early")
            latest, kind = max(latest, *at), row["kind"]


def _is_file(row: Row) -> bool:
    return bool(row["is_file"]) if "is_file" in row else True


def _judge_tallies(verdict: Verdict, engine: Engine, operations: dict[int, Row]) -> None:
    """See that the counts of a batch are those of its rows."""
    done = "SELECT id FROM batch WHERE state = 'completed'"  # the others are said to be open
    files = {row["id"] for row in _rows(engine, done)}
    counted = Counter(
        (row["batch_id"], row["state"])
        for row in operations.values()
        if row["batch_id"] in files and row["state"] is not None
    )
    told = Counter(
        {
            (row["batch_id"], row["state"]): row["rows"]
            for row in _rows(engine, _TALLIES)
            if row["batch_id"] in files
        }
    )
    for key in counted.keys() | told.keys():
        if counted[key] != told[key]:
            verdict.say("tally", f"{key}: {counted[key]} rows, and {told[key]} are counted")


def _judge_result(verdict: Verdict, town: Town, batch_id: int, lines: list[str]) -> None:
    """See that every line of a file stands in its result, once and with what it said."""
    batch, target = load_batch(town.engine, batch_id), io.BytesIO()
    if batch.state != "completed":
        verdict.say("batch", f"batch {batch_id} is {batch.state}")
    report(town.engine, batch, find_place(town.engine, "local"), target)
    result = pl.read_csv(target.getvalue(), infer_schema=False)
    given = pl.read_csv("\n".join(lines).encode(), infer_schema=False)
    names = [name for name in given.columns if not name.startswith("card_")]
    if not result.select(names).fill_null("").equals(given.select(names).fill_null("")):
        missing = abs(given.height - result.height)
        verdict.lost += max(missing, 1)
        verdict.say("lost", f"the result of batch {batch_id} has not the lines of its file")


def _judge_calls(verdict: Verdict, town: Town, operations: dict[int, Row]) -> None:
    """See that every single call has its answer, and each key one operation that was done."""
    for number, state, name in _answers(town):
        known = town.engine.public_ids.decode_one(name, "op", Shape.NATIVE)
        row = operations.get(known) if known is not None else None
        if row is None:
            verdict.lost += 1
            verdict.say("lost", f"call {number} was answered {state} and is not known")
        elif state not in {"unknown", "replayed", row["state"]}:
            verdict.say("call", f"call {number} was answered {state} and is {row['state']}")
    missing = town.plan.calls - len({number for number, _, _ in _answers(town)})
    if missing:
        verdict.say("call", f"{missing} calls have no answer")


def _answers(town: Town) -> Iterator[tuple[int, str, str]]:
    for line in town.done.read_text().splitlines():
        number, state, name = line.split()
        yield int(number), state, name


__all__ = ["LINES_MAX", "Verdict", "judged"]
