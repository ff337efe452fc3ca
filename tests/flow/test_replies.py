"""Replies: what breaks a connector's contract is said, and nothing of it is stored."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.connector import Connector
from paybatch.flow import batch as batches
from paybatch.flow import worker
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake.receive import Request, receive
from paybatch.flow.place import Place
from paybatch.flow.working.replies import ConnectorError, held
from tests_support import laws_hold

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
CARD = "4111111111111111,12/39"
FILE = HEADER + "".join(f"sale,{100 + n},USD,{CARD},r{n},\n" for n in range(3))
SALE = {"kind": "sale", "amount_minor": "100", "card_number": CARD[:16], "card_expiry": "12/39"}
REQUEST = Request(file_name="replies.csv")
GOOD = registry.connectors()["sandbox"]
Change = Callable[[pl.DataFrame], pl.DataFrame]


def first(column: str, value: object) -> Change:
    """Change a value of the first reply."""
    is_first = pl.int_range(pl.len()) == 0
    return lambda table: table.with_columns(
        pl.when(is_first).then(pl.lit(value)).otherwise(column).alias(column)
    )


def connector(change: Change) -> Connector:
    """Give the sandbox with other replies."""
    return replace(GOOD, send=lambda calls: (change(each) for each in GOOD.send(calls)))


BREAKS = [
    pytest.param(lambda table: table.slice(1), "left 1 without an answer", id="left out"),
    pytest.param(lambda table: table.clear(), "without an answer", id="no answer at all"),
    pytest.param(lambda table: pl.concat([table, table.head(1)]), "1 more than once", id="twice"),
    pytest.param(first("operation", 7), "1 that nobody asked", id="strange"),
    pytest.param(first("operation", None), "1 that nobody asked", id="null"),
    pytest.param(first("approved_minor", 1000), "approved 1000 minor units where 1", id="more"),
    pytest.param(first("approved_minor", 0), "approved no minor units where 1", id="nothing"),
    pytest.param(first("approved_minor", -1), "approved -1 minor units where 1", id="negative"),
    pytest.param(first("approved_minor", None), "approved no minor units where 1", id="none"),
    pytest.param(first("result", "fine"), "the result fine; allowed: approved", id="word"),
    pytest.param(lambda table: table.drop("response"), "columns of its contract: resp", id="cols"),
    pytest.param(
        lambda table: table.cast({"approved_minor": pl.Float64}), "approved_minor", id="float"
    ),
]


@pytest.mark.parametrize(("change", "told"), BREAKS)
def test_a_broken_contract_leaves_the_batch_as_it_was(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, change: Change, told: str
) -> None:
    monkeypatch.setitem(registry.connectors(), "sandbox", connector(change))
    batch_id = receive(engine, place, [FILE.encode()], REQUEST)
    with pytest.raises(ConnectorError, match=told) as raised:
        batches.go_on(engine, batch_id)
    assert str(raised.value).startswith("Connector sandbox ")
    assert outcomes(engine) == []
    monkeypatch.setitem(registry.connectors(), "sandbox", GOOD)
    assert batches.go_on(engine, batch_id).state == "completed"
    assert outcomes(engine) == ["approved"] * 3
    assert laws_hold(engine)


def outcomes(engine: Engine) -> list[str]:
    with engine.database.transaction() as connection:
        return [str(row[0]) for row in connection.execute("SELECT state FROM outcome").fetchall()]


@pytest.mark.parametrize("count", [3, 300])  # few rows are looked at by a loop
def test_replies_may_come_in_any_order_and_in_parts(count: int) -> None:
    calls = pl.DataFrame({"operation": range(1, count + 1), "amount_minor": range(1, count + 1)})
    texts = ["response", "processor_code", "processor_text"]
    texts += ["approval_code", "avs_result", "cvv_result"]
    replies = calls.select(
        "operation",
        pl.lit("approved").alias("result"),
        pl.col("amount_minor").alias("approved_minor"),
        *(pl.lit(None).alias(name) for name in texts),
    )
    parts = [replies.slice(2), replies.head(2).cast({"approved_minor": pl.Int32})]
    for each in ([replies], parts, [replies.reverse()]):
        assert held(GOOD, calls, each)["approved_minor"].sum() == count * (count + 1) / 2
    with pytest.raises(ConnectorError, match="2 more than once and 0"):
        held(GOOD, calls, [*parts, replies.head(2)])
    above = replies.with_columns(approved_minor=pl.col("approved_minor") + 1)
    for wrong in (above, above.reverse()):
        with pytest.raises(ConnectorError, match=f"approved 2 .* 1 were .* {count - 1} calls more"):
            held(GOOD, calls, [wrong])


def test_a_verification_is_of_nothing(engine: Engine, place: Place) -> None:
    caller = Caller(engine, place)
    verify = {**SALE, "kind": "verify", "amount_minor": ""}
    assert caller.call(verify)["state"] == "approved"
    assert caller.call({**verify, "amount_minor": "0"})["state"] == "approved"


def test_a_call_is_told_and_the_next_one_goes_on(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = Caller(engine, place)
    monkeypatch.setitem(registry.connectors(), "sandbox", connector(lambda table: table.clear()))
    with pytest.raises(ConnectorError, match="without an answer"):
        caller.call(SALE)
    monkeypatch.setitem(registry.connectors(), "sandbox", GOOD)
    assert caller.call(SALE)["state"] == "approved"
    assert outcomes(engine) == ["approved"]


def test_the_sweep_goes_on_with_the_other_batches(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks = connector(lambda table: table.filter(pl.col("approved_minor") != 101))
    monkeypatch.setitem(registry.connectors(), "sandbox", breaks)
    bad = receive(engine, place, [FILE.encode()], REQUEST)
    good = receive(engine, place, [FILE.replace("101", "102").encode()], REQUEST)
    worker.take_on_left(engine)
    assert (load_batch(engine, bad).state, load_batch(engine, good).state) == (
        "running",
        "completed",
    )
