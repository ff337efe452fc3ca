"""The lives of an operation and of a batch, as tables of arrows with a sentence each.

The database holds the same rules: ``outcome`` is insert-only with one row per operation, and a
batch changes its state by guarded updates that name the states it may leave.
"""

from enum import StrEnum


class OperationState(StrEnum):
    """Where an operation stands. The final ones stand in table ``outcome``."""

    QUEUED = "queued"  # accepted, nothing sent
    SENDING = "sending"  # its attempt is written and may have reached the processor
    UNKNOWN = "unknown"  # sent, and the effect is not known
    REJECTED = "rejected"  # we refuse; nothing was sent
    REPLAYED = "replayed"  # the same key was done before; points at the first
    APPROVED = "approved"  # done by the processor
    DECLINED = "declined"  # refused by the processor
    FAILED = "failed"  # known to have had no effect
    CANCELLED = "cancelled"  # never sent, because its batch was stopped


class BatchState(StrEnum):
    """Where a batch stands."""

    RECEIVED = "received"  # its bytes are stored
    CHECKING = "checking"  # rows are being read, checked and stored
    REFUSED = "refused"  # nothing of it was or will be sent
    READY = "ready"  # accepted; may be released
    AWAITING_APPROVAL = "awaiting_approval"  # wants a second person
    SCHEDULED = "scheduled"  # released, starts later
    RUNNING = "running"  # chunks are claimed, sent and settled
    WAITING = "waiting"  # only unknown rows and their followers are left
    PAUSING = "pausing"  # no new claims; calls in flight finish
    PAUSED = "paused"
    CANCELLING = "cancelling"  # nothing is read or claimed any more; calls in flight finish
    CANCELLED = "cancelled"
    COMPLETED = "completed"  # every row has its final outcome


OPERATION_ARROWS: dict[tuple[str | None, str], str] = {
    (None, "queued"): "the row is accepted",
    (None, "rejected"): "the row fails a check",
    (None, "replayed"): "its idempotency key was done before with the same values",
    ("queued", "rejected"): "the payment's state refuses it when it is claimed",
    ("queued", "sending"): "its attempt is written, in the transaction of claim",
    ("queued", "approved"): "an inline connector approves it in the transaction of claim",
    ("queued", "declined"): "an inline connector declines it in the transaction of claim",
    ("queued", "cancelled"): "its batch is cancelled, or stopped by its policy",
    ("sending", "approved"): "the processor approves",
    ("sending", "declined"): "the processor declines",
    ("sending", "failed"): "the call is known to have had no effect",
    ("sending", "unknown"): "no clear answer came before the deadline",
    ("unknown", "approved"): "a look-up or a person says that it was approved",
    ("unknown", "declined"): "a look-up or a person says that it was declined",
    ("unknown", "failed"): "a look-up or a person says that it had no effect",
}

BATCH_ARROWS: dict[tuple[str | None, str], str] = {
    (None, "received"): "the file's bytes are stored",
    ("received", "checking"): "reading begins",
    ("received", "refused"): "the file cannot be read at all, or was not read in time",
    ("received", "cancelling"): "a person cancels it before it is read",
    ("checking", "refused"): "as a received one; or a row is wrong, and the policy is all-or-none",
    ("checking", "ready"): "every row is stored, accepted or rejected",
    ("checking", "cancelling"): "a person cancels it while it is read",
    ("ready", "running"): "the policy releases it at once",
    ("ready", "awaiting_approval"): "the policy wants a second person",
    ("ready", "scheduled"): "it is released for a later time",
    ("ready", "cancelling"): "a person cancels it before anything was sent",
    ("awaiting_approval", "running"): "a second person approves",
    ("awaiting_approval", "cancelling"): "a second person refuses, or it is withdrawn",
    ("scheduled", "running"): "its time has come",
    ("scheduled", "cancelling"): "a person cancels it before its time",
    ("running", "completed"): "every row has its final outcome",
    ("running", "waiting"): "only unknown rows and their followers are left",
    ("running", "pausing"): "a person or a circuit breaker pauses it",
    ("running", "cancelling"): "a person cancels it, or stop-after is reached",
    ("waiting", "running"): "an unknown row became known and its followers can go on",
    ("waiting", "completed"): "the last unknown row became known",
    ("waiting", "cancelling"): "a person cancels the followers",
    ("pausing", "paused"): "the last call in flight is settled",
    ("pausing", "running"): "it is resumed before the last call came back",
    ("pausing", "cancelling"): "a person cancels it while it is pausing",
    ("paused", "running"): "it is resumed",
    ("paused", "cancelling"): "a person cancels it",
    ("cancelling", "cancelled"): "the last call in flight is settled, the rest is cancelled",
}

OPERATION_FINAL = frozenset({"rejected", "replayed", "approved", "declined", "failed", "cancelled"})
BATCH_FINAL = frozenset({"refused", "cancelled", "completed"})


def states_before(target: BatchState) -> list[str]:
    """Name the states that a batch may leave for ``target``: the guard of its update."""
    return [source for source, aim in BATCH_ARROWS if aim == target and source is not None]


def diagram(arrows: dict[tuple[str | None, str], str]) -> str:
    """Draw a table of arrows as a Mermaid state diagram for the documents."""
    lines = ["stateDiagram-v2"]
    for (source, target), sentence in arrows.items():
        lines.append(f"    {source or '[*]'} --> {target}: {sentence}")
    return "\n".join(lines)
