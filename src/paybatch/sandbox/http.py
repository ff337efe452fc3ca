"""HTTP/1.1 as the sandbox speaks it: one request at a time on a connection, which is kept alive.

httptools reads it. The faults need the connection itself in hand (half an answer, no answer, two
of them), so there is no framework in between.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import httptools

BODY_BYTES_MAX = 1 << 20
JSON = "application/json"
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
}


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, and on which connection."""

    connection: "Connection"
    method: str
    path: str
    query: str
    body: bytes


def written(body: bytes, status: int = 200, kind: str = JSON, head: str = "") -> bytes:
    """Write an answer."""
    first = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\n{head}"
    return f"{first}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, asked: Callable[[Request], None], known: set["Connection"]) -> None:
        self.asked, self.known = asked, known
        self.transport: asyncio.Transport | None = None
        self.is_busy = False  # a request is under way
        self.is_last = False  # it is closed when the request under way is answered
        self._parser = httptools.HttpRequestParser(self)
        self._url, self._body = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self.known.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """End; what is under way is done all the same."""
        self.transport = None
        self.known.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.drop()

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url, self._body = b"", b""

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body += body
        if len(self._body) > BODY_BYTES_MAX:
            self.drop()

    def on_message_complete(self) -> None:
        """Hand the request on. A second one before the answer is not spoken here."""
        if self.is_busy:
            self.drop()
            return
        self.is_busy = True
        self.is_last |= not self._parser.should_keep_alive()
        url: Any = httptools.parse_url(self._url)
        method = self._parser.get_method().decode()
        query = (url.query or b"").decode()
        self.asked(Request(self, method, url.path.decode(), query, self._body))

    def answer(self, written: bytes) -> None:
        """Send an answer, or a part of one, to a client that may be gone."""
        self.is_busy = False
        if self.transport is not None:
            self.transport.write(written)
            if self.is_last:
                self.transport.close()

    def drop(self) -> None:
        """End the connection, after what was written."""
        if self.transport is not None:
            self.transport.close()

    def end(self) -> None:
        """End the connection as soon as no request is under way."""
        self.is_last = True
        if not self.is_busy:
            self.drop()
