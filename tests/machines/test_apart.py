"""A host whose link to the database is gone: no packet comes or goes, and nobody is told.

The server is in a network namespace with a link for each host; one of the links is taken down.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hosts_support import OPTIONS, House, one_effect_per_row, until
from sandbox_support import USUAL, Outside
from server_support import OWNER, Server
from tests_support import laws_hold

ROWS = 400
NAME = f"paybatch{os.getpid() % 100_000}"
# As those of the engine, but short: no test waits for half a minute.
LOOKS = {"keepalives_idle": 1, "keepalives_interval": 1, "keepalives_count": 2}
LOOKS |= {"tcp_user_timeout": 3000}
SERVER_LOOKS = (
    f"{OPTIONS} -c tcp_keepalives_idle=1 -c tcp_keepalives_interval=1 "
    "-c tcp_keepalives_count=2 -c tcp_user_timeout=3000"
)


def ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def inner(number: int) -> str:
    """Give the name of the server's end of a link; the host's end has an ``h`` behind it."""
    return f"pb{os.getpid() % 100_000}x{number}"


def address(number: int, end: int) -> str:
    return f"10.213.{number}.{end}"


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Make a network namespace with two links to this one."""
    try:
        ip("netns", "add", NAME)
    except OSError as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        ip("-n", NAME, "link", "set", "lo", "up")
        for number in (1, 2):
            near, far = f"{inner(number)}h", inner(number)
            ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", NAME)
            ip("addr", "add", f"{address(number, 1)}/24", "dev", near)
            ip("-n", NAME, "addr", "add", f"{address(number, 2)}/24", "dev", far)
            ip("link", "set", near, "up")
            ip("-n", NAME, "link", "set", far, "up")
    except OSError as error:
        ip("netns", "delete", NAME)
        pytest.skip(f"no links between network namespaces here: {error}")
    yield NAME
    ip("netns", "delete", NAME)  # the links go with it


@pytest.fixture(scope="module")
def far_server(namespace: str, folder: Path) -> Iterator[Server]:
    """Give a server that each host reaches by a link of its own."""
    hosts = (address(1, 2), address(2, 2))
    server = Server(folder / "far", hosts, "ip", "netns", "exec", namespace)
    server.set_up()
    environment = {**os.environ, "PAYBATCH_DATABASE_URL": server.url(OWNER)}
    words = ["-m", "paybatch", "migrate"]
    subprocess.run([sys.executable, *words], env=environment, check=True, capture_output=True)
    yield server
    server.stop()


def test_a_host_whose_link_is_gone(
    far_server: Server, processor: Outside, tmp_path: Path, namespace: str
) -> None:
    processor.control(**USUAL | {"latency_ms": 400})
    house = House(far_server, processor, tmp_path, "far")
    try:
        told = {"options": SERVER_LOOKS, **LOOKS}
        first = house.host("first_host", host=address(1, 2), **told)
        other = house.host("other_host", host=address(2, 2), **told)
        batch = house.hand_in(ROWS)
        until(lambda: house.held_by(first) and len(house.effects()) > 20, "it is under way")
        ip("-n", namespace, "link", "set", inner(1), "down")
        house.completed(batch)
        mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'first_host'"
        until(lambda: house.asked(mine) == 0, "the server lets go of it")
        until(lambda: first.asked("/ready") == 503, "it does not wait for ever")
        assert first.asked("/health") == 200
        ip("-n", namespace, "link", "set", inner(1), "up")
        until(first.is_ready, "it is connected again")
        assert one_effect_per_row(house, ROWS)
        assert laws_hold(house.engine)
        other.end()
        house.completed(house.hand_in(20))
        first.send(signal.SIGTERM)
        assert first.process.wait(60) == 0
    finally:
        house.close()
