"""Single calls at a gate outside, beside plain requests to the same processor.

``python -m bench.outside_calls GATE URL`` prints JSON: ``own``, the p50 of plain requests, and
``added``, what the p50 of our calls is above it, in milliseconds.
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable

from bench.make_file import card
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import open_engine
from paybatch.flow.place import find_place
from paybatch.settings import Settings

COUNT, WARM_UP = 150, 20


def _p50(once: Callable[[int], object]) -> float:
    seconds = []
    for number in range(WARM_UP + COUNT):
        started = time.monotonic()
        once(number)
        seconds.append(time.monotonic() - started)
    return sorted(seconds[WARM_UP:])[COUNT // 2] * 1_000


def main(gate: str, url: str) -> None:
    """Measure and print."""
    run = os.urandom(4).hex()

    def plain(number: int) -> None:
        told = {"verb": "sale", "amount_minor": 1_000, "currency": "USD", "card": "4111"}
        body = json.dumps({**told, "key": f"{run}-{number}", "payment": f"{run}-{number}"})
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/calls", body.encode(), headers)
        urllib.request.urlopen(request).read()

    own = _p50(plain)
    engine = open_engine(Settings())
    caller = Caller(engine, find_place(engine, "local"))

    def call(number: int) -> None:
        means = {"card_number": card(number % 10), "card_expiry": "12/39"}
        asked = {"kind": "sale", "amount_minor": str(1_000 + number), "currency": "USD"}
        answer = caller.call({**asked, **means, "gate": gate})
        assert answer["state"] == "approved", answer

    ours = _p50(call)
    engine.close()
    sys.stdout.write(json.dumps({"own": own, "added": ours - own}))


if __name__ == "__main__":
    main(*sys.argv[1:3])
