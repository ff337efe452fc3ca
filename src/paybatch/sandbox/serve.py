"""The process: listens on a loopback port until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from paybatch.sandbox.books import Books, Clock
from paybatch.sandbox.callbacks import deliver
from paybatch.sandbox.faults import Control, Faults
from paybatch.sandbox.http import Connection, Request
from paybatch.sandbox.site import Site

HOST = "127.0.0.1"
_BACKLOG = 4_096
_TICK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Start:
    """How the sandbox begins. ``home`` holds its books, ``port`` 0 is any that is free."""

    home: Path
    port: int
    clock: Clock
    seed: int = 0
    control: Control = field(default_factory=Control)


def serve(start: Start, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``told`` gets the address.

    Raises:
        OSError: The port is taken, or the home cannot be written.
    """
    start.home.mkdir(parents=True, exist_ok=True)
    books = Books(start.home / "books.sqlite3", start.clock)
    try:
        uvloop.run(_Process(start, books).run(told))
    finally:
        books.close()


class _Process:
    def __init__(self, start: Start, books: Books) -> None:
        self.start, self.books, self.port = start, books, start.port
        self.known: set[Connection] = set()
        self.server: asyncio.Server | None = None
        self.opening: asyncio.Task[None] | None = None

    async def run(self, told: Callable[[str], None]) -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self.site = Site(self.books, Faults(self.start.seed), self.refuse)
        self.site.control(self.start.control)
        await self.listen()
        told(f"http://{HOST}:{self.port}")
        ticking = loop.create_task(self.tick())
        await stop.wait()
        ticking.cancel()
        self.close()
        with suppress(asyncio.CancelledError):
            await ticking

    async def listen(self) -> None:
        """Take connections."""
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            return Connection(self.asked, self.known)

        self.server = await loop.create_server(connection, HOST, self.port, backlog=_BACKLOG)
        self.port = self.server.sockets[0].getsockname()[1]

    def asked(self, request: Request) -> None:
        self.site.asked(request)

    def close(self) -> None:
        """Take no connections any more; those that are there end with the request under way."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for each in list(self.known):
            each.end()

    def refuse(self, seconds: float) -> None:
        """Refuse connections for a while."""
        if self.server is None:
            return
        self.close()

        async def again() -> None:
            await asyncio.sleep(seconds)
            await self.listen()

        self.opening = asyncio.get_running_loop().create_task(again())

    async def tick(self) -> None:
        """Let what is pending take effect when it is due, and deliver callbacks."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            self.books.settle_due()
            if self.site.callback_url:
                await deliver(self.books, self.site.callback_url)
