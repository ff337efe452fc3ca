"""Watch: the pages of a worker's port: ``/health``, ``/ready`` and ``/metrics``.

Health says that the process answers. Ready says that it takes work: its database answers, and it
is not stopping. The port is for those who run the house: it has no password, so it listens on
this machine only unless it is told another address.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from paybatch.flow.engine import Engine
from paybatch.flow.metrics import Metrics
from paybatch.flow.schema import schema_fault
from paybatch.store import directory
from paybatch.store.database import DatabaseBusyError, DatabaseGoneError

READY_SECONDS = 3.0  # who asks waits only so long
_TEXT = "text/plain; charset=utf-8"
Page = tuple[HTTPStatus, str, bytes]


def page(engine: Engine, registry: CollectorRegistry, path: str) -> Page:
    """Give a page: its status, type and content."""
    try:
        match path.partition("?")[0]:
            case "/health":
                return HTTPStatus.OK, _TEXT, b"ok\n"
            case "/ready":
                return _ready(engine)
            case "/metrics":
                return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)
    except (DatabaseGoneError, DatabaseBusyError):
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"the database does not answer\n"
    return HTTPStatus.NOT_FOUND, _TEXT, b"/health, /ready or /metrics\n"


def _ready(engine: Engine) -> Page:
    if engine.stopping.is_set():
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"stopping\n"
    with engine.database.transaction(READY_SECONDS) as connection:
        fault = schema_fault(directory.find_schema(connection))
    if fault is not None:
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{fault}\n".encode()
    return HTTPStatus.OK, _TEXT, b"ready\n"


@contextmanager
def watched(engine: Engine, host: str, port: int) -> Iterator[int]:
    """Answer on a port in threads of its own, until the block ends; gives the port.

    Raises:
        OSError: The port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(Metrics(engine))

    class Handler(BaseHTTPRequestHandler):
        """Answers one request."""

        def do_GET(self) -> None:
            """Give the page that is asked for."""
            status, kind, content = page(engine, registry, self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: somebody asks every few seconds."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="watch", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
