"""Samples: each is good by itself, and none disturbs another one in the same house."""

import pytest

from paybatch import registry
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.sample import sample
from tests_support import idle_here, laws_hold, run


@pytest.mark.parametrize("backwards", [False, True])
def test_samples_run_one_after_another(
    engine: Engine, place: Place, customer: str, backwards: bool
) -> None:
    assert customer
    names = sorted([*registry.kinds(), "connpay"], reverse=backwards)
    wrong = {}
    for name in names:
        result = run(engine, place, sample(name))
        column = "result_outcome" if name == "connpay" else "outcome"
        states = result[column].to_list()
        if name in idle_here():
            assert result["reason"].to_list()[-1] == "no_reversal_pending"
            states.pop()
        if set(states) != {"approved"}:
            wrong[name] = result.select(column, result.columns[0], result.columns[-1]).rows()
    assert wrong == {}
    assert laws_hold(engine)
