"""``make chaos``: runs from seeds; the last line is the verdict, exit 1 when anything is wrong.

Without a seed as many runs as make 200 000 operations, each from a seed of its own; with a seed
that one run again. ``--add`` adds its runs to the page instead of beginning it anew.
"""

import argparse
import os
import secrets
import signal
import sys

from bench.chaos import table
from bench.chaos.judge import Verdict
from bench.chaos.mutants import MUTANTS
from bench.chaos.plan import FORMS, Plan
from bench.chaos.run import Ran, run

OPERATIONS_MIN = 200_000


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # whatever was started ends too
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    runs = 0
    total = Verdict()
    while True:
        each = run(_plan(options, seed + runs))
        _tell(each)
        total.add(each.verdict)
        if options.add or (options.seed is None and options.form == "long"):
            table.keep(each, is_first=not runs and not options.add)
        runs += 1
        if options.seed is not None or total.operations >= options.operations:
            break
    print(total)
    sys.exit(0 if total.is_good else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=_number(os.environ.get("CHAOS_SEED")))
    parser.add_argument("--form", choices=list(FORMS), default=os.environ.get("CHAOS_FORM", "long"))
    parser.add_argument("--operations", type=int, default=OPERATIONS_MIN, help="at least so many")
    parser.add_argument("--mutant", choices=list(MUTANTS), default="")
    for name in ("files", "rows", "calls", "workers"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--harm", action="append", help="only this; again; none = no harm")
    parser.add_argument("--no-keys", action="store_true", help="a processor without keys")
    parser.add_argument("--parts", action="store_true", help="some rows allow no part")
    parser.add_argument("--add", action="store_true", help="add to the runs of bench/CHAOS.md")
    parser.add_argument("--quiet", action="store_true", help="nothing goes wrong")
    return parser.parse_args()


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def _plan(options: argparse.Namespace, seed: int) -> Plan:
    names = ("files", "rows", "calls", "workers", "mutant")
    told = {name: getattr(options, name) for name in names if getattr(options, name)}
    if options.quiet:
        told |= {"rates": {}, "harms": ()}
    elif options.harm:
        told["harms"] = tuple(each for each in options.harm if each != "none")
    told |= {"has_parts": True} if options.parts else {}
    told |= {"has_keys": False} if options.no_keys else {}
    return FORMS[options.form](seed, **told)


def _tell(ran: Ran) -> None:
    for each in ran.verdict.sentences:
        print(each)
    for name, counted in (("faults", ran.faults), ("harm", ran.harms), ("errors", ran.errors)):
        told = ", ".join(f"{what} {count}" for what, count in sorted(counted.items()))
        print(f"{name}: {told or 'none'}")
    print(f"seed {ran.plan.seed}, {ran.seconds:.0f} s: {ran.verdict}", flush=True)


main()
