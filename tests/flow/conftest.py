"""A processor outside for the tests of flow, and a clock that is set by hand."""

from dataclasses import replace

import pytest

from outside_support import INLINE, Clock, Processor
from paybatch import registry
from paybatch.domain.connector import Connector
from paybatch.flow.engine import Engine


@pytest.fixture
def processor() -> Processor:
    return Processor()


@pytest.fixture
def outside(processor: Processor, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """Let the sandbox be really outside, idempotent and with look-up."""
    connector = replace(
        INLINE, inline=False, idempotent=True, send=processor.send, look_up=processor.look_up
    )
    monkeypatch.setitem(registry.connectors(), "sandbox", connector)
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return connector


@pytest.fixture
def clocked(engine: Engine) -> tuple[Engine, Clock]:
    clock = Clock(engine.clock())
    settings = engine.settings.model_copy(update={"patience_seconds": 0.0})
    return replace(engine, clock=clock, settings=settings), clock
