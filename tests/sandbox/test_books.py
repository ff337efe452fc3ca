"""The sandbox's books: one effect a key, settlements, balances, callbacks, and a sudden death."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from paybatch.connectors.sandbox_http import CONNECTOR
from sandbox_support import Outside, calls, outside

Ask = Callable[[pl.DataFrame], list[dict[str, Any]]]


def test_one_key_has_one_effect(sandbox: Outside, send: Ask, look_up: Ask) -> None:
    asked = calls(sandbox.url, 20)
    first = send(asked)
    assert send(pl.concat([asked, asked]))[::2] == first == look_up(asked)
    entries = sandbox.entries(asked["key"].to_list())
    assert Counter(each["key"] for each in entries) == Counter(asked["key"])
    assert {each["status"] for each in entries} == {"approved"}


def test_a_key_with_other_values_is_refused(sandbox: Outside, send: Ask) -> None:
    asked = calls(sandbox.url)
    send(asked)
    (told,) = send(asked.with_columns(amount_minor=101))
    assert (told["result"], told["response"]) == ("failed", "duplicate")
    assert len(sandbox.entries(asked["key"].to_list())) == 1


def test_without_keys_a_repeated_call_is_done_again(sandbox: Outside, send: Ask) -> None:
    sandbox.control(idempotency=False)
    asked = calls(sandbox.url)
    send(asked)
    send(asked)
    assert [each["times"] for each in sandbox.entries(asked["key"].to_list())] == [1, 2]


def test_what_is_declined_is_in_the_books_without_an_effect(sandbox: Outside, send: Ask) -> None:
    asked = calls(sandbox.url, amount_minor=50_202)
    (told,) = send(asked)
    assert (told["result"], told["response"]) == ("declined", "insufficient_funds")
    (entry,) = sandbox.entries(asked["key"].to_list())
    assert (entry["status"], entry["amount_minor"], entry["approved_minor"]) == (
        "declined",
        50_202,
        0,
    )


def test_effects_name_the_payment_they_act_on(sandbox: Outside, send: Ask) -> None:
    sale = calls(sandbox.url)
    (payment,) = sale["key"]
    refund = calls(sandbox.url, verb="refund", payment_key=payment)
    send(sale)
    send(refund)
    entries = sandbox.entries([*sale["key"], *refund["key"]])
    assert [(each["verb"], each["payment"]) for each in entries] == [
        ("sale", payment),
        ("refund", payment),
    ]


def test_a_close_of_day_makes_a_settlement_file(sandbox: Outside, send: Ask) -> None:
    url = f"{sandbox.url}/shop"
    sale, hold, other = (calls(url), calls(url, verb="authorize"), calls(url, currency="EUR"))
    for each in (sale, hold, other):
        send(each)
    void = calls(url, verb="void", payment_key=hold["key"][0])
    refund = calls(url, 2, verb="refund", payment_key=sale["key"][0], amount_minor=30)
    declined = calls(url, amount_minor=50_200)
    closing = calls(url, verb="close_day", amount_minor=0)
    for each in (void, refund, declined, closing):
        send(each)
    late = calls(url)
    send(late)
    (found,) = json.loads(sandbox.asked("shop/settlements"))
    assert found["currency"] == "USD"
    file = sandbox.asked(f"shop/settlements/{found['id']}.csv").decode().splitlines()
    assert file[0] == "settlement,key,verb,payment,amount_minor,currency,at"
    lines = [line.split(",")[1:6] for line in file[1:]]
    payment = sale["key"][0]
    assert lines == [
        [sale["key"][0], "sale", payment, "100", "USD"],
        [refund["key"][0], "refund", payment, "30", "USD"],
        [refund["key"][1], "refund", payment, "30", "USD"],
    ]
    closing = calls(url, verb="close_day", amount_minor=0)
    send(closing)
    second = sandbox.asked(f"shop/settlements/{found['id'] + 1}.csv").decode().splitlines()
    assert [line.split(",")[1] for line in second[1:]] == late["key"].to_list()
    balances = json.loads(sandbox.asked("shop/balances"))
    assert balances["USD"]["sale"] == {"count": 2, "amount_minor": 200}
    assert balances["USD"]["refund"] == {"count": 2, "amount_minor": 60}
    assert balances["EUR"]["sale"] == {"count": 1, "amount_minor": 100}


def test_callbacks_are_posted_until_they_are_taken(sandbox: Outside, send: Ask) -> None:
    taken: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            taken.append(body)
            self.send_response(500 if len(taken) == 1 else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Listener) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        sandbox.control(next={"pending": 1})
        sandbox.control(callback_url=f"http://127.0.0.1:{listener.server_port}/")
        asked = calls(sandbox.url)
        send(asked)
        key = asked["key"][0]
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not _delivered(sandbox, key):
            time.sleep(0.05)
        sandbox.control(callback_url="")
        listener.shutdown()
    own = [each for each in taken if each.get("answer", {}).get("key") == key]
    assert own
    assert own[-1]["event"] == "settled"
    assert own[-1]["answer"]["status"] == "approved"
    assert len(taken) >= 2, "the first try was answered 500"


def _delivered(sandbox: Outside, key: str) -> bool:
    return any(each["delivered_at"] for each in sandbox.lines("callbacks") if key in each["body"])


def _in_the_end(ask: Ask, asked: pl.DataFrame) -> set[str]:
    """Ask until every call has an answer: a busy machine may take longer than their time."""
    results = dict.fromkeys(asked["operation"].to_list(), "unknown")
    for _ in range(20):
        left = [operation for operation, result in results.items() if result == "unknown"]
        answers = ask(asked.filter(pl.col("operation").is_in(left)))
        results |= {each["operation"]: each["result"] for each in answers}
        if "unknown" not in results.values():
            break
    return set(results.values())


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_the_books_survive_a_sudden_death(
    send: Ask, look_up: Ask, tmp_path: Path, groups: int
) -> None:
    """What was answered stands in the books once; what is sent again has no second effect."""
    with outside(tmp_path / "home") as first:
        send(calls(first.url))  # connections and threads are there
        asked = calls(first.url, 8_000)
        told = []
        for number, replies in enumerate(CONNECTOR.send(asked), 1):
            told.append(replies)
            if number == groups:
                first.kill()
    replied = pl.concat(told)
    assert replied["operation"].sort().equals(asked["operation"])
    good = set(replied.filter(result="approved")["operation"])
    assert 0 < len(good) < 8_000, "it died in between"
    with outside(tmp_path / "home", port=first.port) as second:
        stands = _in_the_end(look_up, asked.filter(pl.col("operation").is_in(list(good))))
        assert stands == {"approved"}
        assert _in_the_end(send, asked) == {"approved"}
        entries = second.entries(asked["key"].to_list())
    assert Counter(each["key"] for each in entries) == Counter(asked["key"])
