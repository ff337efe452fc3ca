"""Capture all: capture every open authorization of a gate, or those that are chosen.

When: the day's authorizations are to be taken together. Each gets a `capture` of its own, with an
id, an outcome and postings, as if a file had named it; this row's result is their totals: sales,
returns, voids (what of the holds was released with them) and net. `payments` chooses some, or
`since_on` and `until_on` those of some business days. `differences` gives amounts other than all
that is left; the rest of the hold is released, unless `final` is false. At a gate with
`terminal_capture` what was captured, and the returns and credits that wait, are then settled as one
batch. The totals of what is chosen may be expected: otherwise nothing is captured. It comes in
files only.

Sources: Commerce Web Services ``CaptureAll``, ``CaptureSelective``.
"""

from paybatch.domain import columns, gates
from paybatch.domain.effects import CloseDay, Expand
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.selection import FAULTS

KIND = Kind(
    name="capture_all",
    title="Capture of everything open",
    group="Gates",
    verb=None,
    subject=Subject.GATE,
    fields=(
        *(*gates.FIELDS, *columns.SELECTION, columns.FINAL),
        *(columns.EXPECTED_SALE_COUNT, columns.EXPECTED_SALE),
    ),
    amount=AmountRule.NONE,
    faults=(*gates.FAULTS, *FAULTS),
    effects=(Expand(kind="capture", closes=CloseDay(opens_next=False)),),
    reads=(
        *(columns.PROCESSOR, *columns.SELECTION),
        *(columns.EXPECTED_SALE_COUNT, columns.EXPECTED_SALE),
    ),
    waits_for_all=True,
    opposite=None,
    undone="each capture is voided before settlement, refunded after it",
    permission="capture",
    risk=Risk.TAKES,
    samples=({"gate": "sandbox"},),
    samples_need=("authorize",),
)
