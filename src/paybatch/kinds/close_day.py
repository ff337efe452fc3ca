"""Close day: settle everything that is due at a gate, or at every gate of a processor.

When: the day's business is done. Captures that are not settled become settled, and so do refunds
and payouts: they move from receivable to clearing and can no longer be voided. Each gate gets a
settlement for each currency, with counts and sums, and its next business day is opened: one ahead
of the calendar at most, so closes that follow on the same day bear the day that has not begun. The
days of holds, captures and debits are the calendar's and move with no close. Where the
connector can, the processor is told, and must approve. Payments whose outcome is not known do not
hold it up: they fall into the day in which they settle. Totals that are expected (`expected_...`)
must be those of the day, over all gates of the row: otherwise nothing moves. Where the processor
declines nothing moves either, and the gates stay closing until a person looks and unlocks them. At
a gate that is closing rows of files wait, and single calls are told to come again. A processor that
is really outside is told when the calls under way have drained; what it takes is settled, gate by
gate and currency by currency, and without its answer the close is unknown and asked about.

Sources: ConnPay Close Day For Selected Gates; Commerce Web Services ``CaptureAll`` (its totals).
"""

from paybatch.domain import columns, gates
from paybatch.domain.effects import CloseDay
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject

KIND = Kind(
    name="close_day",
    title="Close of day",
    group="Gates",
    verb=None,
    subject=Subject.GATE,
    fields=(*gates.FIELDS, *columns.CONTROL_TOTALS),
    amount=AmountRule.NONE,
    faults=gates.FAULTS,
    effects=(CloseDay(),),
    reads=(columns.PROCESSOR, *columns.CONTROL_TOTALS),
    waits_for_all=True,
    opposite=None,
    undone="what is settled is refunded",
    permission="close_day",
    risk=Risk.MARK,
    samples=({"processor": "sandbox"},),
)
