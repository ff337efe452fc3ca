"""How connectors ask processors outside: many calls at once over HTTP, answers as they come.

It holds the law of outside calls in one place. What may have had an effect is ``unknown``: no
answer in time, a connection that ended, an error of the processor. What surely had none is
``not_taken`` and may be sent again with its key: the connection was not made, or the processor was
too busy (429). The rest is the connector's: what a call looks like, and what an answer means.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any

import polars as pl

from paybatch.domain.connector import OPTIONAL, REPLY_SCHEMA, Response, Result

REPLY = pl.Schema({**REPLY_SCHEMA, **OPTIONAL})
Reply = tuple[Any, ...]  # the columns of ``REPLY``
Call = dict[str, Any]
Ask = Callable[[Call], Awaitable[Reply]]
_CONNECT_SECONDS = 5.0
_GROUP_ROWS, _GROUP_SECONDS = 500, 0.05  # replies are handed on in groups, so that few are in doubt


class NotTakenError(Exception):
    """A call surely had no effect; it may be sent again."""

    def __init__(self, text: str, code: str = "", retry_after_seconds: int | None = None) -> None:
        super().__init__(text)
        self.text, self.code, self.retry_after_seconds = text, code, retry_after_seconds


class NoAnswerError(Exception):
    """Nothing came that can be believed; the call may have had an effect."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text, self.code = text, code


@dataclass(frozen=True, slots=True)
class Came:
    """What came from a processor: not an error of its own (5xx), nor that it is too busy (429)."""

    status: int
    body: bytes


def unknown(
    call: Call, text: str, code: str = "", response: Response = Response.NO_ANSWER
) -> Reply:
    """Reply that a call may have had an effect."""
    rest = (None, None, None, None, None, None)
    return (call["operation"], Result.UNKNOWN, 0, response, code, text, *rest)


def no_effect(
    call: Call,
    response: Response,
    text: str,
    code: str = "",
    retry_after_seconds: int | None = None,
) -> Reply:
    """Reply that a call had no effect."""
    rest = (None, None, None, None, None, retry_after_seconds)
    return (call["operation"], Result.FAILED, 0, response, code, text, *rest)


class Line:
    """An event loop in a thread of its own, and one client with its connections, for all sends.

    It begins with the first call. However many threads ask at the same time, no more than
    ``calls_in_flight`` calls are under way.
    """

    def __init__(self, name: str, *, calls_in_flight: int, timeout_seconds: float) -> None:
        self.name, self.calls_in_flight = name, calls_in_flight
        self.timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(calls_in_flight)
        self._starting = threading.Lock()

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        import uvloop  # noqa: PLC0415 - only who has calls to send waits until it is loaded

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        threading.Thread(target=loop.run_forever, name=self.name, daemon=True).start()
        return loop

    @cached_property
    def _client(self) -> Any:
        from pyreqwest.client import ClientBuilder  # noqa: PLC0415 - as above

        builder = ClientBuilder().timeout(timedelta(seconds=self.timeout_seconds))
        builder = builder.connect_timeout(timedelta(seconds=_CONNECT_SECONDS))
        builder = builder.pool_max_idle_per_host(self.calls_in_flight)
        # A call goes where the gate says, and once.
        return builder.follow_redirects(False).no_proxy().build()

    async def post(self, url: str, body: str) -> Came:
        """Send a body of JSON.

        Raises:
            NotTakenError: The connection was not made, or the processor was too busy.
            NoAnswerError: No answer came, or an error of the processor.
        """
        asking = self._client.post(url).body_text(body)
        return await _came(asking.header("Content-Type", "application/json"))

    async def get(self, url: str) -> Came:
        """Ask for a page; raises as ``post`` does."""
        return await _came(self._client.get(url))

    def ask_all(self, ask: Ask, calls: pl.DataFrame, *, looks_up: bool) -> Iterator[pl.DataFrame]:
        """Ask for every call in the line's thread; give the replies in groups as they come.

        ``calls`` has ``operation``, ``send_before_epoch`` and whatever ``ask`` needs.
        """
        box = SimpleQueue[list[Reply]]()
        with self._starting:
            loop = self._loop
        asking = self._all(ask, calls.rows(named=True), box.put, looks_up=looks_up)
        future = asyncio.run_coroutine_threadsafe(asking, loop)
        future.add_done_callback(lambda _: box.put([]))
        try:
            while rows := box.get():
                yield pl.DataFrame(rows, schema=REPLY, orient="row")
            future.result()  # raises what went wrong in the thread
        finally:
            future.cancel()

    async def _all(
        self, ask: Ask, calls: list[Call], put: Callable[[list[Reply]], None], *, looks_up: bool
    ) -> None:
        waiting, group = iter(calls), list[Reply]()

        def hand_on() -> None:
            if group:
                put(group.copy())
                group.clear()

        async def pull() -> None:
            for call in waiting:
                async with self._slots:
                    if looks_up or time.time() < call["send_before_epoch"]:
                        group.append(await _reply(ask, call, looks_up=looks_up))
                    else:  # a worker that was stopped for so long has lost the call to another
                        group.append(no_effect(call, Response.NOT_TAKEN, "its time was over"))
                if len(group) >= _GROUP_ROWS:
                    hand_on()

        async def beat() -> None:
            while True:
                await asyncio.sleep(_GROUP_SECONDS)
                hand_on()

        beating = asyncio.create_task(beat())
        try:
            await asyncio.gather(*(pull() for _ in range(min(len(calls), self.calls_in_flight))))
        finally:
            beating.cancel()
            hand_on()


async def _reply(ask: Ask, call: Call, *, looks_up: bool) -> Reply:
    try:
        return await ask(call)
    except NoAnswerError as error:
        return unknown(call, error.text, error.code)
    except NotTakenError as error:
        if looks_up:  # the question was not taken; of the call it says nothing
            return unknown(call, error.text, error.code)
        wait = error.retry_after_seconds
        return no_effect(call, Response.NOT_TAKEN, error.text, error.code, wait)


async def _came(asking: Any) -> Came:
    from pyreqwest.exceptions import RequestError  # noqa: PLC0415 - as above

    try:
        answer = await asking.build().send()
        body = bytes(await answer.bytes())
    except RequestError as error:
        if _never_connected(error):
            raise NotTakenError("the connection was not made") from error
        raise NoAnswerError(type(error).__name__) from error
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        told = answer.headers.get("Retry-After", "")
        raise NotTakenError("too many requests", "429", int(told) if told.isdigit() else None)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise NoAnswerError("an error of the processor", str(answer.status))
    return Came(answer.status, body)


def _never_connected(error: Any) -> bool:
    """Tell whether no byte left the house; the classes of these errors do not tell it.

    What ends before an answer begins is a ``ConnectError`` there too, also when the call was sent.
    Should the library say it in other words one day, such calls are unknown, which is safe.
    """
    causes = (error.details or {}).get("causes") or []
    return any(each["message"] == "client error (Connect)" for each in causes)
