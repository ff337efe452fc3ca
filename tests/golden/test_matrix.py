"""The matrix of kinds and payments is that of ``matrix.txt``; what is refused moves nothing."""

from collections import defaultdict
from pathlib import Path
from textwrap import fill

import pytest

from gates_support import GATES
from matrix_support import STATES, Done, Gate, actions, name_of, status_of
from paybatch.flow.engine import Engine
from tests_support import laws_hold

KEPT = Path(__file__).with_name("matrix.txt")
INDENT = {"initial_indent": " " * 8, "subsequent_indent": " " * 8}
HEAD = """\
Every kind that acts on a payment, by the state of the payment, at two gates. All payments are of
1000. "allowed" changes neither the status nor the books. An arrow gives the payment's status after
the operation and its postings, debit <- credit; "makes" the status of the new payment. In brackets:
what else is true of the payments, such as "settled", or what they came from.
"""


def cells(gate: Gate, labels: list[str], states: list[str]) -> dict[tuple[str, str], Done]:
    """Carry out every action on every state's payment; hold that what is refused moves nothing."""
    asked = [(label, state) for label in labels for state in states]
    known, before, ids = actions(), gate.payments(), gate.ids()
    rows = [
        {
            **known[label][1],
            "kind": known[label][0].name,
            "payment": ids[name_of(state, label)],
            **({"alert_id": f"EA-{number}"} if "alert_id" in known[label][1] else {}),
        }
        for number, (label, state) in enumerate(asked)
    ]
    ended = dict(zip(asked, gate.run(rows), strict=True))
    after = gate.payments()
    for (label, state), done in ended.items():
        if done.state != "approved":
            name = name_of(state, label)
            assert (after[name], done.postings) == (before[name], ""), (label, state)
    return ended


def told(done: Done, state: str, *, makes: bool) -> str:
    """Say how a cell ended."""
    if done.state != "approved":
        return f"{done.reason or done.state}"
    if not makes and not done.postings and done.status == status_of(state):
        return "allowed"
    became = "makes " if makes else "-> "
    return f"{became}{done.status}{': ' if done.postings else ''}{done.postings}"


def page(gate: Gate) -> list[str]:
    """Give the lines of a gate."""
    labels = list(actions())
    absent = gate.make(labels)
    states = [state for state in STATES if state not in absent]
    found = cells(gate, labels, states)
    lines = [f"\n\n=== {gate.name} gate ===", ""]
    lines += [f"{state}: not here ({why})" for state, why in absent.items()]
    for label in sorted(labels):
        makes = actions()[label][0].chains
        answers: dict[str, list[str]] = defaultdict(list)
        for state in states:
            answers[told(found[label, state], state, makes=makes)].append(state)
        lines += ["", label]
        for answer, group in answers.items():
            lines += [f"    {answer}", fill(" ".join(group), 96, **INDENT)]
    return lines


def test_the_matrix_is_kept(engine: Engine, request: pytest.FixtureRequest) -> None:
    lines = [line for name in GATES for line in page(Gate(engine, name))]
    made = HEAD + "\n".join(lines) + "\n"
    assert laws_hold(engine)
    if request.config.getoption("--rewrite", default=False):
        KEPT.write_text(made, "utf-8")
    assert made == KEPT.read_text("utf-8"), "if this is meant, run `make golden` and read the diff"
