"""Decided close: a person says what became of a close of day that no processor tells of."""

from collections.abc import Mapping
from typing import Any

from paybatch.domain.connector import Response, Result
from paybatch.flow.engine import Engine
from paybatch.flow.people import WrongError
from paybatch.flow.place import place_of_merchants
from paybatch.flow.sending.asked_close import Room
from paybatch.flow.sending.close_day import finish
from paybatch.store import closings
from paybatch.store.closings import TOLD, Taken
from paybatch.store.database import Connection, Row

_NAMES = (
    *("merchant_id", "operation_id", "batch_id", "chunk_number", "looks"),
    *("created_at", "sent_at"),
)


def end_as_decided(
    engine: Engine,
    connection: Connection[Row],
    attempt: Mapping[str, Any],
    result: Result,
    said: str,
) -> None:
    """End a close (its attempt was taken) with a decision about every call without an answer.

    Raises:
        WrongError: No processor was told of it yet.
    """
    taken = Taken(**{name: attempt[name] for name in _NAMES})
    closing = closings.hold_closing(connection, taken)
    if closing is None or closing.state != TOLD:
        raise WrongError("No processor was told of this close yet; look again in a minute.")
    response = Response.APPROVED if result is Result.APPROVED else Response.DECLINED
    answer = {
        "result": result.value,
        "response": response.value if result is not Result.FAILED else None,
        "processor_code": None,
        "processor_text": said,
        "approval_code": None,
    }
    for call in closings.list_calls(connection, taken):
        closings.answer_call(connection, taken, {"number": call.number, **answer})
    room = Room(engine, place_of_merchants(engine, [taken.merchant_id]), taken)
    finish(room, connection, closing, closings.list_calls(connection, taken))
