"""What the sandbox does with requests: each finds its page, and calls go to the books in groups."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from paybatch.sandbox import listings
from paybatch.sandbox.books import Books
from paybatch.sandbox.faults import Control, Fault, Faults
from paybatch.sandbox.http import Request, written
from paybatch.sandbox.words import Call, read_call, write

_MAIN = "main"  # the account of an address without a path
_NOT_DONE = frozenset({Fault.TIMEOUT_BEFORE, Fault.DROP_BEFORE, Fault.BUSY})
_COIN = frozenset({Fault.ERROR_500, Fault.ERROR_502})
_OF_CALLS = frozenset({Fault.STUCK, Fault.PENDING, Fault.REFUSE})  # a look-up has no effect
_SILENT = frozenset({Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER})
_OWN = (
    *("latency_ms", "jitter_ms", "late_seconds", "hold_seconds", "refuse_seconds"),
    *("retry_after_seconds", "callback_url"),
)
_read_control = msgspec.json.Decoder(Control).decode
Drawn = tuple[Fault | None, float, bool]


class Site:
    """Answers requests; all of it runs in one event loop."""

    def __init__(self, books: Books, faults: Faults, refuse: Callable[[float], None]) -> None:
        self.books, self.faults, self.refuse = books, faults, refuse
        self.latency_ms, self.jitter_ms = 0.0, 0.0
        self.late_seconds, self.refuse_seconds = 3.0, 2.0
        self.hold_seconds = 120.0
        self.retry_after_seconds = 1
        self.has_look_up = True
        self.callback_url = ""
        self.loop = asyncio.get_running_loop()
        self._waiting: list[tuple[str, Call, Drawn, Request]] = []
        self._reading: set[asyncio.Task[None]] = set()

    def asked(self, request: Request) -> None:
        """Answer a request, now or later."""
        try:
            self._asked(request)
        except (msgspec.MsgspecError, ValueError) as error:
            self._tell(request, {"error": str(error)}, 400)

    def _asked(self, request: Request) -> None:
        account, page, rest = _place(request.path)
        if page == "calls" and request.method == "POST":
            self._call(account, request)
        elif page == "calls" and rest:
            self._look_up(account, rest, request)
        elif page == "control":
            if request.method == "POST":
                self.control(_read_control(request.body))
            self._tell(request, self.state())
        elif page in listings.PAGES and request.method == "GET":
            self._list(account, page, rest, request)
        else:
            self._tell(request, {"error": "there is no such page"}, 404)

    def _call(self, account: str, request: Request) -> None:
        call = read_call(request.body)
        drawn = self.faults.of(call.key)
        fault, _, coin = drawn
        if fault in _NOT_DONE or (fault in _COIN and coin):
            self._answer(request, b"", drawn)
        elif fault is Fault.STUCK:
            taken = partial(self._wait, account, call, drawn, request)
            self.loop.call_later(self.late_seconds, taken)
        else:
            self._wait(account, call, drawn, request)

    def _wait(self, account: str, call: Call, drawn: Drawn, request: Request) -> None:
        """Let a call wait for the others that come in this turn of the loop: one commit for all."""
        if not self._waiting:
            self.loop.call_soon(self._take)
        self._waiting.append((account, call, drawn, request))

    def _take(self) -> None:
        taken, self._waiting = self._waiting, []
        calls = [(account, call, drawn[0] is Fault.PENDING) for account, call, drawn, _ in taken]
        for told, (_, _, drawn, request) in zip(self.books.take(calls), taken, strict=True):
            self._answer(request, told, drawn)
            if drawn[0] is Fault.REFUSE:
                self.refuse(self.refuse_seconds)

    def _look_up(self, account: str, key: str, request: Request) -> None:
        if not self.has_look_up:
            self._tell(request, {"error": "there is no look-up"}, 501)
            return
        fault, share, coin = self.faults.of(f"look up {key}", is_call=False)
        if fault in _OF_CALLS:
            fault = None
        told = self.books.find(account, key)
        missing = b'{"error":"not_found"}'
        self._answer(request, told or missing, (fault, share, coin), 200 if told else 404)

    def _answer(self, request: Request, told: bytes, drawn: Drawn, status: int = 200) -> None:
        """Send an answer in the way of its fault, after the latency."""
        fault, share, coin = drawn
        if fault in _SILENT:
            self.loop.call_later(self.hold_seconds, request.connection.drop)
            return
        seconds = (self.latency_ms + self.jitter_ms * share) / 1000
        if fault is Fault.LATE:
            seconds += self.late_seconds
        send = partial(self._send, request, told, fault, coin=coin, status=status)
        if seconds:
            self.loop.call_later(seconds, send)
        else:
            send()

    def _send(
        self, request: Request, told: bytes, fault: Fault | None, *, coin: bool, status: int
    ) -> None:
        answer, connection = written(told, status), request.connection
        if fault is Fault.DROP_BEFORE:
            connection.drop()
        elif fault is Fault.DROP_AFTER:
            connection.answer(answer[: -len(told) // 2])
            connection.drop()
        elif fault is Fault.BUSY:
            head = f"Retry-After: {self.retry_after_seconds}\r\n"
            connection.answer(written(b'{"error":"too many requests"}', 429, head=head))
        elif fault is Fault.ERROR_500 or fault is Fault.ERROR_502:
            connection.answer(written(b"<html>error</html>", int(fault[-3:]), "text/html"))
        elif fault is Fault.MALFORMED:
            connection.answer(written(_spoiled(told, coin=coin)))
        elif fault is Fault.DUPLICATE:
            connection.answer(answer + answer)
        else:
            connection.answer(answer)

    def _tell(self, request: Request, told: Any, status: int = 200) -> None:
        request.connection.answer(written(write(told), status))

    def _list(self, account: str, page: str, rest: str, request: Request) -> None:
        """Read a listing in a thread: it may be long, and calls go on meanwhile."""
        asked = {name: each[-1] for name, each in parse_qs(request.query).items()}

        async def read() -> None:
            try:
                kind, body = await asyncio.to_thread(
                    listings.PAGES[page], self.books, account, rest, asked
                )
            except LookupError as error:
                self._tell(request, {"error": str(error)}, 404)
            except ValueError as error:
                self._tell(request, {"error": str(error)}, 400)
            else:
                request.connection.answer(written(body, kind=kind))

        task = self.loop.create_task(read())
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    def control(self, told: Control) -> None:
        """Behave otherwise from now on, as far as it is told."""
        for name in _OWN:
            setattr(self, name, _or(getattr(told, name), getattr(self, name)))
        self.has_look_up = _or(told.look_up, self.has_look_up)
        self.books.is_idempotent = _or(told.idempotency, self.books.is_idempotent)
        self.books.settle_seconds = _or(told.settle_seconds, self.books.settle_seconds)
        self.faults.rates = _or(told.rates, self.faults.rates)
        self.faults.next.update(_or(told.next, {}))
        if _or(told.refuse, False):
            self.refuse(self.refuse_seconds)

    def state(self) -> dict[str, Any]:
        """Tell how it behaves now, and how often each fault was injected."""
        return {
            "rates": self.faults.rates,
            "next": self.faults.next,
            **{name: getattr(self, name) for name in _OWN},
            "settle_seconds": self.books.settle_seconds,
            "idempotency": self.books.is_idempotent,
            "look_up": self.has_look_up,
            "seed": self.faults.seed,
            "injected": self.faults.injected,
        }


_PAGES = frozenset({"calls", "control", *listings.PAGES})


def _place(path: str) -> tuple[str, str, str]:
    """Give account, page and what is behind it: ``/shop/calls/1-1``, or ``/calls/1-1``."""
    first, _, rest = path.lstrip("/").partition("/")
    if first in _PAGES:
        return _MAIN, first, unquote(rest)
    page, _, rest = rest.partition("/")
    return unquote(first), page, unquote(rest)


def _or(told: Any, known: Any) -> Any:
    return known if told is msgspec.UNSET else told


def _spoiled(told: bytes, *, coin: bool) -> bytes:
    """Spoil an answer: it is cut, or it names a key that nobody asked for."""
    return told.replace(b'"key":"', b'"key":"not-', 1) if coin else told[: len(told) // 2]
