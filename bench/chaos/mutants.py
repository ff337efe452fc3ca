"""Mutants: the engine broken on purpose, in a worker's process only. The judge must see each."""

import os
from collections.abc import Callable

MUTANT = "CHAOS_MUTANT"


MUTANTS: dict[str, Callable[[], None]] = {}


def break_engine(mutant: str) -> None:
    """Break the engine of this process; without a name it stays whole."""
    if mutant:
        MUTANTS[mutant]()
        os.environ.pop(MUTANT)
