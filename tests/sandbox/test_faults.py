"""Each fault, told to happen: what the connector makes of it, and what stands in the books."""

import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from paybatch.connectors.sandbox_http import CONNECTOR
from sandbox_support import Outside, calls, outside

Ask = Callable[[pl.DataFrame], list[dict[str, Any]]]
DONE, NOT_DONE = ("approved", "approved"), ("failed", "not_found")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("timeout_before", (("unknown", "no_answer"), NOT_DONE)),
        ("timeout_after", (("unknown", "no_answer"), DONE)),
        ("drop_before", (("unknown", "no_answer"), NOT_DONE)),
        ("drop_after", (("unknown", "no_answer"), DONE)),
        ("busy", (("failed", "not_taken"), NOT_DONE)),
        ("malformed", (("unknown", "no_answer"), DONE)),
        ("duplicate", (("approved", "approved"), DONE)),
        ("late", (("unknown", "no_answer"), DONE)),
        ("stuck", (("unknown", "no_answer"), NOT_DONE)),
        ("pending", (("unknown", "pending"), ("unknown", "pending"))),
        ("refuse", (("approved", "approved"), None)),
    ],
)
def test_a_fault_is_told_as_what_it_is(
    sandbox: Outside, send: Ask, look_up: Ask, fault: str, expected: Any
) -> None:
    reply, after = expected
    asked = calls(sandbox.url)
    before = sandbox.control(next={fault: 1})["injected"].get(fault, 0)
    (told,) = send(asked)
    assert (told["result"], told["response"]) == reply
    if after is None:
        time.sleep(0.7)
        after = DONE
    (found,) = look_up(asked)
    assert (found["result"], found["response"]) == after
    entries = sandbox.entries(asked["key"].to_list())
    assert len(entries) == (after != NOT_DONE)
    assert sandbox.control()["injected"][fault] == before + 1


@pytest.mark.parametrize("fault", ["error_500", "error_502"])
def test_an_error_of_the_processor_is_done_or_not(
    sandbox: Outside, send: Ask, look_up: Ask, fault: str
) -> None:
    asked = calls(sandbox.url, 60)
    sandbox.control(rates={fault: 1})
    told = send(asked)
    assert {(each["result"], each["processor_code"]) for each in told} == {("unknown", fault[-3:])}
    sandbox.control(rates={})
    found = {(each["result"], each["response"]) for each in look_up(asked)}
    assert found == {DONE, NOT_DONE}, "as a coin falls"


def test_busy_says_when_to_come_again(sandbox: Outside, send: Ask) -> None:
    sandbox.control(retry_after_seconds=17, next={"busy": 1})
    asked = calls(sandbox.url)
    assert send(asked)[0]["retry_after_seconds"] == 17
    assert send(asked)[0]["result"] == "approved", "the same key, later"


def test_what_is_stuck_is_done_later_and_once(sandbox: Outside, send: Ask, look_up: Ask) -> None:
    sandbox.control(next={"stuck": 1}, late_seconds=0.7)
    asked = calls(sandbox.url)
    assert send(asked)[0]["result"] == "unknown"
    assert look_up(asked)[0]["response"] == "not_found", "nobody knows of it yet"
    assert send(asked)[0]["result"] == "approved"
    time.sleep(0.5)
    assert len(sandbox.entries(asked["key"].to_list())) == 1


def test_what_is_pending_is_done_later_with_a_callback(
    sandbox: Outside, send: Ask, look_up: Ask
) -> None:
    sandbox.control(next={"pending": 1})
    asked = calls(sandbox.url)
    (key,) = asked["key"]
    assert send(asked)[0]["response"] == "pending"
    time.sleep(0.5)
    (found,) = look_up(asked)
    assert (found["result"], found["approved_minor"]) == ("approved", 100)
    assert [each["body"] for each in sandbox.lines("callbacks") if key in each["body"]]


def test_refused_connections_are_not_taken_and_come_back(
    sandbox: Outside, send: Ask, look_up: Ask
) -> None:
    assert send(calls(sandbox.url))[0]["result"] == "approved"
    sandbox.control(refuse=True)
    time.sleep(0.1)
    asked = calls(sandbox.url, 3)
    told = send(asked)
    assert {(each["result"], each["response"]) for each in told} == {("failed", "not_taken")}
    assert {each["result"] for each in look_up(asked)} == {"unknown"}, "it says nothing of the call"
    time.sleep(0.6)
    assert {each["result"] for each in send(asked)} == {"approved"}


def test_duplicate_answers_never_answer_another_call(sandbox: Outside, send: Ask) -> None:
    """The second answer of a connection must not be taken for that to the next call on it."""
    sandbox.control(rates={"duplicate": 0.5})
    for _ in range(3):
        asked = calls(sandbox.url, 300)
        amounts = asked.with_columns(amount_minor=100 + pl.int_range(300))
        told = send(amounts)
        good = [each for each in told if each["result"] == "approved"]
        assert len(good) > 200
        assert all(each["approved_minor"] == 100 + each["operation"] % 1000 for each in good)


def test_latency_and_jitter(sandbox: Outside, send: Ask) -> None:
    sandbox.control(latency_ms=100, jitter_ms=200)
    start = time.monotonic()
    assert {each["result"] for each in send(calls(sandbox.url, 200))} == {"approved"}
    took = time.monotonic() - start
    assert 0.2 < took < 10, "they are under way at once: one after the other takes 20 s at least"


def test_look_up_has_faults_too_and_can_be_switched_off(
    sandbox: Outside, send: Ask, look_up: Ask
) -> None:
    asked = calls(sandbox.url, 50)
    send(asked)
    for fault in ("timeout_after", "drop_after", "error_500", "malformed", "busy", "late"):
        sandbox.control(rates={fault: 1})
        assert {each["result"] for each in look_up(asked)} == {"unknown"}, fault
    sandbox.control(rates={})
    assert {each["result"] for each in look_up(asked)} == {"approved"}
    sandbox.control(look_up=False)
    assert {each["result"] for each in look_up(asked)} == {"unknown"}


def test_the_same_seed_makes_the_same_faults(
    sandbox: Outside, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rates = {"drop_after": 0.2, "busy": 0.2, "error_500": 0.2}
    asked = calls(sandbox.url, 200)
    told = []
    for seed in ("1", "1", "2"):
        with outside(tmp_path_factory.mktemp("seeded"), "--seed", seed) as own:
            own.control(rates=rates)
            replies = CONNECTOR.send(asked.with_columns(setting_url=pl.lit(own.url)))
            told.append(pl.concat(list(replies)).sort("operation")["result"].to_list())
    assert told[0] == told[1] != told[2]
    assert 80 < sum(each != "approved" for each in told[0]) < 160
