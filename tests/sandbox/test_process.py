"""The sandbox as a process, and what it says to requests that it does not understand."""

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from sandbox_support import Outside, outside


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with outside(tmp_path) as running:
        assert running.stop() == 0


def test_a_port_that_is_taken_is_a_sentence(sandbox: Outside, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "paybatch", "sandbox", "--home", str(tmp_path)]
    done = subprocess.run(
        [*command, "--port", str(sandbox.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "The sandbox cannot start" in done.stderr
    assert "Traceback" not in done.stderr


def test_rates_are_told_at_the_start(tmp_path: Path) -> None:
    options = ("--rate", "busy=0.25", "--rate", "late=0.5", "--latency-ms", "20", "--seed", "9")
    with outside(tmp_path, *options) as running:
        told = running.control()
    assert told["rates"] == {"busy": 0.25, "late": 0.5}
    assert (told["latency_ms"], told["seed"]) == (20, 9)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("calls", b"", 400),
        ("calls", b"[]", 400),
        ("calls", b'{"key":"a","verb":"steal"}', 400),
        ("calls", b'{"key":"","verb":"sale"}', 400),
        ("calls", b'{"key":"a","verb":"sale","amount_minor":1.5}', 400),
        ("control", b'{"rates":{"busy":2}}', 400),
        ("control", b'{"rate":{}}', 400),
        ("nothing", b"{}", 404),
        ("shop/nothing", b"{}", 404),
        ("calls/never", None, 404),
        ("settlements/7.csv", None, 404),
        ("books?after=x", None, 400),
    ],
)
def test_what_is_not_understood_is_told(
    sandbox: Outside, path: str, body: bytes | None, status: int
) -> None:
    told = None if body is None else body
    request = urllib.request.Request(f"{sandbox.url}/{path}", told)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=10)
    assert raised.value.code == status
    assert json.loads(raised.value.read())["error"]


def test_what_is_no_http_ends_the_connection_and_nothing_else(sandbox: Outside) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.port)) as raw:
        raw.settimeout(5)
        raw.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert raw.recv(100) == b""
    assert sandbox.control()["seed"] == 7
