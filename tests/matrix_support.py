"""The matrix: every kind that acts on a payment, against payments in every state, at two gates.

Each cell has a payment of its own, brought to its state by real operations; only the settlement is
done by the tables. The cells of a gate are a few files: what makes the payments, what follows a
settlement, and the operations themselves.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from psycopg.rows import dict_row

from conftest import gate_values
from gates_support import GATES
from paybatch import registry
from paybatch.domain import columns, payment
from paybatch.domain.capabilities import Capabilities
from paybatch.domain.kind import AmountRule, Kind, Subject
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.store import directory
from paybatch.store.public_ids import Shape
from settle_support import settle

Cells = Mapping[str, str]
EXPIRY = {"currency": "USD", "card_expiry": "12/39"}
VISA = {**EXPIRY, "card_number": "4111111111111111"}
DECLINES = {**EXPIRY, "card_number": "4000000000000002"}
HELD = {**EXPIRY, "card_number": "4000000000000119"}
LISTED = {**EXPIRY, "card_number": "6011111111111117"}
BANK_SALE = {
    "kind": "sale",
    "amount_minor": "1000",
    "currency": "USD",
    "account_number": "1234567890",
    "routing_number": "021000021",
    "account_type": "checking",
    "sec_code": "WEB",
}
SALE = {"kind": "sale", "amount_minor": "1000", **VISA}
HOLD = {**SALE, "kind": "authorize"}
CREDIT = {**SALE, "kind": "credit"}
TRANSFER = {"kind": "transfer_create", "amount_minor": "1000", "currency": "USD"}
SETTLED = {"kind": "settled"}  # not a row: here the payment is settled
CAPTURE = {"kind": "capture", "amount_minor": "400"}
REFUND = {"kind": "refund", "amount_minor": "300"}
CHARGEBACK = {"kind": "chargeback"}
RETURN = {"kind": "debit_return", "return_code": "R01"}
BACK_IN_PART = {**CHARGEBACK, "amount_minor": "400"}
LATER_DEBIT = {**BANK_SALE, "kind": "direct_debit", "collect_on": "2026-12-15"}
MANDATE = {
    "kind": "mandate",
    "currency": "USD",
    "iban": "DE89370400440532013000",
    "creditor_id": "DE98ZZZ09999999999",
    "mandate_type": "RCUR",
    "signed_on": "2026-11-01",
}
ONCE = {**MANDATE, "mandate_type": "OOFF"}
# It makes a payment of its own; "its" stands for the name of the one that it acts on.
COLLECT = {"kind": "direct_debit", "payment": "its", "amount_minor": "100", "currency": "USD"}
# The state before (the payment's status and, in brackets, what else is true of it) -> the
# operations that lead there.
STATES: dict[str, tuple[Cells, ...]] = {
    "declined": ({**SALE, **DECLINES},),
    "filtered": ({**SALE, **LISTED},),
    "verified": ({"kind": "verify", **VISA},),
    "challenged(sale)": ({**SALE, **HELD},),
    "challenged(hold)": ({**HOLD, **HELD},),
    "authorized": (HOLD,),
    "partially_captured": (HOLD, CAPTURE),
    "partially_captured(settled)": (HOLD, CAPTURE, SETTLED),
    "captured": (SALE,),
    "captured(hold)": (HOLD, {"kind": "capture"}),
    "captured(bank)": (BANK_SALE,),
    "captured(transfer)": (TRANSFER, {"kind": "mark_received"}),
    "settled": (SALE, SETTLED),
    "settled(bank)": (BANK_SALE, SETTLED),
    "voided": (HOLD, {"kind": "void"}),
    "voided(captured)": (SALE, {"kind": "void"}),
    "partially_refunded": (SALE, REFUND),
    "partially_refunded(settled)": (SALE, SETTLED, REFUND),
    "partially_refunded(hold)": (HOLD, CAPTURE, REFUND),
    "refunded": (SALE, {"kind": "refund"}),
    "refunded(settled)": (SALE, SETTLED, {"kind": "refund"}),
    "charged_back": (SALE, CHARGEBACK),
    "charged_back(settled)": (SALE, SETTLED, CHARGEBACK),
    "charged_back(part,settled)": (SALE, SETTLED, BACK_IN_PART),
    "charged_back(refunded)": (SALE, SETTLED, {"kind": "refund"}, CHARGEBACK),
    "returned": (BANK_SALE, SETTLED, RETURN),
    "returned(refunded)": (BANK_SALE, SETTLED, {"kind": "refund"}, RETURN),
    "credited": (CREDIT,),
    "credited(settled)": (CREDIT, SETTLED),
    "credited(transfer)": ({**TRANSFER, "transfer_direction": "out"}, {"kind": "mark_received"}),
    "transfer_pending": (TRANSFER,),
    "transfer_pending(out)": ({**TRANSFER, "transfer_direction": "out"},),
    "sent": (TRANSFER, {"kind": "mark_sent"}),
    "expired": (HOLD, {"kind": "expire"}),
    "authorized(prepared)": (HOLD, {"kind": "prepare_reversal"}),
    "captured(prepared)": (SALE, {"kind": "prepare_reversal", "amount_minor": "400"}),
    "settled(prepared)": (SALE, SETTLED, {"kind": "prepare_reversal", "amount_minor": "400"}),
    "in_collection": (LATER_DEBIT,),
    "mandate_once": (ONCE,),
    "mandate_open": (MANDATE,),
    "mandate_running": (MANDATE, {**COLLECT, "sequence_type": "FRST"}),
    "mandate_ended": (ONCE, {**COLLECT, "sequence_type": "OOFF"}),
    "mandate_cancelled": (MANDATE, {"kind": "mandate_cancel"}),
    "pending": ({**SALE, **DECLINES},),
    "unknown": ({**SALE, **DECLINES},),
}
# No operation at an inline connector leaves a payment so: the tables are told.
BY_TABLE = ("pending", "unknown")
# Where a kind does several things, each is a line of its own.
ALSO: dict[str, Mapping[str, Cells]] = {"adjust": {"up": {}, "down": {"direction": "down"}}}
OWN = ("payment", "reference", "amount_minor", "currency")
_ROWS = """
SELECT o.line, coalesce(u.state, 'none'), u.reason, u.status, coalesce((
    SELECT string_agg(d.name || ' <- ' || c.name || ' ' || t.amount_minor, '; ' ORDER BY t.number)
    FROM transfer AS t
    JOIN account AS d ON d.merchant_id = t.merchant_id AND d.id = t.debit_account_id
    JOIN account AS c ON c.merchant_id = t.merchant_id AND c.id = t.credit_account_id
    WHERE t.merchant_id = o.merchant_id AND t.operation_id = o.id
), '')
FROM operation AS o LEFT JOIN outcome AS u ON u.merchant_id = o.merchant_id AND u.id = o.id
WHERE o.id BETWEEN %(first)s AND %(last)s ORDER BY o.line
"""
_PAYMENTS = """
SELECT o.reference, p.* FROM payment AS p
JOIN operation AS o ON o.merchant_id = p.merchant_id AND o.id = p.id
WHERE p.merchant_id = %(merchant_id)s
"""
_STATE = """
UPDATE payment AS p SET state = %(state)s FROM operation AS o
WHERE o.merchant_id = p.merchant_id AND o.id = p.id AND o.reference = %(name)s
"""
_IDS = """
SELECT id FROM operation WHERE merchant_id = %(merchant_id)s AND reference = ANY(%(names)s)
"""


@dataclass(frozen=True)
class Done:
    """How a row ended: its state, reason, the payment's status after it, and its postings."""

    state: str
    reason: str | None
    status: str | None
    postings: str


def actions() -> dict[str, tuple[Kind, Cells]]:
    """Give what is done to payments: the label of each, its kind and the cells of its row.

    Kinds that wait for all are last: what they put on a list is not to meet the others.
    """
    found: dict[str, tuple[Kind, Cells]] = {}
    kinds = [each for each in registry.kinds().values() if each.subject is not Subject.NEW_PAYMENT]
    for kind in sorted(kinds, key=lambda each: (each.waits_for_all, each.name)):
        may = {} if kind.subject is Subject.PAYMENT_OR_MEANS else None
        sample = next((each for each in kind.samples if "payment" in each), may)
        if sample is None:
            continue
        cells = {name: value for name, value in sample.items() if name not in OWN}
        if kind.amount is AmountRule.POSITIVE:
            cells |= {"amount_minor": "100", "currency": "USD"}
        for word, more in ALSO.get(kind.name, {"": {}}).items():
            found[f"{kind.name} {word}".strip()] = (kind, {**cells, **more})
        if kind.amount is AmountRule.LEFT and columns.AMOUNT_MINOR in kind.fields:
            found[f"{kind.name} 100"] = (kind, {**cells, "amount_minor": "100", "currency": "USD"})
    return found


class Gate:
    """One gate of the matrix with its merchant, and the files that are run there."""

    def __init__(self, engine: Engine, name: str, *currencies: str, **unusual: object) -> None:
        """Make it; ``unusual`` capabilities are as given, the others those of the gate's name."""
        self.engine, self.name = engine, name
        known = GATES.get(name, Capabilities()).model_dump(mode="json")
        capabilities = json.dumps({**known, **unusual})
        with engine.database.transaction() as connection:
            directory.add_merchant(connection, name, name, "local")
            values = gate_values(name, merchant=name, capabilities=capabilities)
            values |= {"currencies": list(currencies)} if currencies else {}
            directory.add_gate(connection, values)
        self.place: Place = find_place(engine, "local", name)

    def run(self, rows: Iterable[Cells]) -> list[Done]:
        """Run rows as one file, and say how each ended."""
        kept = list(rows)
        buffer = io.StringIO()
        names = sorted({name for row in kept for name in row})
        writer = csv.DictWriter(buffer, names, restval="")
        writer.writeheader()
        writer.writerows(kept)
        request = Request(file_name=f"{self.name}.csv", dialect="native", again=True)
        done = batches.run(self.engine, self.place, [buffer.getvalue().encode()], request)
        assert done.state == "completed"
        limits = {"first": done.id << 30, "last": (done.id + 1 << 30) - 1}
        with self.engine.database.transaction() as connection:
            ended = connection.execute(_ROWS, limits).fetchall()
        assert [row[0] for row in ended] == list(range(2, len(kept) + 2))
        assert "none" not in {row[1] for row in ended}, "a row has no outcome"
        return [Done(*row[1:]) for row in ended]

    def payments(self) -> dict[str, dict[str, object]]:
        """Give the payments of the gate by their references, each with its status."""
        with self.engine.database.transaction() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            rows = cursor.execute(_PAYMENTS, {"merchant_id": self.place.merchant_id}).fetchall()
        table = pl.DataFrame(rows, infer_schema_length=None).with_columns(status=payment.status())
        return {str(row["reference"]): row for row in table.to_dicts()}

    def ids(self) -> dict[str, str]:
        """Give the public ids of the payments of the gate by their references."""
        known = self.payments()
        keys = pl.Series([row["id"] for row in known.values()], dtype=pl.Int64)
        texts = self.engine.public_ids.encode(keys, "pay", Shape.NATIVE)
        return dict(zip(known, texts, strict=True))

    def make(self, labels: Sequence[str]) -> dict[str, str]:
        """Bring a payment for each action to each state.

        Gives the states that the gate does not bring a payment to, with its reason.
        """
        self.run([{"kind": "blacklist", "card_number": LISTED["card_number"]}])
        refused: dict[str, str] = {}
        for stage in (0, 1):
            cells = [(s, a) for s in STATES if len(_stages(s)) > stage for a in labels]
            if stage:
                self._settle([name_of(state, label) for state, label in cells])
            rows = [
                (state, _addressed(row, name_of(state, label)))
                for state, label in cells
                for row in _stages(state)[stage]
            ]
            for (state, _), done in zip(rows, self.run(row for _, row in rows), strict=True):
                if done.state == "rejected" and done.reason != "number_listed":
                    refused[state] = str(done.reason)
        self._put([(state, name_of(state, label)) for state in BY_TABLE for label in labels])
        known = self.payments()
        status = {s: str(known[name_of(s, labels[0])]["status"]) for s in STATES}
        other = {s: f"it is {is_now}" for s, is_now in status.items() if is_now != status_of(s)}
        return other | refused

    def _put(self, wanted: list[tuple[str, str]]) -> None:
        """Give payments their states: (state, reference)."""
        with self.engine.database.transaction() as connection:
            for state, name in wanted:
                connection.execute(_STATE, {"state": state, "name": name})

    def _settle(self, names: list[str]) -> None:
        wanted = {"names": names, "merchant_id": self.place.merchant_id}
        with self.engine.database.transaction() as connection:
            found = connection.execute(_IDS, wanted).fetchall()
            settle(self.engine, connection, [int(row[0]) for row in found])


def name_of(state: str, label: str) -> str:
    """Name the payment of a cell."""
    return re.sub(r"\W+", "-", f"{state} {label}")


def status_of(state: str) -> str:
    """Give the status that a payment in a state has."""
    return state.split("(", maxsplit=1)[0]


def _addressed(row: Cells, name: str) -> Cells:
    makes = registry.kinds()[row["kind"]].makes and "payment" not in row
    return {**row, "reference" if makes else "payment": name}


def _stages(state: str) -> list[tuple[Cells, ...]]:
    """Cut the rows that lead to a state where the payment is settled."""
    rows = STATES[state]
    if SETTLED not in rows:
        return [rows]
    cut = rows.index(SETTLED)
    return [rows[:cut], rows[cut + 1 :]]
