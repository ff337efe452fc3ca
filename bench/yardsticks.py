"""Yardsticks: what the same server does with the same bytes, and with pgbench, in the same run."""

import re
import subprocess
import time
from collections.abc import Iterator

import psycopg
from psycopg.conninfo import conninfo_to_dict

from bench.figures import Figure
from bench.house import House
from bench.make_file import HEADER, make_file
from paybatch.store.embedded import bin_path

GROUP = "yardsticks"
COPY = "raw COPY of the file: rows/s"
PGBENCH = "pgbench TPC-B: tps"
PIECE_BYTES = 1 << 20


def raw_copy(house: House) -> Iterator[Figure]:
    """Load the file of the main measure into one table of text columns, and do nothing else."""
    rows = house.sizes.rows
    path = house.folder / "raw.csv"
    make_file(path, rows, house.sizes.cards)
    columns = HEADER.replace('"', "").strip().split(",")
    house.execute(f"CREATE TABLE raw ({', '.join(f'{name} text' for name in columns)})")
    house.settle()
    started = time.monotonic()
    with psycopg.connect(house.url()) as connection:
        copying = connection.cursor().copy("COPY raw FROM STDIN (FORMAT csv, HEADER)")
        with copying as copy, path.open("rb") as source:
            while piece := source.read(PIECE_BYTES):
                copy.write(piece)
    seconds = time.monotonic() - started
    house.execute("DROP TABLE raw")
    path.unlink()
    yield Figure(GROUP, COPY, rows / seconds, "1/s")


def pgbench(house: House) -> Iterator[Figure]:
    """Run PostgreSQL's own benchmark in a database of its own: two clients, as we have threads."""
    sizes = house.sizes
    house.execute("CREATE DATABASE pgbench")
    _pgbench(house, "--initialize", "--quiet", f"--scale={sizes.pgbench_scale}")
    house.settle()
    seconds = f"--time={sizes.pgbench_seconds}"
    words = _pgbench(house, "--client=2", "--jobs=2", seconds)
    house.execute("DROP DATABASE pgbench")
    found = re.search(r"tps = ([0-9.]+)", words)
    assert found is not None, words
    yield Figure(GROUP, PGBENCH, float(found[1]), "1/s")


def _pgbench(house: House, *options: str) -> str:
    """Run pgbench through the embedded server's socket, as the user that it knows."""
    address = {key: str(value) for key, value in conninfo_to_dict(house.url()).items()}
    connect = {
        "PGHOST": address["host"],
        "PGPORT": address["port"],
        "PGUSER": address["user"],
        "PGREQUIREPEER": address["requirepeer"],
        "PGDATABASE": "pgbench",
    }
    return subprocess.run(
        [str(bin_path() / "pgbench"), *options],
        env={**house.environment, **connect},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
