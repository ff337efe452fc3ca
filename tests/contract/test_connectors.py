"""What every connector keeps to; those with an effect outside speak to their stand-in."""

import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.connector import OPTIONAL, REPLY_SCHEMA, Connector, Response, Result, Verb
from paybatch.flow.describe import FIELDS

CONNECTORS = [pytest.param(each, id=name) for name, each in registry.connectors().items()]
OUTSIDE = [
    pytest.param(each, id=name) for name, each in registry.connectors().items() if not each.inline
]
Settings = dict[str, str]
AMOUNTS = (1, 2, 999, 50_200, 50_201, 50_202, 50_203, 50_204, 50_220, 50_400, 150_200, 10**12 - 1)
CVVS = (None, "123", "200", "201", "301", "2000", "9999")
ROUTING_DIGITS = 9
CALLS = pl.Schema(
    {
        "operation": pl.Int64,
        "key": pl.String,
        "verb": pl.String,
        "mode": pl.String,
        "amount_minor": pl.Int64,
        "currency": pl.String,
        "brand": pl.String,
        "masked": pl.String,
        "expiry": pl.Int16,
        "cvv": pl.String,
        "test_value": pl.String,
        "bank_code": pl.String,
        "account_type": pl.String,
        "sec_code": pl.String,
        "payment_test_value": pl.String,
        "payment_key": pl.String,
        "send_before_epoch": pl.Float64,
    }
)


def calls_of(connector: Connector, gate_settings: Settings) -> pl.DataFrame:
    """Make a call for each verb, amount and test value, with details of every kind."""
    values = [None, *sorted(connector.test_values)]
    rows: list[dict[str, Any]] = []
    verbs = sorted(connector.verbs)
    asked = [(verb, amount) for verb in verbs for amount in ((0,) if verb == "verify" else AMOUNTS)]
    for number, ((verb, amount), value) in enumerate(product(asked, values)):
        is_bank = value is not None and len(value) == ROUTING_DIGITS
        follows = verb in {Verb.CAPTURE, Verb.VOID, Verb.REFUND}
        rows.append(
            {
                "operation": 7_000_000_000 + number,
                "key": f"{number}-1",
                "verb": verb.value,
                "mode": "test",
                "amount_minor": amount,
                "currency": "USD",
                "brand": "bank" if is_bank else "visa",
                "masked": "************1111",
                "expiry": None if is_bank else 3912,
                "cvv": CVVS[number % len(CVVS)],
                "test_value": None if follows else value,
                "bank_code": value if is_bank else None,
                "account_type": "checking" if is_bank else None,
                "sec_code": "WEB" if is_bank else None,
                "payment_key": "5-1" if follows else None,
                "send_before_epoch": None if connector.inline else time.time() + 60,
                "payment_test_value": value if follows else None,
            }
        )
    absent = [pl.lit(None, pl.String).alias(name) for name in sorted(connector.wants)]
    told = [pl.lit(value).alias(f"setting_{name}") for name, value in gate_settings.items()]
    return pl.DataFrame(rows, schema=CALLS).with_columns(*absent, *told)


def answers(connector: Connector, calls: pl.DataFrame) -> pl.DataFrame:
    """Send calls and give all replies in the order of the calls."""
    return in_order(connector.send(calls))


def in_order(replies: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """Give all replies in the order of the calls."""
    tables = list(replies)
    for each in tables:
        assert dict(each.schema) in (dict(REPLY_SCHEMA), {**REPLY_SCHEMA, **OPTIONAL})
    return pl.concat(tables).sort("operation")


@pytest.mark.parametrize("connector", CONNECTORS)
def test_declarations_make_sense(connector: Connector) -> None:
    assert connector.verbs
    assert connector.calls_in_flight >= 1
    assert connector.wants <= set(FIELDS), "what it wants are fields of ours"
    assert all(value.isdigit() and meaning for value, meaning in connector.test_values.items())


@pytest.mark.parametrize("connector", CONNECTORS)
def test_every_verb_is_asked_by_some_kind(connector: Connector) -> None:
    asked = [kind.verbs for kind in registry.kinds().values()]
    assert connector.verbs <= frozenset().union(*asked)


@pytest.mark.parametrize("connector", CONNECTORS)
def test_every_call_has_one_reply(connector: Connector, gate_settings: Settings) -> None:
    calls = calls_of(connector, gate_settings)
    replies = answers(connector, calls)
    assert replies["operation"].to_list() == calls["operation"].to_list()
    for column in ("result", "approved_minor", "response", "processor_code", "processor_text"):
        assert replies[column].null_count() == 0, column


@pytest.mark.parametrize("connector", CONNECTORS)
def test_replies_use_our_words(connector: Connector, gate_settings: Settings) -> None:
    replies = answers(connector, calls_of(connector, gate_settings))
    assert set(replies["result"]) <= {each.value for each in Result}
    assert set(replies["response"]) <= {each.value for each in Response}


@pytest.mark.parametrize("connector", CONNECTORS)
def test_declared_verbs_are_answered(connector: Connector, gate_settings: Settings) -> None:
    calls = calls_of(connector, gate_settings)
    both = calls.join(answers(connector, calls), on="operation")
    approved = both.filter(pl.col("result") == Result.APPROVED)
    assert set(approved["verb"]) == {each.value for each in connector.verbs}


@pytest.mark.parametrize("connector", CONNECTORS)
def test_approved_amounts_stay_within_what_was_asked(
    connector: Connector, gate_settings: Settings
) -> None:
    calls = calls_of(connector, gate_settings)
    both = calls.join(answers(connector, calls), on="operation")
    approved, amount = pl.col("approved_minor"), pl.col("amount_minor")
    assert both.filter((approved < 0) | (approved > amount)).is_empty()
    refused = both.filter(pl.col("result") != Result.APPROVED)
    assert refused.filter(approved != 0).is_empty(), "what is not approved moves nothing"
    whole = both.filter(pl.col("response") == Response.APPROVED)
    assert whole.filter(approved != amount).is_empty(), "less than all is partially_approved"


@pytest.mark.parametrize("connector", CONNECTORS)
def test_answers_depend_on_the_call_alone(connector: Connector, gate_settings: Settings) -> None:
    """No state: once more, in another order and one by one, the answers are the same."""
    calls = calls_of(connector, gate_settings)
    first = answers(connector, calls)
    assert answers(connector, calls).equals(first)
    assert answers(connector, calls.reverse()).equals(first)
    some = calls.gather_every(97)
    alone = pl.concat([answers(connector, some.slice(place, 1)) for place in range(some.height)])
    assert alone.equals(first.join(some, on="operation", how="semi"))


@pytest.mark.parametrize("connector", CONNECTORS)
def test_every_test_value_changes_an_answer(connector: Connector, gate_settings: Settings) -> None:
    """A value whose meaning lies outside the answer (a later return) says so in its words."""
    calls = calls_of(connector, gate_settings)
    told = ["result", "response", "approved_minor", "score"]
    both = calls.join(answers(connector, calls), on="operation").with_columns(
        value=pl.coalesce("bank_code", "test_value", "payment_test_value")
    )
    plain = both.filter(pl.col("value").is_null()).select("verb", "amount_minor", *told)
    for value, meaning in connector.test_values.items():
        own = both.filter(pl.col("value") == value).select("verb", "amount_minor", *told)
        differs = not own.sort(pl.all()).equals(plain.sort(pl.all()))
        assert differs or "approve" in meaning, f"{value}: {meaning}"


@pytest.mark.parametrize("connector", OUTSIDE)
def test_look_up_says_what_send_said(connector: Connector, gate_settings: Settings) -> None:
    calls = calls_of(connector, gate_settings)
    sent = answers(connector, calls)
    if connector.look_up is not None:
        assert in_order(connector.look_up(calls)).equals(sent)


@pytest.mark.parametrize("connector", OUTSIDE)
def test_a_key_that_was_never_sent_is_not_found(
    connector: Connector, gate_settings: Settings
) -> None:
    never = calls_of(connector, gate_settings).head(20).with_columns(key="never-" + pl.col("key"))
    if connector.look_up is not None:
        found = in_order(connector.look_up(never))
        assert set(found.select("result", "response").rows()) == {("failed", "not_found")}


@pytest.mark.parametrize("connector", OUTSIDE)
def test_where_nobody_listens_nothing_is_taken(
    connector: Connector, gate_settings: Settings
) -> None:
    """The call had no effect for certain; what became of a key cannot be said."""
    gone = dict.fromkeys(gate_settings, "http://127.0.0.1:9")
    calls = calls_of(connector, gone).head(20)
    replies = answers(connector, calls)
    assert set(replies.select("result", "response").rows()) == {("failed", "not_taken")}
    if connector.look_up is not None:
        assert set(in_order(connector.look_up(calls))["result"]) == {"unknown"}


@pytest.mark.parametrize("connector", OUTSIDE)
def test_a_call_whose_time_is_over_does_not_leave(
    connector: Connector, gate_settings: Settings
) -> None:
    calls = calls_of(connector, gate_settings).head(20)
    calls = calls.with_columns(key="late-" + pl.col("key"), send_before_epoch=time.time() - 1)
    replies = answers(connector, calls)
    assert set(replies.select("result", "response").rows()) == {("failed", "not_taken")}
    if connector.look_up is not None:
        assert set(in_order(connector.look_up(calls))["response"]) == {"not_found"}
