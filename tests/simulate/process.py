"""A process of the simulator: ``process.py run FILE`` or ``process.py resume BATCH``.

Settings come from the environment; the clock stands still, so that runs are equal.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from paybatch.flow import batch as batches
from paybatch.flow.engine import open_engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import find_place
from paybatch.settings import Settings


def main() -> None:
    engine = open_engine(Settings(), clock=lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))
    print("ready", flush=True)
    if sys.argv[1] == "run":
        content = [Path(sys.argv[2]).read_bytes()]
        request = Request(file_name="big.csv")
        done = batches.run(engine, find_place(engine, "local"), content, request)
    else:
        done = batches.go_on(engine, int(sys.argv[2]))
    print(done.state, flush=True)


if __name__ == "__main__":
    main()
