"""A link between two hosts that can be cut: what is sent meanwhile arrives later, as with TCP."""

import socket
import threading
from contextlib import suppress


class Link:
    """Listens on a port of this machine, and forwards to an address as long as it is not cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open = threading.Event()
        self._open.set()
        self._ends: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        self._is_over = False
        threading.Thread(target=self._take, daemon=True).start()

    def cut(self) -> None:
        """Forward nothing from here on; nobody is told."""
        self._open.clear()

    def mend(self) -> None:
        """Go on."""
        self._open.set()

    def close(self) -> None:
        """End it, and what goes through it."""
        self._is_over = True
        self._open.set()
        for each in [self._listening, *self._ends]:
            _close(each)

    def _take(self) -> None:
        while not self._is_over:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        self._open.wait()
        try:
            far = socket.create_connection(self._target, timeout=10)
        except OSError:
            _close(near)
            return
        far.settimeout(None)
        self._ends += [near, far]
        threading.Thread(target=self._pump, args=(near, far), daemon=True).start()
        self._pump(far, near)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self._open.wait()
                target.sendall(data)
        self._open.wait()  # the other end learns of it when the link is there again
        _close(target)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
