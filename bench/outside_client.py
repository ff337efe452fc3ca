"""The yardstick of outside calls: the leanest client there is does the same calls, nothing else.

``python -m bench.outside_client URL CALLS [IN_FLIGHT]`` sends sales to a running ``paybatch
sandbox`` and prints JSON: ``calls_per_second``, ``cpu_microseconds`` for each call. It has no
limits, no time-outs and no books: what it does not reach, nobody does on this machine.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import cast

import httptools
import uvloop

IN_FLIGHT = 500
_HEAD = "POST /calls HTTP/1.1\r\nHost: sandbox\r\nContent-Type: application/json\r\n"


class _Conversation(asyncio.Protocol):
    """One connection: sends a call, waits for the answer, sends the next."""

    def __init__(self, calls: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self.calls, self.done = calls, done
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.ask()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        assert self.parser.get_status_code() == 200  # noqa: PLR2004 - OK
        self.ask()

    def ask(self) -> None:
        assert self.transport is not None
        body = next(self.calls, None)
        if body is None:
            self.transport.close()
            self.done.set_result(None)
        else:
            self.transport.write(f"{_HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)


def _calls(count: int) -> Iterator[bytes]:
    run = os.urandom(4).hex()
    for number in range(count):
        call = {"verb": "sale", "amount_minor": 1_000 + number % 40_000, "currency": "USD"}
        told = {"key": f"{run}-{number}", "payment": str(number), "card": "411111******1111"}
        yield json.dumps({**call, **told}).encode()


async def bare(url: str, count: int, in_flight: int) -> dict[str, float]:
    """Do so many calls; give how many a second, and what each took of the processor."""
    loop, calls = asyncio.get_running_loop(), _calls(count)
    host, _, port = url.removeprefix("http://").strip("/").partition(":")
    started, busy = time.monotonic(), time.process_time()
    done = [loop.create_future() for _ in range(in_flight)]
    for each in done:
        await loop.create_connection(lambda each=each: _Conversation(calls, each), host, int(port))
    await asyncio.gather(*done)
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    return {"calls_per_second": count / seconds, "cpu_microseconds": busy / count * 1e6}


if __name__ == "__main__":
    in_flight = int(sys.argv[3]) if sys.argv[3:] else IN_FLIGHT
    sys.stdout.write(json.dumps(uvloop.run(bare(sys.argv[1], int(sys.argv[2]), in_flight))) + "\n")
