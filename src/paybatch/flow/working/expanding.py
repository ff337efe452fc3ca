"""Expanding: a row that makes an operation for each payment that is open at its gates.

They are stored when the row's turn comes, in the transaction of its chunk: as operations of the
same batch, at lines behind those of any file, in chunks of the phase behind the row's. So they are
claimed, sent and settled as rows of a file are. In the phase behind theirs the row itself has a
chunk again: there it ends, and its outcome is their totals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.effects import Expand
from paybatch.domain.money import decimal_text
from paybatch.domain.reasons import Reason
from paybatch.domain.selection import amounts_of, names_of
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.working.closing import ANSWER, Closed, RefusedError, close
from paybatch.flow.working.subjects import stored_subjects
from paybatch.store import children, settlements
from paybatch.store.children import ChildTotals, Chosen, Made, totals_of_children
from paybatch.store.chunks import CHILDREN, TOTALS, Chunk, insert_chunk
from paybatch.store.database import Connection, Row
from paybatch.store.directory import Gate
from paybatch.store.operations import LINES_MAX, batch_of
from paybatch.store.public_ids import Shape

_PHASES = 2  # behind that of the row: its children's, and that of its totals
_REASONS = {reason.value: reason for reason in Reason}
_NAMED = {
    "line": pl.Int64(),
    "merchant_id": pl.Int32(),
    "gate_id": pl.Int32(),
    "payment_id": pl.Int64(),
    "payment_reference": pl.String(),
    "reason": pl.String(),
}


@dataclass(frozen=True)
class Parent:
    """A row that makes others: its gates (of one merchant), its details, its effect and chunk."""

    place: Place
    gates: Sequence[Gate]
    row: Mapping[str, Any]
    effect: Expand
    chunk: Chunk

    @property
    def merchant_id(self) -> int:
        """Whose payments its children act on."""
        return self.gates[0].merchant_id

    @property
    def terminals(self) -> list[Gate]:
        """Those of its gates at which we keep the batch and send it."""
        return [gate for gate in self.gates if gate.capabilities.terminal_capture]


def expand(engine: Engine, connection: Connection[Row], parent: Parent, now: datetime) -> None:
    """Make the children of a row, with their chunks and the one of its totals.

    Raises:
        RefusedError: Nothing is open, or what is chosen is not there or not as expected.
    """
    _check_gates(connection, parent)
    chosen = _chosen(engine, connection, parent)
    row, batch_id = parent.row, batch_of(parent.row["id"])
    line, number = children.next_places(connection, batch_id)
    with connection.transaction():  # what is refused below made nothing
        made = children.insert_children(
            connection, row["id"], line, chosen, kind=parent.effect.kind, at=now
        )
        _check_made(connection, parent, made)
        count = sum(each.row_count for each in made)
        assert line + count <= LINES_MAX, "the next line is an id of another batch"
    children.make_room(connection, batch_id, parent.chunk.phase, _PHASES)
    size = engine.settings.chunk_rows
    firsts = range(line, line + count, size)
    own = [
        Chunk(
            number=number + place,
            kind=CHILDREN,
            first_line=first,
            last_line=min(first + size, line + count) - 1,
            merchant_ids=[parent.merchant_id],
            phase=parent.chunk.phase + 1,
            row_count=min(size, line + count - first),
        )
        for place, first in enumerate(firsts)
    ]
    totals = Chunk(
        number=number + len(firsts),
        kind=TOTALS,
        first_line=row["line"],
        last_line=row["line"],
        merchant_ids=[parent.merchant_id],
        phase=parent.chunk.phase + _PHASES,
        row_count=1,
    )
    for each in [*own, totals]:
        insert_chunk(connection, batch_id, each)


def _check_gates(connection: Connection[Row], parent: Parent) -> None:
    """Refuse gates that cannot do it, or whose last batch was not taken."""
    verb = registry.kinds()[parent.effect.kind].verb
    lacking = sorted(
        gate.name for gate in parent.gates if verb not in parent.place.connector(gate.id).verbs
    )
    if lacking:
        raise RefusedError(Reason.NOT_SUPPORTED, "gate", ", ".join(lacking))
    if not parent.terminals:
        return
    ids = [gate.id for gate in parent.terminals]
    states = settlements.lock_gates(connection, parent.merchant_id, ids)
    stuck = sorted(parent.place.gate(each.id).name for each in states if each.state != "open")
    if stuck:
        raise RefusedError(Reason.GATE_CLOSING, "gate", ", ".join(stuck))


def _chosen(engine: Engine, connection: Connection[Row], parent: Parent) -> Chosen:
    """Find the payments that a row names, and the amounts that differ."""
    row = parent.row
    names, differing = names_of(row["payments"]), amounts_of(row["differences"])
    found = _found(engine, connection, parent, {"differences": [*differing], "payments": names})
    ids = [found[name] for name in names] if names else None
    return Chosen(
        merchant_id=parent.merchant_id,
        gate_ids=[gate.id for gate in parent.gates],
        payment_ids=ids,
        amounts={found[name]: amount for name, amount in differing.items()},
        since_on=row["since_on"],
        until_on=row["until_on"],
    )


def _found(
    engine: Engine, connection: Connection[Row], parent: Parent, named: Mapping[str, list[str]]
) -> dict[str, int]:
    """Give the payment of each name, by the column that it stands in."""
    columns = {name: column for column, names in named.items() for name in names}
    if not columns:
        return {}
    names = pl.Series("payment_reference", list(columns), pl.String)
    ids = engine.public_ids.decode(names, "pay", Shape.NATIVE).alias("payment_id")
    asked = pl.DataFrame([names, ids]).with_columns_seq(
        line=pl.int_range(pl.len()),
        merchant_id=pl.lit(parent.merchant_id),
        gate_id=pl.lit(parent.gates[0].id),
        payment_reference=pl.when(pl.col("payment_id").is_null()).then("payment_reference"),
        reason=pl.lit(None, pl.String),
    )
    typed = asked.select_seq(pl.col(name).cast(kind) for name, kind in _NAMED.items())
    rows = stored_subjects(connection, parent.place, typed)
    found = dict(zip(columns, rows["payment_id"].to_list(), strict=True))
    known = [each for each in found.values() if each is not None]
    homes = children.gates_of_payments(connection, parent.merchant_id, known)
    own = {gate.id for gate in parent.gates}
    for name, payment, reason in zip(columns, found.values(), rows["reason"], strict=True):
        if reason is not None:
            raise RefusedError(_REASONS[reason], columns[name], name)
        if payment not in homes:
            raise RefusedError(Reason.PAYMENT_UNKNOWN, columns[name], name)
        if homes[payment] not in own:
            raise RefusedError(Reason.GATE_DIFFERS, columns[name], name)
    return found


def _check_made(connection: Connection[Row], parent: Parent, made: Sequence[Made]) -> None:
    """Refuse a row that chooses nothing, or other totals than it expects."""
    row, count = parent.row, sum(each.row_count for each in made)
    expected = row["expected_sale_count"]
    if expected is not None and expected != count:
        found = f" (found: {count})"
        raise RefusedError(Reason.TOTALS_DIFFER, "expected_sale_count", str(expected), found)
    amount = row["expected_sale_minor"]
    if amount is not None and len(made) > 1:
        found = f" ({', '.join(each.currency for each in made)})"
        raise RefusedError(Reason.SUMS_OF_CURRENCIES, "expected_sale_minor", str(amount), found)
    total = sum(each.amount_minor for each in made)
    if amount is not None and amount != total:
        found = f" (found: {total})"
        raise RefusedError(Reason.TOTALS_DIFFER, "expected_sale_minor", str(amount), found)
    wanted = len(amounts_of(row["differences"]))
    used = sum(each.differing_count for each in made)
    if used < wanted:
        found = f" ({used} of {wanted} are)"
        raise RefusedError(Reason.DIFFERENCE_UNUSED, "differences", row["differences"], found)
    ids = [gate.id for gate in parent.terminals]
    if not count and not (ids and children.has_due(connection, parent.merchant_id, ids)):
        names = ", ".join(gate.name for gate in parent.gates)
        raise RefusedError(Reason.NOTHING_OPEN, "gate", names)


def totalled(
    connection: Connection[Row], parent: Parent, now: datetime
) -> tuple[dict[str, Any], pl.DataFrame]:
    """End a row whose children have ended: give its outcome and its transfers.

    Raises:
        ConnectorError: A connector does not keep its contract.
    """
    merchant_id, own = parent.merchant_id, parent.row
    found = totals_of_children(connection, merchant_id, own["id"], parent.chunk.phase)
    closed = _closed(connection, parent, now) if parent.terminals else None
    outcome = outcome_of(parent.gates, found, closed)
    return outcome, closed.transfers if closed else pl.DataFrame()


def _closed(connection: Connection[Row], parent: Parent, now: datetime) -> Closed:
    """Settle what is due at the gates with terminal capture: their batch is sent."""
    row, effect = {"id": parent.row["id"]}, parent.effect.closes
    try:
        return close(connection, parent.place, parent.terminals, row, effect=effect, now=now)
    except RefusedError as error:  # a close of day came between, and was not taken
        none = dict.fromkeys(ANSWER)
        return Closed(
            is_closed=False, message=error.reason.sentence, answer=none, transfers=pl.DataFrame()
        )


def cut_short(connection: Connection[Row], gone: pl.DataFrame, chunk: Chunk) -> pl.DataFrame:
    """Give the end of a cancelled row: what its children did before stays, and is told."""
    row = gone.row(0, named=True)
    found = totals_of_children(connection, row["merchant_id"], row["id"], chunk.phase)
    if not any(each.sale_count for each in found):
        return gone
    told = {name: pl.lit(value) for name, value in outcome_of((), found).items()}
    return gone.with_columns_seq(**told)


def outcome_of(
    gates: Sequence[Gate], found: Sequence[ChildTotals], closed: Closed | None = None
) -> dict[str, Any]:
    """Give the outcome of a row from what became of its children, and of its batch if it sent one.

    It is approved when anything was captured or sent. Its amount is the net one, where all is in
    one currency.
    """
    sums = [_Sums.of(gates, found, closed, each) for each in _currencies(found, closed)]
    told = [each.told() for each in sums if len(sums) == 1 or not each.is_empty]
    told += [_others(found)] if _others(found) else []
    told += [closed.message] if closed else []
    answer = closed.answer if closed else {"response": "approved"}
    state = _state(found, closed)
    is_good = state == "approved"
    return {
        **dict.fromkeys(ANSWER),
        **(answer if is_good or closed else {}),
        "state": state,
        "reason": Reason.NOTHING_OPEN.value if state == "rejected" else None,
        "message": "; ".join(told),
        "approved_minor": max(sums[0].net_minor, 0) if len(sums) == 1 and is_good else 0,
        **({"currency": sums[0].currency} if len(sums) == 1 else {}),
    }


def _currencies(found: Sequence[ChildTotals], closed: Closed | None) -> list[str]:
    sent = {each.currency for each in closed.totals} if closed else set()
    return sorted({each.currency for each in found} | sent)


def _state(found: Sequence[ChildTotals], closed: Closed | None) -> str:
    """Give the state of a row: what a batch's processor says, else the best of its children's."""
    if closed is not None:
        return "approved" if closed.is_closed else "declined"
    if any(each.sale_count for each in found):
        return "approved"
    if any(each.declined_count for each in found):
        return "declined"
    return "failed" if any(each.failed_count for each in found) else "rejected"


def _others(found: Sequence[ChildTotals]) -> str:
    """Say how many children were not captured."""
    told = []
    for state in ("declined", "failed", "rejected", "cancelled", "unknown"):
        count = sum(getattr(each, f"{state}_count") for each in found)
        told += [f"{count} {state}"] if count else []
    return ", ".join(told)


@dataclass(frozen=True)
class _Sums:
    """The totals of a row in one currency: sales, returns, voids; counts and sums."""

    currency: str
    sale: tuple[int, int]
    refund: tuple[int, int]
    void: tuple[int, int]

    @classmethod
    def of(
        cls,
        gates: Sequence[Gate],
        found: Sequence[ChildTotals],
        closed: Closed | None,
        currency: str,
    ) -> "_Sums":
        """Add up: at gates whose batch was sent what that had, elsewhere the captures."""
        sent = [each for each in (closed.totals if closed else ()) if each.currency == currency]
        in_batch = {gate.id for gate in gates if gate.capabilities.terminal_capture and sent}
        own = [each for each in found if each.currency == currency]
        sales = [(each.sale_count, each.sale_minor) for each in sent]
        sales += [(e.sale_count, e.sale_minor) for e in own if e.gate_id not in in_batch]
        returns = [(each.refund_count, each.refund_minor) for each in sent]
        voids = [(each.void_count, each.void_minor) for each in own]
        return cls(currency, _added(sales), _added(returns), _added(voids))

    @property
    def net_minor(self) -> int:
        """Sales less returns."""
        return self.sale[1] - self.refund[1]

    @property
    def is_empty(self) -> bool:
        """Whether nothing moved in it."""
        return not (self.sale[0] or self.refund[0] or self.void[0])

    def told(self) -> str:
        """Say it."""
        parts = zip(("sales", "returns", "voids"), (self.sale, self.refund, self.void), strict=True)
        each = ", ".join(
            f"{name} {count}: {decimal_text(amount, self.currency)}"
            for name, (count, amount) in parts
        )
        return f"{self.currency} {decimal_text(self.net_minor, self.currency)} net ({each})"


def _added(pairs: list[tuple[int, int]]) -> tuple[int, int]:
    return sum(count for count, _ in pairs), sum(amount for _, amount in pairs)
