"""Worker: a process of a run, ``python -m bench.chaos.worker queue|sweep``.

A queue worker is what ``paybatch worker`` runs. A sweep worker takes on whatever has work, again
and again, so that several processes share the chunks of one batch.
"""

import os
import sys
import time

from bench.chaos.ambush import lie_in_wait
from bench.chaos.mutants import MUTANT, break_engine
from bench.chaos.timings import hasten
from paybatch.flow.engine import open_engine
from paybatch.flow.worker import run_worker, take_on_left
from paybatch.settings import Settings
from paybatch.store.database import DatabaseGoneError

PAUSE_SECONDS = 0.1


def main() -> None:
    hasten()
    lie_in_wait()
    break_engine(os.environ.get(MUTANT, ""))
    engine = open_engine(Settings())
    print("ready", flush=True)
    if sys.argv[1] == "queue":
        run_worker(engine, told=lambda _: None)
        return
    while True:
        try:
            take_on_left(engine)
        except DatabaseGoneError:
            time.sleep(1)
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
