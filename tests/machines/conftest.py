"""One PostgreSQL server by TCP and one processor for these tests; a house for each."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from hosts_support import House
from sandbox_support import USUAL, Outside, outside
from server_support import OWNER, Server

_numbers = count(1)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Give a folder that the server's own user can pass through."""
    found = Path(tempfile.mkdtemp(prefix="paybatch-machines-"))
    found.chmod(0o711)
    yield found
    shutil.rmtree(found, ignore_errors=True)


@pytest.fixture(scope="session")
def tcp_server(folder: Path) -> Iterator[Server]:
    """Give a server with the documented roles and the schema, made by the documented command."""
    server = Server(folder / "server")
    server.set_up()
    migrated(server)
    yield server
    server.stop()


def migrated(server: Server) -> None:
    """Let the owner's role make the schema."""
    environment = {**os.environ, "PAYBATCH_DATABASE_URL": server.url(OWNER)}
    words = [sys.executable, "-m", "paybatch", "migrate"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def processor(folder: Path) -> Iterator[Outside]:
    with outside(folder / "processor") as found:
        yield found


@pytest.fixture
def house(tcp_server: Server, processor: Outside, tmp_path: Path) -> Iterator[House]:
    """Give a house whose processor takes its time."""
    processor.control(**USUAL | {"latency_ms": 400})
    found = House(tcp_server, processor, tmp_path, f"house_{next(_numbers)}")
    yield found
    found.close()
