"""Gate unlock: open a gate again that a close of day left closing.

When: the processor did not take the close of a gate's day, and a person has found out why. After
it the day can be closed once more, and rows that waited for the gate go on. A gate that is open
stays open. A close without an answer stays asked about, and what it is to settle stays reserved.

Source: ConnPay Close Day For Selected Gates; the way out of a close that got stuck is our own.
"""

from paybatch.domain import columns, gates
from paybatch.domain.effects import UnlockGate
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject

KIND = Kind(
    name="gate_unlock",
    title="Unlocking of a gate",
    group="Gates",
    verb=None,
    subject=Subject.GATE,
    fields=gates.FIELDS,
    amount=AmountRule.NONE,
    faults=gates.FAULTS,
    effects=(UnlockGate(),),
    reads=(columns.PROCESSOR,),
    waits_for_all=True,
    opposite=None,
    permission="close_day",
    risk=Risk.MARK,
    samples=({"processor": "sandbox"},),
)
