"""Sandbox http: speaks to ``paybatch sandbox``, a processor in a process of its own.

It is the model of a connector with an effect outside. One rule is above all: what may have had an
effect is ``unknown``, and only what surely had none may be sent again (``not_taken``). So a
time-out, a connection that ended, a 5xx and an answer that is not about our key are unknown; a
connection that was never made and a 429 are not taken. The test cards are those of the connector
sandbox, and 4000000000000259, which is pending for a while.

Source: the sandbox's own manual, docs/sandbox.md.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from functools import cache
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any
from urllib.parse import quote

import msgspec
import polars as pl

from paybatch.domain.connector import OPTIONAL, REPLY_SCHEMA, Connector, Response, Result, Verb

CALLS_IN_FLIGHT = 500  # of this process, however many send at the same time
TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
_GROUP_ROWS, _GROUP_SECONDS = 500, 0.05  # replies are handed on in groups, so that few are in doubt
_MAKES = ["sale", "authorize", "verify", "credit", "debit"]  # these make a payment of their own
_RESPONSES = {
    "00": Response.APPROVED,
    "05": Response.DECLINED,
    "10": Response.PARTIALLY_APPROVED,
    "11": Response.CHALLENGED,
    "12": Response.INVALID_TRANSACTION,
    "13": Response.INVALID_AMOUNT,
    "41": Response.LOST_CARD,
    "43": Response.STOLEN_CARD,
    "51": Response.INSUFFICIENT_FUNDS,
    "54": Response.EXPIRED_CARD,
    "57": Response.DO_NOT_HONOR,
    "61": Response.LIMIT_EXCEEDED,
    "94": Response.DUPLICATE,
    "96": Response.PROCESSOR_ERROR,
}
_REPLY = pl.Schema({**REPLY_SCHEMA, **OPTIONAL})
_NOT_DONE = frozenset({400, 401, 403, 404, 413, 422})  # refused as a request: it had no effect
Ask = Callable[[Any, dict[str, Any]], Awaitable[tuple[Any, ...]]]


class _Answer(msgspec.Struct):
    """What the sandbox answers; an answer of another form is not believed."""

    key: str
    status: str
    code: str
    text: str
    approved_minor: int
    approval_code: str | None
    avs: str | None
    cvv: str | None
    score: int | None


_read = msgspec.json.Decoder(_Answer).decode


class _Line:
    """An event loop in a thread of its own, and one client with its connections, for all sends."""

    def __init__(self) -> None:
        # They are slow to load, and only who has calls to send pays for it.
        import uvloop  # noqa: PLC0415
        from pyreqwest.client import ClientBuilder  # noqa: PLC0415

        self.loop = uvloop.new_event_loop()
        self.slots = asyncio.Semaphore(CALLS_IN_FLIGHT)
        self.client = (
            ClientBuilder()
            .timeout(timedelta(seconds=TIMEOUT_SECONDS))
            .connect_timeout(timedelta(seconds=CONNECT_SECONDS))
            .pool_max_idle_per_host(CALLS_IN_FLIGHT)
            .follow_redirects(False)  # a call goes where the gate says, and once
            .no_proxy()
            .build()
        )
        threading.Thread(target=self.loop.run_forever, name="sandbox_http", daemon=True).start()

    async def ask_all(
        self, ask: Ask, calls: list[dict[str, Any]], put: Callable[[list[Any]], None]
    ) -> None:
        """Ask for each call, so many at once as there are slots; put replies in groups."""
        waiting, group = iter(calls), list[Any]()

        def hand_on() -> None:
            if group:
                put(group.copy())
                group.clear()

        async def pull() -> None:
            for call in waiting:
                async with self.slots:
                    group.append(await ask(self.client, call))
                if len(group) >= _GROUP_ROWS:
                    hand_on()

        async def beat() -> None:
            while True:
                await asyncio.sleep(_GROUP_SECONDS)
                hand_on()

        beating = asyncio.create_task(beat())
        try:
            await asyncio.gather(*(pull() for _ in range(min(len(calls), CALLS_IN_FLIGHT))))
        finally:
            beating.cancel()
            hand_on()


_line = cache(_Line)


def _asked(ask: Ask, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Ask for every call in the line's thread; give the replies as they come."""
    line, box = _line(), SimpleQueue[list[Any]]()
    wire = calls.select_seq(_wire()).rows(named=True)
    future = asyncio.run_coroutine_threadsafe(line.ask_all(ask, wire, box.put), line.loop)
    future.add_done_callback(lambda _: box.put([]))
    try:
        while rows := box.get():
            yield pl.DataFrame(rows, schema=_REPLY, orient="row")
        future.result()  # raises what went wrong in the line
    finally:
        future.cancel()


def _wire() -> list[pl.Expr]:
    """Give what we need of a call ourselves, and its body as the sandbox reads it."""
    own = pl.col("verb").is_in(_MAKES) | pl.col("payment").is_null()
    operation, payment = (pl.col(name).cast(pl.String) for name in ("operation", "payment"))
    amount = pl.col("amount_minor").fill_null(0)
    body = pl.struct(
        pl.col("key", "verb", "currency", "cvv", "bank_code"),
        amount,
        pl.when(own).then(operation).otherwise(payment).alias("payment"),
        pl.coalesce("test_value", "payment_test_value", "masked").alias("card"),
        pl.col("billing_postal_code").alias("postal_code"),
        pl.col("voice_approval_code").alias("approval_code"),
    )
    url = pl.col("setting_url").str.strip_chars_end("/")
    return [
        pl.col("operation", "key"),
        amount,
        url.alias("url"),
        body.struct.json_encode().alias("body"),
    ]


async def _posted(client: Any, call: dict[str, Any]) -> tuple[Any, ...]:
    """Send one call; give its reply."""
    from pyreqwest.exceptions import ConnectError, ConnectTimeoutError, RequestError  # noqa: PLC0415

    operation = call["operation"]
    try:
        asking = client.post(f"{call['url']}/calls").body_text(call["body"])
        answer = await asking.header("Content-Type", "application/json").build().send()
        body = bytes(await answer.bytes())
    except (ConnectError, ConnectTimeoutError) as error:  # no byte left the house
        return _no_effect(operation, Response.NOT_TAKEN, "", type(error).__name__)
    except RequestError as error:
        return _unknown(operation, "", type(error).__name__)
    if answer.status == HTTPStatus.OK:
        return _answered(call, body)
    code = str(answer.status)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = answer.headers.get("Retry-After", "")
        wait = int(seconds) if seconds.isdigit() else None
        return _no_effect(operation, Response.NOT_TAKEN, code, "too many requests", wait)
    if answer.status in _NOT_DONE:
        return _no_effect(operation, Response.INVALID_TRANSACTION, code, "the request was refused")
    return _unknown(operation, code, "an error of the processor")


async def _looked_up(client: Any, call: dict[str, Any]) -> tuple[Any, ...]:
    """Ask what became of one key; give the reply to its call."""
    from pyreqwest.exceptions import RequestError  # noqa: PLC0415

    operation = call["operation"]
    try:
        url = f"{call['url']}/calls/{quote(call['key'], safe='')}"
        answer = await client.get(url).build().send()
        body = bytes(await answer.bytes())
    except RequestError as error:
        return _unknown(operation, "", type(error).__name__)
    if answer.status == HTTPStatus.OK:
        return _answered(call, body)
    is_missing = body == b'{"error":"not_found"}'  # the key; a page may be missing too
    if answer.status == HTTPStatus.NOT_FOUND and is_missing:
        return _no_effect(operation, Response.NOT_FOUND, "404", "the key is not known")
    return _unknown(operation, str(answer.status), "it did not say what became of the key")


def _answered(call: dict[str, Any], body: bytes) -> tuple[Any, ...]:
    """Give the reply that an answer makes; one that is not about our call is not believed."""
    operation = call["operation"]
    try:
        told = _read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _unknown(operation, "", "the answer cannot be read")
    if told.key != call["key"] or told.approved_minor > call["amount_minor"]:
        return _unknown(operation, told.code, "the answer is not about this call")
    if told.status not in {"approved", "declined"}:
        return _unknown(operation, told.code, told.text, Response.PENDING)
    if told.code == "94":  # the key was taken with other values, which is a fault of ours
        return _no_effect(operation, Response.DUPLICATE, told.code, told.text)
    result = Result.APPROVED if told.status == "approved" else Result.DECLINED
    response = _RESPONSES.get(told.code, Response.DECLINED)
    how = (told.code, told.text, told.approval_code, told.avs, told.cvv, told.score, None)
    return (operation, result, told.approved_minor, response, *how)


def _unknown(
    operation: int, code: str, text: str, response: Response = Response.NO_ANSWER
) -> tuple[Any, ...]:
    rest = (None, None, None, None, None)
    return (operation, Result.UNKNOWN, 0, response, code, text, *rest)


def _no_effect(
    operation: int, response: Response, code: str, text: str, retry_after_seconds: int | None = None
) -> tuple[Any, ...]:
    rest = (None, None, None, None, retry_after_seconds)
    return (operation, Result.FAILED, 0, response, code, text, *rest)


CONNECTOR = Connector(
    name="sandbox_http",
    title="Sandbox outside",
    inline=False,
    idempotent=True,
    verbs=frozenset(Verb),
    wants=frozenset({"billing_postal_code", "voice_approval_code"}),
    test_values={
        "4000000000000002": "declined",
        "4000000000009995": "insufficient_funds",
        "4000000000009987": "lost_card",
        "4000000000009979": "stolen_card",
        "4000000000000069": "expired_card",
        "4000000000000010": "approves, its refunds decline",
        "4000000000000051": "approves half of the amount",
        "4000000000000119": "approves, and is held by its fraud score",
        "4000000000000259": "pending, approved later",
        "4000000000000127": "scores 95",
        "4000000000000135": "scores 50",
        "000000000": "decline",
        "000000001": "approve, returned later",
    },
    settings={"url": "the sandbox's address, such as http://127.0.0.1:8085"},
    calls_in_flight=CALLS_IN_FLIGHT,
    timeout_seconds=TIMEOUT_SECONDS,
    send=lambda calls: _asked(_posted, calls),
    look_up=lambda calls: _asked(_looked_up, calls),
)
