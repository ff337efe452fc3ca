"""A processor outside for the tests of flow, and a clock that is set by hand."""

import pytest

from outside_support import Clock, Processor
from outside_support import clocked as with_clock
from paybatch import registry
from paybatch.domain.connector import Connector
from paybatch.flow.engine import Engine


@pytest.fixture
def processor() -> Processor:
    return Processor()


@pytest.fixture
def outside(processor: Processor, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """Let the sandbox be really outside, idempotent and with look-up."""
    connector = processor.connector()
    monkeypatch.setitem(registry.connectors(), "sandbox", connector)
    monkeypatch.setattr("paybatch.flow.sending.outward.TRIES_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr("paybatch.flow.batch.OTHERS_SECONDS", 0.0)
    return connector


@pytest.fixture
def clocked(engine: Engine) -> tuple[Engine, Clock]:
    return with_clock(engine)
