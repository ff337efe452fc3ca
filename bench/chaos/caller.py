"""Caller: a process that makes single calls, ``python -m bench.chaos.caller DONE``.

File DONE has a line for each call that was answered. A caller that was killed begins where it was:
a call without its answer is made again with its idempotency key, which is what such keys are for.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TextIO

from bench.chaos.mutants import MUTANT, break_engine
from bench.chaos.rows import call_values
from bench.chaos.timings import hasten
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import open_engine
from paybatch.flow.place import find_place
from paybatch.settings import Settings
from paybatch.store.database import DatabaseBusyError, DatabaseGoneError

CALLS = "CHAOS_CALLS"  # seed, calls, files and rows
THREADS = 4


def main() -> None:
    hasten()
    break_engine(os.environ.get(MUTANT, ""))
    seed, calls, files, rows = json.loads(os.environ[CALLS])
    done = Path(sys.argv[1])
    engine = open_engine(Settings())
    caller = Caller(engine, find_place(engine, "local"))
    known = {int(line.split()[0]) for line in done.read_text().splitlines()}
    print("ready", flush=True)
    with done.open("a", buffering=1) as told, ThreadPoolExecutor(THREADS) as pool:
        for number in range(calls):
            if number not in known:
                values = call_values(seed, number, files, rows)
                pool.submit(_call, caller, number, values, told)


def _call(caller: Caller, number: int, values: dict[str, str], told: TextIO) -> None:
    while True:
        try:
            answer = caller.call(values)
        except (DatabaseGoneError, DatabaseBusyError):
            time.sleep(0.5)
            continue
        except Exception as error:  # noqa: BLE001 - it is told, and the judge finds what is missing
            print(number, values, repr(error), file=sys.stderr, flush=True)
            time.sleep(0.5)
            continue
        told.write(f"{number} {answer['state']} {answer['operation']}\n")
        return


if __name__ == "__main__":
    main()
