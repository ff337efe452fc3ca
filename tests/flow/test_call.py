"""Single calls: the same rules as a batch, settled at once, in groups when they come together."""

from concurrent.futures import ThreadPoolExecutor

from paybatch.flow.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from tests_support import laws_hold

SALE = {
    "kind": "sale",
    "amount_minor": "1000",
    "card_number": "4111111111111111",
    "card_expiry": "12/39",
}


def test_a_sale_and_its_refund(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    sale = caller.call({**SALE, "reference": "one", "card_cvv": "200"})
    assert (sale["state"], sale["status"], sale["cvv_result"]) == ("approved", "captured", "N")
    refund = caller.call({"kind": "refund", "payment": sale["payment"], "amount_minor": "400"})
    assert (refund["state"], refund["status"]) == ("approved", "partially_refunded")
    again = caller.call({"kind": "refund", "payment": "one", "amount_minor": "601"})
    assert (again["state"], again["reason"]) == ("rejected", "amount_above_left")
    assert laws_hold(engine)


def test_wrong_values_are_rejected_with_a_sentence(engine: Engine, place: Place) -> None:
    answer = Caller(engine, place).call({**SALE, "amount_minor": "1.00"})
    assert answer["state"] == "rejected"
    assert answer["message"].startswith("column amount_minor is 1.00: use whole minor units")


def test_a_key_is_done_once(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    first = caller.call({**SALE, "idempotency_key": "k"})
    second = caller.call({**SALE, "idempotency_key": "k"})
    other = caller.call({**SALE, "idempotency_key": "k", "amount_minor": "999"})
    assert (second["state"], second["payment"]) == ("replayed", first["payment"])
    assert (other["state"], other["reason"]) == ("rejected", "key_conflict")


def test_calls_that_come_together_never_overspend(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    sale = caller.call(SALE)
    refund = {"kind": "refund", "payment": sale["payment"], "amount_minor": "30"}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: caller.call(refund), range(64)))
    assert sum(each["state"] == "approved" for each in answers) == 33
    assert laws_hold(engine)
