"""``make chaos``: runs from seeds; the last line is the verdict, exit 1 when anything is wrong."""

import argparse
import signal
import sys

from bench.chaos.plan import Plan
from bench.chaos.run import run


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--calls", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whatever was started ends too
    plan = Plan(
        seed=options.seed,
        files=options.files,
        rows=options.rows,
        calls=options.calls,
        workers=options.workers,
        **({"rates": {}, "harms": ()} if options.quiet else {}),
    )
    ran = run(plan)
    for each in ran.verdict.sentences:
        print(each)
    print(dict(ran.faults), dict(ran.harms), f"{ran.seconds:.1f} s", f"seed {plan.seed}")
    print(ran.verdict)
    sys.exit(0 if ran.verdict.is_good else 1)


main()
