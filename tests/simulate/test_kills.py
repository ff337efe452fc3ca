"""Real processes and a real server, killed with ``kill -9`` at random moments and resumed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from paybatch.flow.intake.receive import Request, receive
from paybatch.flow.place import find_place
from paybatch.store import embedded

HEADER = (
    "kind,amount_minor,currency,card_number,card_expiry,card_cvv,reference,payment,final,"
    "idempotency_key"
)
CARDS = ["4111111111111111", "5555555555554444", "4000000000000002", "4000000000000051"]
ROWS = 5_000
SECONDS_MAX = 60
PROGRAM = Path(__file__).with_name("process.py")
Worlds = Callable[[], Any]


def rows() -> Iterator[str]:
    """Give rows of every kind; some act on earlier lines, some fail."""
    chance = random.Random(7)
    for line in range(ROWS):
        card = chance.choice(CARDS)
        cvv = chance.choice(["", "123", "200"])
        kind = chance.choice(["sale", "sale", "authorize", "capture", "refund", "void", "bad"])
        named = f"r{chance.randrange(max(line, 1))}"
        if kind == "bad":
            yield f"sale,{chance.choice(['0', '1.5', ''])},USD,{card},12/39,{cvv},r{line},,,"
        elif kind in ("sale", "authorize"):
            amount, key = chance.randint(1, 900), f"k{line % 3000}" if line % 5 == 0 else ""
            yield f"{kind},{amount},USD,{card},12/39,{cvv},r{line},,,{key}"
        else:
            part = chance.choice(["", "10", "300"])
            named = f"old-{line % 6}" if line % 50 == 0 else named
            yield f"{kind},{part},,,,,,{named},,"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "big.csv"
    path.write_text("\n".join([HEADER, *rows(), ""]))
    return path


@contextmanager
def process(world: Any, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a process in a world and wait until it is about to begin."""
    settings = {
        "PAYBATCH_DATABASE_URL": world.database_url,
        "PAYBATCH_HOME": str(world.home),
        "PAYBATCH_CHUNK_ROWS": "100",
        "POLARS_MAX_THREADS": "1",
    }
    started = subprocess.Popen(
        [sys.executable, str(PROGRAM), *words],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n", started.communicate()[1]
        yield started
    finally:
        started.kill()
        started.communicate()


def words_for(world: Any, file: Path) -> list[str]:
    """Say what the next process has to do."""
    stored = world.batch_ids()[1:]
    if stored:
        return ["resume", str(stored[0])]
    world.rewind()
    return ["run", str(file)]


def finished(started: "subprocess.Popen[str]") -> str:
    told, error = started.communicate(timeout=SECONDS_MAX)
    assert started.returncode == 0, error
    return told.strip()


@pytest.fixture(scope="module")
def wanted(file: Path) -> dict[str, object]:
    """Hold what an undisturbed run leaves; made by the first test that asks."""
    return {}


def undisturbed(wanted: dict[str, object], worlds: Worlds, file: Path) -> dict[str, object]:
    """Give what an undisturbed run leaves."""
    if not wanted:
        world = worlds()
        with process(world, "run", str(file)) as started:
            assert finished(started) == "completed"
        wanted |= world.left(2)
    return wanted


def test_killed_processes_leave_nothing_behind(
    worlds: Worlds, file: Path, wanted: dict[str, object]
) -> None:
    expected = undisturbed(wanted, worlds, file)
    for seed in (1,):
        chance = random.Random(seed)
        world, killed = worlds(), 0
        while True:
            with process(world, *words_for(world, file)) as started:
                try:
                    started.wait(chance.uniform(0.02, 0.9) if killed < 6 else SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    started.send_signal(signal.SIGKILL)
                    killed += 1
                    continue
                assert finished(started) == "completed"
                break
        assert killed, "the machine is too fast: nothing was killed"
        assert world.left(2) == expected, f"seed {seed}"


def test_two_processes_share_a_batch(worlds: Worlds, file: Path, wanted: dict[str, object]) -> None:
    expected = undisturbed(wanted, worlds, file)
    world = worlds()
    engine = world.engine()
    place = find_place(engine, "local")
    batch_id = receive(engine, place, [file.read_bytes()], Request(file_name="big.csv"))
    words = ["resume", str(batch_id)]
    with process(world, *words) as first, process(world, *words) as second:
        assert finished(first) == finished(second) == "completed"
    assert world.left(2) == expected


def test_a_killed_server_is_started_again_and_the_batch_resumed(
    worlds: Worlds, shaky: Any, file: Path, wanted: dict[str, object]
) -> None:
    expected = undisturbed(wanted, worlds, file)
    chance, told = random.Random(3), []
    for _ in range(2):
        with process(shaky, *words_for(shaky, file)) as started:
            time.sleep(chance.uniform(0.1, 0.8))
            server = embedded.status(shaky.home).pid
            assert server is not None
            os.kill(server, signal.SIGKILL)
            assert embedded.start(shaky.home) == shaky.database_url
            told.append(started.communicate(timeout=SECONDS_MAX)[1])
    with process(shaky, *words_for(shaky, file)) as started:
        assert finished(started) == "completed"
    assert any("DatabaseGoneError" in each for each in told), told
    assert shaky.left(2) == expected
