"""The short form of ``make chaos``, and the engine broken on purpose: the judge sees each break."""

import os
import secrets

import pytest
from bench.chaos.mutants import MUTANTS, instead
from bench.chaos.plan import Plan, broken, short
from bench.chaos.run import run

from paybatch.flow.sending import recover

# What shows each break; that a broken engine does not come to rest is no proof.
SIGNS = {
    "no fence": ("error", "tally"),
    "new key": ("double",),
    "outside the transaction": ("payment", "tally", "error"),
}
TRIES = 3  # a break shows only where something meets it; one run may be lucky


def seed() -> int:
    """Every run is another one; a failing one says its seed, and is repeated with it."""
    return int(os.environ.get("CHAOS_SEED") or secrets.randbelow(1_000_000))


def replay(plan: Plan, form: str = "short") -> str:
    return f"again: make chaos CHAOS_FORM={form} CHAOS_SEED={plan.seed}"


def test_rows_in_effects_out() -> None:
    plan = short(seed())
    ran = run(plan)
    assert ran.verdict.is_good, "\n".join([*ran.verdict.sentences, replay(plan)])
    assert ran.verdict.operations >= plan.files * plan.rows + plan.calls  # a call may come again
    assert ran.verdict.effects > ran.verdict.operations / 2
    assert sum(ran.faults.values()) > ran.verdict.operations / 200, "nothing went wrong"
    assert ran.harms.total() > 5, "nothing was killed"


@pytest.mark.parametrize("mutant", MUTANTS)
def test_an_engine_that_is_broken_is_caught(mutant: str) -> None:
    for _ in range(TRIES):
        found = run(broken(seed(), mutant)).verdict.faults
        if any(found[sign] for sign in SIGNS[mutant]):
            return
    pytest.fail(f"nobody saw it: {found}")


def test_the_same_harm_does_nothing_to_the_whole_engine() -> None:
    """Else the judge would cry wolf, and catching the broken ones would mean nothing."""
    plan = broken(seed())
    ran = run(plan)
    assert ran.verdict.is_good, "\n".join([*ran.verdict.sentences, replay(plan, "broken")])
    assert min(ran.harms[each] for each in plan.ambushes) > 0
    assert ran.faults["drop_after"] > 0


def test_a_mutant_that_breaks_nothing_is_told() -> None:
    """What it puts something else in the place of may have got another name."""
    with pytest.raises(AttributeError):
        instead(recover, "no_such_name", None)
