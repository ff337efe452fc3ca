"""At once: batches and calls that act on one payment at the same time never overspend it."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.store import payments
from tests_support import laws_hold, run

HEADER = "kind,amount_minor,card_number,card_expiry,reference,payment\n"
SALE = "sale,1000,4111111111111111,12/39,one,\n"
ROWS = 60
CALLS = 12
Outcomes = list[str]


@pytest.fixture
def slow_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everybody who has read a payment wait a moment; others read it then if they can."""
    for name in ("lock_payments", "lock_free_payments"):
        monkeypatch.setattr(payments, name, _slowly(getattr(payments, name)))


def _slowly(lock: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*given: Any) -> Any:
        found = lock(*given)
        time.sleep(0.3)
        return found

    return slow


@pytest.mark.usefixtures("slow_locks")
@pytest.mark.parametrize("callers", [0, 1])
def test_refunds_of_one_payment_stay_within_it(engine: Engine, place: Place, callers: int) -> None:
    assert run(engine, place, HEADER + SALE)["outcome"].to_list() == ["approved"]
    together = Barrier(2 + callers)

    def in_file(name: str) -> Outcomes:
        rows = "".join(f"refund,100,,,{name}{n},one\n" for n in range(ROWS))
        together.wait()
        return run(engine, place, HEADER + rows)["outcome"].to_list()

    def by_call(name: str) -> Outcomes:
        caller = Caller(engine, place)
        values = {"kind": "refund", "amount_minor": "100", "payment": "one"}
        together.wait()
        calls = [{**values, "reference": f"{name}{n}"} for n in range(CALLS)]
        with ThreadPoolExecutor(CALLS) as threads:
            return [str(each["state"]) for each in threads.map(caller.call, calls)]

    with ThreadPoolExecutor(2 + callers) as pool:
        asked = [pool.submit(in_file, name) for name in ("a", "b")]
        asked += [pool.submit(by_call, "c") for _ in range(callers)]
        told = [outcome for each in asked for outcome in each.result()]
    assert sorted(told) == ["approved"] * 10 + ["rejected"] * (len(told) - 10)
    with engine.database.transaction() as connection:
        assert connection.execute("SELECT captured, refunded FROM payment").fetchone() == (
            1000,
            1000,
        )
    assert laws_hold(engine)
