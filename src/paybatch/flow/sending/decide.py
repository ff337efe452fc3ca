"""Decide: a person says what became of an unknown call, or has it asked about at once.

A decision is settled exactly as a reply is, and the audit keeps who decided what, and why. It
never meets a look-up: while somebody asks about a call nobody decides it, and a look-up that was
taken for lost finds, when it comes back, that the call is not its own any more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from paybatch.domain.connector import REPLY_SCHEMA, Response, Result
from paybatch.domain.masking import mask_text
from paybatch.flow.engine import Engine
from paybatch.flow.people import WrongError
from paybatch.flow.place import place_of_merchants
from paybatch.flow.sending.close_day import carry_on_all
from paybatch.flow.sending.decided_close import end_as_decided
from paybatch.flow.sending.rebuilt import rebuilt
from paybatch.flow.sending.recover import Verdicts, concluded, recover
from paybatch.store import attempts, closings, directory
from paybatch.store.database import ConstraintError

DECISIONS = (Result.APPROVED, Result.DECLINED, Result.FAILED)
NOTE_MAX = 500
_RESPONSES = {Result.APPROVED: Response.APPROVED, Result.DECLINED: Response.DECLINED}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person says became of a call; ``amount_minor`` None = all that was asked for."""

    result: Result
    note: str
    actor: str
    amount_minor: int | None = None


@dataclass(frozen=True)
class Decided:
    """A call that was decided: its batch (None = a single call), and what counts as approved."""

    batch_id: int | None
    approved_minor: int


def decide(
    engine: Engine, merchant_ids: Sequence[int], operation_id: int, decision: Decision
) -> Decided:
    """Settle an unknown call as a person says, and let what waited for it go on.

    Raises:
        WrongError: It is not unknown, somebody asks about it right now, or the amount or the note
            cannot be.
    """
    note = " ".join(mask_text(decision.note).split())
    if not note or len(note) > NOTE_MAX or not note.isprintable():
        raise WrongError(f"A decision needs a note of 1 to {NOTE_MAX} printable characters.")
    with engine.database.transaction() as connection:
        found = attempts.find_one(connection, merchant_ids, operation_id)
    if found.is_empty() or found["was"][0] not in {"unknown", "person"}:
        raise WrongError("This operation is not unknown; see `paybatch unknown list`.")
    approved = _approved(decision, found["amount_minor"][0] or 0)
    if _is_close(engine, found):
        return _decide_close(engine, found, decision, note)
    place = place_of_merchants(engine, found["merchant_id"].to_list())
    calls = rebuilt(engine, place, found)
    told = {
        "operation": operation_id,
        "result": decision.result.value,
        "approved_minor": approved,
        "response": _RESPONSES.get(decision.result),
    }
    replies = pl.DataFrame([told], schema=REPLY_SCHEMA).with_columns_seq(
        verdict_reason=pl.lit(None, pl.String), verdict=pl.lit(f"a person decided it: {note}")
    )
    key, now = (int(found["merchant_id"][0]), operation_id), engine.clock()
    with _kept_rules(), engine.database.transaction() as connection:
        taken = attempts.take_one(connection, key, now)
        if taken.is_empty():
            raise WrongError("It is asked about right now; look again in a few minutes.")
        concluded(engine, connection, Verdicts(place, taken, calls, replies))
        detail = _audited(found.row(0, named=True), decision.result, approved, note)
        subject = f"operation:{operation_id}"
        directory.record(connection, now, decision.actor, "operation.decided", subject, **detail)
    is_single = found["chunk_number"][0] is None
    return Decided(None if is_single else int(found["batch_id"][0]), approved)


def _is_close(engine: Engine, found: pl.DataFrame) -> bool:
    key = (int(found["merchant_id"][0]), int(found["operation_id"][0]))
    with engine.database.transaction() as connection:
        return closings.is_closing(connection, *key)


def _decide_close(engine: Engine, found: pl.DataFrame, decision: Decision, note: str) -> Decided:
    """Let a close of day be taken or not, of all of which its processors have told nothing."""
    before, now = found.row(0, named=True), engine.clock()
    key = (int(before["merchant_id"]), int(before["operation_id"]))
    with engine.database.transaction() as connection:
        taken = attempts.take_one(connection, key, now)
        if taken.is_empty():
            raise WrongError("It is asked about right now; look again in a few minutes.")
        said = f"a person decided it: {note}"
        end_as_decided(engine, connection, taken.row(0, named=True), decision.result, said)
        detail = _audited(before, decision.result, 0, note)
        subject = f"operation:{key[1]}"
        directory.record(connection, now, decision.actor, "operation.decided", subject, **detail)
    is_single = before["chunk_number"] is None
    return Decided(None if is_single else int(before["batch_id"]), 0)


@contextmanager
def _kept_rules() -> Iterator[None]:
    """Tell a person when a decision cannot be, as the payment stands; nothing of it is done."""
    try:
        yield
    except ConstraintError as error:
        raise WrongError(
            f"This cannot be settled as the payment stands now: it breaks {error.constraint}."
        ) from error


def _approved(decision: Decision, asked_minor: int) -> int:
    """Give the approved amount of a decision, in minor units."""
    told = decision.amount_minor
    if decision.result is not Result.APPROVED:
        if told is not None:
            raise WrongError("An amount goes with --approved only.")
        return 0
    approved = asked_minor if told is None else told
    if not min(asked_minor, 1) <= approved <= asked_minor:
        raise WrongError(f"The amount may be 1 to {asked_minor} minor units, which was asked for.")
    return approved


def _audited(
    before: dict[str, Any], result: Result, approved: int, note: str
) -> dict[str, str | int | None]:
    """Give what the audit keeps of a decision: where the call stood, and where it stands."""
    return {
        "before": before["was"],
        "asked": before["looks"],
        "requested_minor": before["amount_minor"],
        "after": result.value,
        "approved_minor": approved,
        "note": note,
    }


def look(engine: Engine, merchant_ids: Sequence[int], operation_id: int | None = None) -> int:
    """Ask about what is unknown at once, or about one operation; give how many are known now.

    Raises:
        WrongError: The operation is not unknown, or somebody asks about it right now.
    """
    ids = None if operation_id is None else [operation_id]
    with engine.database.transaction() as connection:
        hastened = attempts.hasten(connection, merchant_ids, ids, engine.clock())
    if ids is not None and not hastened:
        raise WrongError("It is not unknown, or it is asked about right now.")
    return recover(engine) + carry_on_all(engine) if hastened else 0


def unknown(engine: Engine, merchant_ids: Sequence[int], limit: int) -> list[dict[str, Any]]:
    """List what is unknown, oldest first; ``payment_id`` is what a call acts on or is to make."""
    with engine.database.transaction() as connection:
        rows = attempts.list_unknown(connection, merchant_ids, limit)
    return [{**row, "payment_id": row["payment_id"] or row["operation_id"]} for row in rows]
