"""The payment lifecycle: random files against a small model that takes row by row.

The model is written from the kinds' manual pages and the design, in plain Python and without the
engine's rules. After every batch the outcome and reason of each row, the amounts and status of
each payment and the balance of each account must be those of the model. The files are aimed: they
begin with good payments, and most rows act on one that lets them. What was met is counted at the
end, so that the test cannot go idle unseen.
"""

import io
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count, product
from random import Random
from typing import Any

import polars as pl
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conftest import gate_values
from paybatch import registry
from paybatch.domain.kind import Subject
from paybatch.domain.reasons import PRECEDENCE
from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import find_place
from paybatch.flow.report import report
from paybatch.flow.working.follow_up import _ladder
from paybatch.flow.working.posting import store_transfers
from paybatch.store import directory, ledger
from paybatch.store.public_ids import Shape

USUAL = {
    "several_captures": True,
    "partial_void": True,
    "void_captured": True,
    "refund_before_settlement": True,
    "refund_excess_percent": 0,
}
GATES = {
    "usual": USUAL,
    "single": USUAL | {"several_captures": False},
    "whole": USUAL | {"partial_void": False},
    "early": USUAL | {"void_captured": False},
    "late": USUAL | {"refund_before_settlement": False},
    "generous": USUAL | {"refund_excess_percent": 10},
    "strict": dict.fromkeys(USUAL, False) | {"refund_excess_percent": 0},
}
NEW = ("sale", "authorize", "credit", "verify")
VISA, AMEX, WRONG = "4111111111111111", "378282246310005", "4111111111111112"
DECLINES, REFUNDS_DECLINE, HALF = "4000000000000002", "4000000000000010", "4000000000000051"
DECLINING_AMOUNTS = (50_200, 50_204)
HEADER = "kind,gate,amount_minor,currency,card_number,card_expiry,reference,payment,final"
COMPARED = ("state", "authorized", "released", "captured", "cancelled", "settled", "refunded")
# What the files must meet at least: (kind, outcome or reason, the kind that made the payment).
FLOORS = {
    **{(kind, "approved", ""): 30 for kind in ("authorize", "sale", "credit", "refund")},
    **{(kind, "declined", ""): 3 for kind in ("authorize", "sale", "credit", "refund")},
    **{(kind, "declined", ""): 1 for kind in ("capture", "void")},
    ("verify", "approved", ""): 5,
    ("verify", "zero_not_at_brand", ""): 1,
    ("capture", "approved", "authorize"): 30,
    **{("void", "approved", origin): 10 for origin in ("authorize", "sale", "credit")},
    **{("refund", "approved", origin): 10 for origin in ("authorize", "sale")},
    **{(kind, "amount_above_left", ""): 5 for kind in ("capture", "void", "refund")},
    **{(kind, "status_not_allowed", ""): 5 for kind in ("capture", "void", "refund")},
    **{(kind, "gate_differs", ""): 1 for kind in ("capture", "void", "refund")},
    ("capture", "captured_already", ""): 1,
    ("void", "partial_not_supported", ""): 1,
}
EXAMPLES_USUAL = 16
EXAMPLES = int(os.environ.get("PAYBATCH_TEST_EXAMPLES", EXAMPLES_USUAL))  # more = also random
Expected = tuple[str, str | None, str | None]  # outcome, reason, the payment's status
_examples, _settlements = count(1), count(1)


@dataclass(frozen=True)
class Step:
    """A row of a file; ``target`` says which payment made before it acts on.

    ``percent`` of what is left is asked for in place of an amount; ``is_stray`` rows take any row
    above for their target, the others a payment that lets them, if there is one.
    """

    kind: str
    gate: str | None
    amount: int | None
    percent: int | None = None
    is_stray: bool = False
    card: str = VISA
    reference: str = ""
    target: int = 0
    by_id: bool = False
    final: bool = False


@dataclass
class Payment:
    """A payment of the model. ``id`` is known when its batch is done."""

    origin: str
    gate: str
    card: str
    reference: str
    batch: int
    line: int
    state: str = "approved"
    authorized: int = 0
    released: int = 0
    captured: int = 0
    cancelled: int = 0
    settled: int = 0
    refunded: int = 0

    @property
    def held(self) -> int:
        return self.authorized - self.captured - self.released

    @property
    def kept(self) -> int:
        return self.captured - self.cancelled

    @property
    def status(self) -> str:
        if self.state != "approved":
            return self.state
        if self.held == 0 and self.kept == 0:
            return "voided"
        if self.origin == "credit":
            return "credited"
        if self.refunded:
            done = self.refunded >= self.kept and self.held == 0
            return "refunded" if done else "partially_refunded"
        if self.held:
            return "partially_captured" if self.kept else "authorized"
        return "settled" if self.settled >= self.kept else "captured"


@dataclass
class Model:
    """Payments and account balances, changed by one row after the other."""

    payments: list[Payment] = field(default_factory=list)
    rejected: dict[tuple[int, str], int] = field(default_factory=dict)  # batch, reference -> line
    balances: Counter[tuple[str, str]] = field(default_factory=Counter)

    def move(self, gate: str, debit: str, credit: str, amount: int) -> None:
        self.balances[gate, debit] += amount
        self.balances[gate, credit] -= amount

    def close_day(self, payment: Payment) -> int:
        amount = payment.kept - payment.settled
        payment.settled += amount
        if payment.origin == "credit":
            self.move(payment.gate, "receivable", "clearing", amount)
        else:
            self.move(payment.gate, "clearing", "receivable", amount)
        return amount

    def named(self, reference: str, batch: int) -> tuple[Payment | None, str | None]:
        """Find what a reference means, for a row of this batch."""
        here = [p for p in self.payments if p.reference == reference and p.batch == batch]
        earlier = [p for p in self.payments if p.reference == reference and p.batch < batch]
        found = here or [p for p in earlier if p.state != "declined"] or earlier
        rejected = self.rejected.get((batch, reference), 0)
        if rejected and not here:
            return None, "reference_rejected"
        if len(found) == 1 and found[0] in here and found[0].line < rejected:
            return None, "reference_rejected"
        if len(found) == 1:
            return found[0], None
        return None, "reference_ambiguous" if found else "payment_unknown"

    def make(self, step: Step, batch: int, line: int) -> Expected:
        """Take a row that makes a payment: its outcome, reason, and the payment's status."""
        if step.kind == "verify":
            refused = "zero_not_at_brand" if step.card == AMEX else None
            refused = "amount_not_zero" if step.amount else refused
        else:
            refused = "amount_zero" if step.amount == 0 else None
        if step.card == WRONG:
            refused = refused or "number_check_digit"
        if refused:
            self.rejected[batch, step.reference] = line
            return "rejected", refused, None
        gate = step.gate or "usual"
        made = Payment(step.kind, gate, step.card, step.reference, batch, line)
        self.payments.append(made)
        asked = step.amount or 0
        halved = step.card == HALF and step.kind in ("sale", "authorize")
        if step.card == DECLINES or (asked % 100_000 in DECLINING_AMOUNTS and not halved):
            made.state = "declined"
            return "declined", None, "declined"
        amount = max(asked // 2, 1) if halved else asked
        made.authorized = amount
        if step.kind == "authorize":
            self.move(gate, "hold", "hold_contra", amount)
        elif step.kind == "verify":
            made.state = "verified"
        else:
            made.captured = amount
            sides = (
                ("receivable", "merchant") if step.kind == "sale" else ("merchant", "receivable")
            )
            self.move(gate, *sides, amount)
        return "approved", None, made.status

    def act(self, step: Step, payment: Payment) -> Expected:
        """Take a row that acts on a payment."""
        can = GATES[payment.gate]
        left = self.left(step.kind, payment)
        amount = self.meant(step, payment)
        refused = self.refused(step, payment, left)
        if refused:
            return "rejected", refused, None
        declines = step.kind == "refund" and payment.card == REFUNDS_DECLINE
        if declines or amount % 100_000 in DECLINING_AMOUNTS:
            return "declined", None, payment.status
        if step.kind == "capture":
            self.capture(payment, amount, final=step.final or not can["several_captures"])
        else:
            getattr(self, step.kind)(payment, amount)
        return "approved", None, payment.status

    def refused(self, step: Step, payment: Payment, left: int) -> str | None:
        """Give the reason to refuse a row, the first that fits."""
        can = GATES[payment.gate]
        if step.gate and step.gate != payment.gate:
            return "gate_differs"
        amount = self.meant(step, payment)
        by_status = self.refused_by_status(step.kind, payment)
        if by_status or left <= 0 or amount <= 0:
            return by_status or "nothing_left"
        if step.kind == "void" and not can["partial_void"] and amount < left:
            return "partial_not_supported"
        return "amount_above_left" if amount > left else None

    def refused_by_status(self, kind: str, payment: Payment) -> str | None:
        return str(getattr(self, f"{kind}_refused")(payment, GATES[payment.gate]) or "") or None

    def left(self, kind: str, payment: Payment) -> int:
        return int(getattr(self, f"{kind}_left")(payment, GATES[payment.gate]))

    def meant(self, step: Step, payment: Payment) -> int:
        """Give the amount of a row; without one a refund never gives more than was taken."""
        taken = payment.kept - payment.refunded
        most = taken if step.kind == "refund" else self.left(step.kind, payment)
        return most if step.amount is None else step.amount

    def lets(self, kind: str, payment: Payment) -> bool:
        return not self.refused_by_status(kind, payment) and self.left(kind, payment) > 0

    def capture_refused(self, payment: Payment, can: dict[str, Any]) -> str | None:
        allowed = {"authorized"}
        if can["several_captures"]:
            allowed |= {"partially_captured", "partially_refunded"}
        elif payment.captured and payment.origin != "credit":
            return "captured_already"
        return None if payment.status in allowed else "status_not_allowed"

    def capture_left(self, payment: Payment, _: dict[str, Any]) -> int:
        return payment.held

    def capture(self, payment: Payment, amount: int, *, final: bool) -> None:
        rest = payment.held - amount if final else 0
        payment.captured += amount
        payment.released += rest
        self.move(payment.gate, "receivable", "merchant", amount)
        self.move(payment.gate, "hold_contra", "hold", amount + rest)

    def void_refused(self, payment: Payment, can: dict[str, Any]) -> str | None:
        if payment.status == "voided":
            return "cancelled_already"
        if payment.held == 0 and 0 < payment.settled >= payment.kept:
            return "settled_already"
        allowed = {"authorized", "partially_captured", "partially_refunded"}
        if can["void_captured"]:
            allowed |= {"captured", "credited"}
        return None if payment.status in allowed else "status_not_allowed"

    def void_left(self, payment: Payment, can: dict[str, Any]) -> int:
        unsettled = payment.kept - payment.settled - payment.refunded
        return payment.held + (max(unsettled, 0) if can["void_captured"] else 0)

    def void(self, payment: Payment, amount: int) -> None:
        released = min(amount, payment.held)
        payment.released += released
        payment.cancelled += amount - released
        self.move(payment.gate, "hold_contra", "hold", released)
        sides = ("receivable", "merchant") if payment.origin == "credit" else None
        self.move(payment.gate, *(sides or ("merchant", "receivable")), amount - released)

    def refund_refused(self, payment: Payment, can: dict[str, Any]) -> str | None:
        allowed = {"settled", "partially_refunded"}
        if can["refund_before_settlement"]:
            allowed |= {"captured", "partially_captured"}
        elif payment.origin != "credit" and payment.settled < payment.kept:
            return "not_settled_yet"
        if can["refund_excess_percent"]:
            allowed |= {"refunded"}
        return None if payment.status in allowed else "status_not_allowed"

    def refund_left(self, payment: Payment, can: dict[str, Any]) -> int:
        ceiling = payment.kept * (100 + can["refund_excess_percent"]) // 100
        return int(ceiling - payment.refunded)

    def refund(self, payment: Payment, amount: int) -> None:
        payment.refunded += amount
        self.move(payment.gate, "merchant", "receivable", amount)


class Rows:
    """Draws rows from one source of chance: the first rows of a file are the same, however long."""

    def __init__(self, random: Random) -> None:
        self.one_of = random.choice

    def file(self, rows: int) -> list[Step]:
        """Give a file that begins with four good payments."""
        return [*(self.opening() for _ in range(4)), *(self.row() for _ in range(rows))]

    def row(self) -> Step:
        return self.one_of([self.new, self.new, self.verification, *[self.follow_up] * 9])()

    def opening(self) -> Step:
        return Step(
            kind=self.one_of(["authorize", "sale", "credit"]),
            gate=self.one_of([None, *GATES]),
            amount=self.one_of([1, 101, 60_000, 160_000, 160_000]),
            card=self.one_of([VISA, VISA, VISA, REFUNDS_DECLINE, HALF]),
        )

    def new(self) -> Step:
        return Step(
            kind=self.one_of(["authorize", "sale", "credit"]),
            gate=self.one_of([None, *GATES]),
            amount=self.one_of([0, 1, 100, 101, 50_204, 60_000]),
            card=self.one_of([VISA, VISA, DECLINES, REFUNDS_DECLINE, HALF, WRONG]),
        )

    def verification(self) -> Step:
        return Step(
            kind="verify",
            gate=self.one_of([None, *GATES]),
            amount=self.one_of([None, 0, 1]),
            card=self.one_of([VISA, VISA, AMEX, DECLINES, WRONG]),
        )

    def follow_up(self) -> Step:
        return Step(
            kind=self.one_of(["capture", "void", "refund"]),
            gate=self.one_of([*[None] * 6, "own", "usual"]),
            amount=self.one_of([None, 60, 110, *DECLINING_AMOUNTS]),
            percent=self.one_of([None, None, None, None, None, 1, 30, 99, 100, 101]),
            is_stray=self.one_of([False, False, True]),
            target=self.one_of(range(10)),
            by_id=self.one_of([False, True]),
            final=self.one_of([False, False, True]),
        )


class Trial:
    """One example: the engine and the model side by side."""

    def __init__(self, engine: Engine, name: str, *, shared_references: bool) -> None:
        self.engine, self.name, self.shared = engine, name, shared_references
        self.place = find_place(engine, "local", "model")
        self.model = Model()
        self.seen: list[Step] = []
        self.made: list[Payment | None] = []
        self.batch_ids: list[int] = []
        self.before = self._balances()
        self.met: Counter[tuple[str, str, str]] = Counter()

    def run(self, steps: list[Step]) -> None:
        """Run one file through both and compare."""
        batch = len(self.batch_ids)
        lines = [HEADER]
        expected: list[Expected] = []
        for line, step in enumerate(steps, start=2):
            lines.append(self._line_and_outcome(step, batch, line, expected))
        request = Request(file_name=f"{self.name}.csv", again=True)
        done = batches.run(self.engine, self.place, ["\n".join(lines).encode()], request)
        assert done.state == "completed"
        self.batch_ids.append(done.id)
        target = io.BytesIO()
        report(self.engine, done, self.place, target)
        result = pl.read_csv(target.getvalue(), infer_schema=False)
        found = list(result.select("outcome", "reason").iter_rows())
        told = "\n".join(
            f"{a}   {b}  {c}" for a, b, c in zip(lines[1:], found, expected, strict=True)
        )
        assert found == [each[:2] for each in expected], told
        assert self._statuses(done.id) == [each[2] for each in expected], told
        self.compare()

    def _line_and_outcome(self, step: Step, batch: int, line: int, expected: list[Expected]) -> str:
        origin = ""
        if step.kind in NEW:
            name = "shared" if self.shared and len(self.made) % 3 == 0 else len(self.made)
            step = replace(step, reference=f"{self.name}-{name}")
            before = len(self.model.payments)
            expected.append(self.model.make(step, batch, line))
            made = self.model.payments[before:]
            self.seen.append(step)
            self.made.append(made[0] if made else None)
            written = self._written(step, "")
        else:
            payment, name, refused = self._target(step, batch)
            if payment is not None:
                origin = payment.origin
                asked = self.model.left(step.kind, payment) * (step.percent or 0) // 100
                step = replace(
                    step,
                    gate=payment.gate if step.gate == "own" else step.gate,
                    amount=max(asked, 1) if step.percent else step.amount,
                )
                expected.append(self.model.act(step, payment))
            else:
                step = replace(step, gate=None if step.gate == "own" else step.gate)
                expected.append(("rejected", refused, None))
            written = self._written(step, name)
        outcome, reason, _ = expected[-1]
        self.met[step.kind, reason or outcome, ""] += 1
        self.met[step.kind, reason or outcome, origin] += bool(origin)
        return written

    def _target(self, step: Step, batch: int) -> tuple[Payment | None, str, str | None]:
        """Find the payment that a row acts on, how the row calls it, and why there is none."""
        places = list(range(len(self.seen)))
        if not step.is_stray:
            fit = [n for n in places if (p := self.made[n]) and self.model.lets(step.kind, p)]
            places = fit or places
        elif not step.target:
            return None, "nothing", "payment_unknown"
        place = places[step.target % len(places)]
        payment, name = self.made[place], self.seen[place].reference
        if step.by_id and payment is not None and payment.batch < batch:
            return payment, self._public_id(payment), None
        payment, refused = self.model.named(name, batch)
        assert payment is not None or refused is not None
        return payment, name, refused

    def _written(self, step: Step, payment: str) -> str:
        amount = "" if step.amount is None else str(step.amount)
        new = step.kind in NEW
        final = "true" if step.final and step.kind == "capture" else ""
        cells = [step.kind, step.gate or "", amount, "USD" if new else ""]
        cells += [step.card if new else "", "12/39" if new else "", step.reference]
        return ",".join([*cells, payment, final])

    def _public_id(self, payment: Payment) -> str:
        own = self.batch_ids[payment.batch] << 30 | payment.line
        ids = self.engine.public_ids.encode(pl.Series([own]), "pay", Shape.NATIVE)
        return str(ids[0])

    def close_day(self, places: list[int]) -> None:
        """Settle some payments, as a close of the gate's day will."""
        for place in places:
            payment = self.made[place % len(self.made)] if self.made else None
            amount = self.model.close_day(payment) if payment else 0
            if payment and amount:
                settle_directly(self.engine, self.place.merchant_id, self._key(payment), payment)
        self.compare()

    def _key(self, payment: Payment) -> int:
        return self.batch_ids[payment.batch] << 30 | payment.line

    def compare(self) -> None:
        """Compare payments and balances, and hold the laws against the database."""
        with self.engine.database.transaction() as connection:
            rows = connection.execute(
                f"SELECT id, {', '.join(COMPARED)} FROM payment WHERE id >= %s ORDER BY id",
                [self.batch_ids[0] << 30],
            ).fetchall()
            assert not ledger.broken_balances(connection)
            assert not ledger.broken_laws(connection)
            moved = connection.execute(
                "SELECT count(*) FROM outcome AS u JOIN transfer AS t "
                "ON t.merchant_id = u.merchant_id AND t.operation_id = u.id "
                "WHERE u.state <> 'approved'"
            ).fetchone()
        assert moved == (0,)
        assert rows == [
            (self._key(each), *(getattr(each, name) for name in COMPARED))
            for each in self.model.payments
        ]
        now = self._balances()
        grown = {key: now[key] - self.before[key] for key in now if now[key] != self.before[key]}
        assert grown == {key: value for key, value in self.model.balances.items() if value}

    def _balances(self) -> Counter[tuple[str, str]]:
        with self.engine.database.transaction() as connection:
            rows = ledger.balances(connection)
        return Counter(
            {(r["gate"], r["account"]): r["debit_minor"] - r["credit_minor"] for r in rows}
        )

    def _statuses(self, batch_id: int) -> list[str | None]:
        with self.engine.database.transaction() as connection:
            rows = connection.execute(
                "SELECT status FROM outcome WHERE id BETWEEN %s AND %s ORDER BY id",
                [batch_id << 30, (batch_id + 1) << 30],
            ).fetchall()
        return [row[0] for row in rows]


def settle_directly(engine: Engine, merchant_id: int, key: int, payment: Payment) -> None:
    """Settle what is kept of a payment, with its transfer: no kind does this yet."""
    sides = ("receivable", "clearing") if payment.origin == "credit" else ("clearing", "receivable")
    with engine.database.transaction() as connection:
        row = connection.execute(
            "WITH old AS (SELECT * FROM payment WHERE merchant_id = %(m)s AND id = %(id)s) "
            "UPDATE payment AS p SET settled = p.captured - p.cancelled FROM old "
            "WHERE p.merchant_id = %(m)s AND p.id = %(id)s "
            "RETURNING p.gate_id, p.settled - old.settled",
            {"m": merchant_id, "id": key},
        ).fetchone()
        assert row is not None
        moved = {
            "merchant_id": merchant_id,
            "gate_id": row[0],
            "currency": "USD",
            "operation_id": key,
            "number": 100 + next(_settlements),
            "debit": sides[0],
            "credit": sides[1],
            "amount_minor": row[1],
        }
        kinds = {"merchant_id": pl.Int32, "gate_id": pl.Int32, "number": pl.Int16}
        store_transfers(engine, connection, pl.DataFrame([moved], schema_overrides=kinds))


def add_gates(engine: Engine) -> None:
    """Make a merchant with a gate of each capability."""
    with engine.database.transaction() as connection:
        directory.add_merchant(connection, "model", "Model", "local")
        for name, capabilities in GATES.items():
            values = gate_values(name, merchant="model", capabilities=json.dumps(capabilities))
            directory.add_gate(connection, values)


def test_rules_are_tried_in_the_order_of_precedence(engine: Engine) -> None:
    add_gates(engine)
    place = find_place(engine, "local", "model")
    own = [gate.id for gate in place.gates if gate.merchant == "model"]
    kinds = [kind for kind in registry.kinds().values() if kind.subject is Subject.PAYMENT]
    assert len(own) == len(GATES)
    for gate_id, kind in product(own, kinds):
        ranks = [PRECEDENCE[fault.reason.value] for fault in _ladder(place, gate_id, kind)]
        assert ranks == sorted(ranks), (gate_id, kind.name)


def test_random_files_do_what_the_model_does(
    engine: Engine, with_settings: Callable[..., Engine]
) -> None:
    add_gates(engine)

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES == EXAMPLES_USUAL,
        database=None,
        phases=[Phase.generate],  # rows that are drawn by chance do not shrink
        suppress_health_check=list(HealthCheck),
    )
    @given(
        random=st.randoms(use_true_random=True),
        rows=st.lists(st.integers(20, 40), min_size=2, max_size=3),
        chunk_rows=st.sampled_from([4, 10, 50_000]),
        shared_references=st.booleans(),
    )
    def trial(random: Random, rows: list[int], chunk_rows: int, *, shared_references: bool) -> None:
        own, drawn = with_settings(chunk_rows=chunk_rows), Rows(random)
        example = Trial(own, f"e{next(_examples)}", shared_references=shared_references)
        for each in rows:
            example.run(drawn.file(each))
            example.close_day([random.randrange(100) for _ in range(8)])
        met.update(example.met)

    met: Counter[tuple[str, str, str]] = Counter()
    trial()
    short = {each: met[each] for each, floor in FLOORS.items() if met[each] < floor}
    assert not short, f"too few of what the test is for: {short}; in all: {met}"
