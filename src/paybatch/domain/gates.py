"""Gates as what a row acts on: one that it names, or every one of a processor."""

import polars as pl

from paybatch.domain import columns
from paybatch.domain.kind import Fault
from paybatch.domain.reasons import Reason

FIELDS = (
    *(columns.KIND, columns.MERCHANT, columns.GATE, columns.PROCESSOR, columns.REFERENCE),
    columns.IDEMPOTENCY_KEY,
)
_gate, _processor = pl.col("gate").is_not_null(), pl.col("processor").is_not_null()
FAULTS = (
    Fault(Reason.GATES_MISSING, "gate", ~_gate & ~_processor),
    Fault(Reason.GATES_SEVERAL, "gate", _gate & _processor),
)
