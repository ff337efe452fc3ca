"""Reversals in two stages at a processor in a process of its own, which does them later."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime

from conftest import gate_values
from outside_support import hand_in, outcomes
from paybatch.flow.engine import Engine
from paybatch.store import directory
from sandbox_support import Outside
from tests_support import laws_hold

CARD = "4000000000000374,12/39"  # its reversals are pending
UNTIL_SECONDS = 60


def retried(engine: Engine) -> str | None:
    """Retry until the reversal is known; give what is told of it."""
    until = time.monotonic() + UNTIL_SECONDS
    while time.monotonic() < until:
        hand_in(engine, "retry_reversal,,,,,,a\n")
        state, _, message = outcomes(engine)[-1]
        if state == "approved":
            return message
        time.sleep(0.1)
    return "nobody knows"


def test_each_stage_is_pending_and_retried(engine: Engine, sandbox: Outside) -> None:
    hasty = engine.settings.model_copy(update={"patience_seconds": 0.0})
    # Calls leave by the sandbox's time.
    engine = replace(engine, clock=lambda: datetime.now(UTC), settings=hasty)
    told = {"url": f"{sandbox.url}/staged"}
    gate = gate_values("far", connector="sandbox_http", settings=json.dumps(told))
    gate["capabilities"] = json.dumps({"two_stage_reversal": True})
    with engine.database.transaction() as connection:
        directory.add_gate(connection, gate)
        connection.execute("UPDATE gate SET is_default = (name = 'far')")
    sandbox.control(settle_seconds=0.5)
    hand_in(engine, f"sale,500,USD,{CARD},a,\n")
    stages = {
        "reverse": "the reversal was prepared, it is not done yet",
        "commit_reversal": "the reversal was done",
    }
    for stage, told in stages.items():
        assert hand_in(engine, f"{stage},,,,,,a\n").state == "waiting"
        assert retried(engine) == told
    with engine.database.transaction() as connection:
        query = "SELECT cancelled, prepared, reserved_void FROM payment"
        assert connection.execute(query).fetchall() == [(500, 0, 0)]
    books = [each for each in sandbox.lines("books") if each["account"] == "staged"]
    verbs = [(each["verb"], each["status"]) for each in books]
    wanted = ("sale", "prepare_reversal", "void")
    assert verbs == [(verb, "approved") for verb in wanted]
    assert laws_hold(engine)
