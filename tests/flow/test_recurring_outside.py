"""Recurring payments at a processor that is really outside: one charge, whatever it answers."""

from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.connector import REPLY_SCHEMA
from paybatch.flow import worker
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from recurring_support import (
    CARD,
    DECLINES,
    NOT_AGAIN,
    SECOND_TIME,
    STOLEN,
    TODAY,
    charged,
    create,
    dates,
    done,
    on,
    payments,
    status,
    tick,
)
from tests_support import laws_hold

INLINE = registry.connectors()["sandbox"]


@pytest.mark.parametrize(
    ("number", "state", "stands"),
    [
        (SECOND_TIME, "charged", "recurring_active"),
        (DECLINES, "open", "recurring_active"),
        (STOLEN, "given_up", "recurring_failed"),
        (NOT_AGAIN, "given_up", "recurring_stopped"),
    ],
)
def test_declines_that_come_from_outside(  # noqa: PLR0917 - a table
    engine: Engine,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    number: str,
    state: str,
    stands: str,
) -> None:
    far = replace(INLINE, inline=False, look_up=INLINE.send)  # its answers hang on the call alone
    monkeypatch.setitem(registry.connectors(), "sandbox", far)
    done(engine, place, create(**{**CARD, "card_number": number}))
    tick(engine, TODAY)
    tick(engine, "2026-11-22")
    assert [each[3] for each in dates(engine)] == [state]
    assert status(engine, place) == stands
    assert laws_hold(engine)


def test_a_lost_answer_is_looked_up_and_charged_once(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    def send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Do what is asked, and lose the answers."""
        sent.extend(calls["key"])
        lost = {"operation": pl.col("operation"), "result": pl.lit("unknown")}
        yield calls.select(
            lost.get(name, pl.lit(None, kind)).alias(name) for name, kind in REPLY_SCHEMA.items()
        )

    far = replace(INLINE, inline=False, send=send, look_up=INLINE.send)
    monkeypatch.setitem(registry.connectors(), "sandbox", far)
    done(engine, place, create(period="week"))
    tick(engine, TODAY)
    assert dates(engine) == [("2026-11-21", 1000, 1, "handed_over")]
    for day in ("2026-11-22", "2026-11-23"):
        worker.take_on_left(on(engine, day))
        tick(engine, day)
    assert charged(engine) == [("2026-11-21", 1000)]
    assert len(sent) == 1
    assert [each["captured"] for each in payments(engine)] == [1000]
    assert laws_hold(engine)
