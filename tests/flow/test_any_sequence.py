"""Any sequence of operations: amounts obey their rules, the laws hold, refusals move nothing.

No model says here what must be allowed (`test_lifecycle` does for some kinds): whatever the engine
allows, of all kinds that act on payments, must leave the books and the payments sound.
"""

import os
from collections import Counter
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from matrix_support import BANK_SALE, CREDIT, HELD, HOLD, SALE, TRANSFER, Cells, Done, Gate, actions
from paybatch.domain.kind import AmountRule, Kind
from paybatch.flow.engine import Engine
from settle_support import settle
from tests_support import idle_here, laws_hold

USUAL_EXAMPLES = 12
MORE_EXAMPLES = 40  # at most so many, while chance has not yet brought each kind to an approval
EXAMPLES = int(os.environ.get("PAYBATCH_TEST_EXAMPLES", USUAL_EXAMPLES))
MAKERS = [SALE, HOLD, CREDIT, BANK_SALE, TRANSFER, {**SALE, **HELD}, {**HOLD, **HELD}]
MAKERS += [{**TRANSFER, "transfer_direction": "out"}, *[HOLD] * 4]  # a hold is soon closed
_files = count(1)


def faults(row: dict[str, Any]) -> list[str]:
    """Give the rules that a payment's amounts break."""
    kept, excess = row["captured"] - row["cancelled"], row["refund_excess_percent"]
    given = row["refunded"] + row["returned"] + row["charged_back"] - row["represented"]
    facts = row["returned"] + row["charged_back"] > 0
    rules = {
        "nothing is negative": min(v for v in row.values() if isinstance(v, int)) >= 0,
        "captured within the hold": row["captured"] + row["released"] <= row["authorized"],
        "settled and cancelled within the captured": row["settled"] + row["cancelled"]
        <= row["captured"],
        "refunded within what was kept": row["refunded"] * 100 <= kept * (100 + excess),
        "no more given back than kept but by facts": facts or given * 100 <= kept * (100 + excess),
        "facts are of what was captured once": not facts or row["captured"] > 0,
        "prepared within what may be undone": (row["prepared"] + row["refunded"]) * 100
        <= (row["authorized"] - row["released"] - row["cancelled"]) * (100 + excess),
        "won back within what was charged back": row["represented"] <= row["charged_back"],
        "nothing is reserved": not any(row[n] for n in row if n.startswith("reserved_")),
        "nothing moved before its state allows it": row["state"]
        not in {"declined", "filtered", "verified", "challenged", "transfer_pending", "sent"}
        or not row["captured"],
    }
    return [rule for rule, holds in rules.items() if not holds]


def drawn_actions() -> list[tuple[Kind, Cells]]:
    """Give what may act on the payments.

    Direct debits need mandates, see `test_debits`; recurring payments are in `test_recurring`.
    """
    others = {"Direct debits", "Recurring payments"}
    return [each for each in actions().values() if each[0].group not in others]


class Trial:
    """Random files at one gate."""

    def __init__(self, gate: Gate, random: Random) -> None:
        self.gate, self.random, self.own = gate, random, f"f{next(_files)}"
        self.names: list[str] = []

    def file(self, rows: int) -> list[Cells]:
        """Draw a file: new payments first, then operations on those and on earlier ones."""
        one_of, drawn = self.random.choice, []
        for _ in range(2):
            self.names.append(f"{self.own}-{len(self.names)}")
            amount = {"amount_minor": one_of(["1", "999", "1000"])}
            drawn.append({**one_of(MAKERS), **amount, "reference": self.names[-1]})
        known = drawn_actions()
        while len(drawn) < rows:
            kind, cells = one_of(known)
            row = {**cells, "kind": kind.name, "payment": one_of(self.names)}
            if kind.amount is AmountRule.LEFT and "amount_minor" in cells:
                row |= {"amount_minor": one_of(["1", "60", "400", "1000", "50200"])}
            if kind.makes:
                self.names.append(f"{self.own}-{len(self.names)}")
                row["reference"] = self.names[-1]
            drawn.append(row)
        return drawn

    def run(self, rows: list[Cells]) -> list[tuple[Cells, Done]]:
        """Run a file, and hold everything that must be true after it."""
        ended = self.gate.run(rows)
        for row, done in zip(rows, ended, strict=True):
            assert done.state == "approved" or not done.postings, (row, done)
        known = self.gate.payments()
        broken = {name: faults(known[name]) for name in self.names if name in known}
        assert not any(broken.values()), (broken, rows)
        assert laws_hold(self.gate.engine)
        return list(zip(rows, ended, strict=True))

    def settle(self) -> None:
        """Settle some of the payments."""
        known = self.gate.payments()
        some = [known[name]["id"] for name in self.names[::2] if name in known]
        with self.gate.engine.database.transaction() as connection:
            settle(self.gate.engine, connection, [int(str(each)) for each in some])
        assert laws_hold(self.gate.engine)


def test_any_sequence_leaves_everything_sound(engine: Engine) -> None:
    gates, met = {name: Gate(engine, name) for name in ("usual", "strict")}, Counter[str]()

    def play(random: Random, name: str) -> None:
        example = Trial(gates[name], random)
        for _ in range(3):
            for row, done in example.run(example.file(60)):
                met[f"{row['kind']} {done.state}"] += 1
            example.settle()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES == USUAL_EXAMPLES,
        database=None,
        phases=[Phase.generate],  # rows that are drawn by chance do not shrink
        suppress_health_check=list(HealthCheck),
    )
    @given(random=st.randoms(use_true_random=True), name=st.sampled_from(sorted(gates)))
    def trial(random: Random, name: str) -> None:
        play(random, name)

    def idle_kinds() -> list[str]:
        kinds = {kind.name for kind, _ in drawn_actions()} - idle_here()
        return sorted(kind for kind in kinds if not met[f"{kind} approved"])

    trial()
    for seed in range(MORE_EXAMPLES):
        if not idle_kinds():
            break
        play(Random(seed), "strict" if seed % 2 else "usual")
    idle = idle_kinds()
    assert not idle, f"never approved: {idle}; in all: {met}"


@pytest.mark.parametrize("name", ["usual", "strict"])
def test_a_refused_row_leaves_its_payment_as_it_was(engine: Engine, name: str) -> None:
    """Rows one by one, each against the payment as it stood before it."""
    example = Trial(Gate(engine, name), Random(7))
    example.run(example.file(30))
    example.settle()
    refused = 0
    for row in example.file(42)[2:]:
        before = example.gate.payments()
        ((_, done),) = example.run([row])
        if done.state != "approved":
            refused += 1
            after = example.gate.payments()
            if done.state == "declined" and row.get("reference") in after:
                assert after.pop(str(row["reference"]))["status"] == "declined"
            assert after == before, (row, done)
    assert refused > 5


def on(kind: str, amount: str = "", **cells: str) -> Cells:
    """Give a row that acts on the payment ``p``."""
    return {"kind": kind, "payment": "p", "amount_minor": amount, **cells}


RETURN = {"return_code": "R01"}


@pytest.mark.parametrize(
    ("rows", "outcomes", "status", "amounts"),
    [
        (
            [SALE, on("refund"), on("chargeback"), on("chargeback_reversal")],
            "aaaa",
            "refunded",
            {"refunded": 1000, "charged_back": 1000, "represented": 1000},
        ),
        (
            [SALE, on("refund", "600"), on("chargeback"), on("refund", "1"), on("reverse")],
            "aaarr",
            "charged_back",
            {"refunded": 600, "charged_back": 1000},
        ),
        (
            [SALE, on("chargeback", "400"), on("refund", "601"), on("refund"), on("refund", "1")],
            "aarar",
            "charged_back",
            {"refunded": 600, "charged_back": 400},
        ),
        (
            [SALE, on("chargeback"), on("chargeback_reversal", "300"), on("refund"), on("void")],
            "aaaar",
            "charged_back",
            {"represented": 300, "refunded": 300},
        ),
        (
            [BANK_SALE, on("refund"), on("debit_return", **RETURN), on("refund", "1")],
            "aaar",
            "returned",
            {"refunded": 1000, "returned": 1000},
        ),
        (
            [BANK_SALE, on("debit_return", "400", **RETURN), on("refund"), on("void")],
            "aaar",
            "partially_refunded",
            {"refunded": 600, "returned": 400},
        ),
        (
            [BANK_SALE, on("debit_return", "400", **RETURN), on("void"), on("refund")],
            "aaar",
            "returned",
            {"cancelled": 600, "returned": 400},
        ),
        (
            [HOLD, on("void"), on("capture"), on("void"), on("reverse")],
            "aarrr",
            "voided",
            {"released": 1000},
        ),
    ],
)
def test_facts_and_refunds_on_one_payment(
    engine: Engine, rows: list[Cells], outcomes: str, status: str, amounts: dict[str, int]
) -> None:
    gate = Gate(engine, "usual")
    ended = gate.run([{**rows[0], "reference": "p"}, *rows[1:]])
    assert "".join(done.state[0] for done in ended) == outcomes, ended
    payment = gate.payments()["p"]
    assert {name: payment[name] for name in ("status", *amounts)} == {"status": status, **amounts}
    assert not any(done.postings for done in ended if done.state != "approved")
    assert laws_hold(engine)


def test_a_follower_of_a_payment_that_was_never_made_is_refused(engine: Engine) -> None:
    """A gate decides what a transfer's arrival does; a row without a payment has no gate."""
    gate = Gate(engine, "usual")
    rebill = on("rebill", "100", reference="never", currency="USD")
    later = {"kind": "mark_received", "payment": "never"}
    ended = gate.run([{**HOLD, "reference": "p"}, rebill, later])
    assert [done.state for done in ended] == ["approved", "rejected", "rejected"]


def test_nothing_is_given_beyond_what_was_taken_unless_it_is_asked_for(engine: Engine) -> None:
    gate = Gate(engine, "strict")  # allows 15 percent more
    gate.run([{**SALE, "reference": "p"}])
    with engine.database.transaction() as connection:
        ids = [int(str(row["id"])) for row in gate.payments().values()]
        settle(engine, connection, ids)
    ended = gate.run([on("refund"), on("refund"), on("reverse"), on("refund", "151")])
    assert [done.reason for done in ended] == [
        *(None, "nothing_left", "nothing_left", "amount_above_left")
    ]
    assert gate.payments()["p"]["refunded"] == 1000
