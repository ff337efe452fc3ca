"""What contradicts a call that is under way: it waits for its turn, and is told so."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from outside_support import (
    CARD,
    HEADER,
    REQUEST,
    SALE,
    Clock,
    Model,
    clocked,
    hand_in,
    outcomes,
)
from paybatch import registry
from paybatch.flow import batch as batches
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.place import find_place
from paybatch.flow.sending.recover import recover
from tests_support import laws_hold

AMOUNTS = "authorized, captured, released, cancelled, settled, refunded"
IN_DOUBT = "other_under_way"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """Let the sandbox be a processor that is really outside."""
    made = Model()
    monkeypatch.setitem(registry.connectors(), "sandbox", made.connector())
    return made


@pytest.fixture
def timed(engine: Engine) -> tuple[Engine, Clock]:
    return clocked(engine)


def payments(
    engine: Engine, columns: str = AMOUNTS, where: str = "true"
) -> list[tuple[object, ...]]:
    with engine.database.transaction() as connection:
        query = f"SELECT {columns} FROM payment WHERE {where} ORDER BY id"
        return connection.execute(query).fetchall()


def known(timed: tuple[Engine, Clock], model: Model) -> None:
    """Let what is under way become known; nothing is reserved then."""
    engine, clock = timed
    model.loses = False
    clock.now += timedelta(minutes=3)
    assert recover(engine) >= 1
    sums = "coalesce(sum(reserved_capture + reserved_void + reserved_refund), 0)"
    with engine.database.transaction() as connection:
        query = f"SELECT {sums} FROM payment"
        assert connection.execute(query).fetchone() == (0,)
    assert laws_hold(engine)


@pytest.fixture
def call(timed: tuple[Engine, Clock], model: Model) -> Callable[..., dict[str, Any]]:
    """Give a function that makes a call; ``loses`` = its answer is lost."""

    def called(kind: str, *, loses: bool = False, **cells: str) -> dict[str, Any]:
        model.loses = loses
        caller = Caller(timed[0], find_place(timed[0], "local"))
        told: dict[str, Any] = caller.call({"kind": kind, **cells})
        assert (told["state"] == "unknown") == loses, told
        return told

    return called


Call = Callable[..., dict[str, Any]]
ACH = {"account_number": "1234567890", "routing_number": "021000021"}
ACH |= {"account_type": "checking", "sec_code": "WEB"}
DUE = {**ACH, "collect_on": "2026-11-25", "currency": "USD", "amount_minor": "1000"}
NEW = {name: cell for name, cell in SALE.items() if name != "kind"}


def test_a_refund_leaves_what_a_void_under_way_takes(
    timed: tuple[Engine, Clock], model: Model, call: Call
) -> None:
    its = {"payment": call("sale", **NEW, amount_minor="1000")["payment"]}
    call("void", **its, amount_minor="700", loses=True)
    assert call("refund", **its, amount_minor="1000")["reason"] == "amount_above_left"
    assert call("refund", **its)["approved_minor"] == 300
    assert call("refund", **its)["reason"] == "nothing_left"
    assert call("reverse", **its)["reason"] == "nothing_left"
    known(timed, model)
    assert payments(timed[0]) == [(1000, 1000, 0, 700, 0, 300)]


def test_a_refund_beside_a_void_of_the_hold_takes_all_that_was_captured(
    timed: tuple[Engine, Clock], model: Model, call: Call
) -> None:
    its = {"payment": call("authorize", **NEW, amount_minor="1000")["payment"]}
    call("capture", **its, amount_minor="400")
    call("void", **its, amount_minor="600", loses=True)
    assert call("refund", **its)["approved_minor"] == 400
    known(timed, model)
    assert payments(timed[0]) == [(1000, 400, 600, 0, 0, 400)]


@pytest.mark.parametrize("amount", ["", "300", "1000"])
def test_a_void_waits_for_a_capture(
    timed: tuple[Engine, Clock], model: Model, call: Call, amount: str
) -> None:
    its = {"payment": call("authorize", **NEW, amount_minor="1701")["payment"]}
    call("capture", **its, amount_minor="1000")
    call("capture", **its, amount_minor="701", loses=True)
    told = call("void", **its, **({"amount_minor": amount} if amount else {}))
    assert told["reason"] == IN_DOUBT
    known(timed, model)
    assert payments(timed[0]) == [(1701, 1701, 0, 0, 0, 0)]


def test_a_final_capture_waits_for_a_void(
    timed: tuple[Engine, Clock], model: Model, call: Call
) -> None:
    its = {"payment": call("authorize", **NEW, amount_minor="1000")["payment"]}
    call("void", **its, amount_minor="701", loses=True)
    assert call("capture", **its, amount_minor="299", final="true")["reason"] == IN_DOUBT
    assert call("capture", **its, amount_minor="100")["state"] == "approved"
    known(timed, model)
    assert call("capture", **its, amount_minor="150", final="true")["state"] == "approved"
    assert payments(timed[0]) == [(1000, 250, 750, 0, 0, 0)]


@pytest.mark.parametrize("lines", [1, 2])
def test_a_final_capture_holds_all_of_the_hold(
    timed: tuple[Engine, Clock], model: Model, call: Call, lines: int
) -> None:
    """By a call, and by a file."""
    engine, _ = timed
    new = call("authorize", **NEW, amount_minor="1000", reference="a")
    its = {"payment": new["payment"]}
    if lines == 1:
        call("capture", **its, amount_minor="300", final="true", loses=True)
    else:
        model.loses = True
        text = HEADER.replace("payment", "payment,final") + "capture,300,USD,,,,a,true\n"
        place = find_place(engine, "local")
        assert batches.run(engine, place, [text.encode()], REQUEST).state == "waiting"
    assert payments(engine, "reserved_capture, reserved_void") == [(1000, 0)]
    assert call("capture", **its, amount_minor="500")["state"] == "rejected"
    assert call("void", **its)["reason"] == IN_DOUBT
    up = {"direction": "up", "amount_minor": "10", "currency": "USD"}
    assert call("adjust", **its, **up)["reason"] == IN_DOUBT
    known(timed, model)
    assert payments(engine) == [(1000, 300, 700, 0, 0, 0)]


def test_a_close_leaves_out_what_a_void_may_undo(
    timed: tuple[Engine, Clock], model: Model, call: Call
) -> None:
    its = {"payment": call("sale", **NEW, amount_minor="1000")["payment"]}
    call("void", **its, amount_minor="700", loses=True)
    call("close_day", gate="sandbox")
    assert payments(timed[0]) == [(1000, 1000, 0, 0, 0, 0)]
    known(timed, model)
    call("close_day", gate="sandbox")
    assert payments(timed[0]) == [(1000, 1000, 0, 700, 300, 0)]


def test_a_challenge_is_not_accepted_while_it_is_refused(
    timed: tuple[Engine, Clock], model: Model, call: Call
) -> None:
    held = {**NEW, "card_number": "4000000000000119"}
    its = {"payment": call("sale", **held, amount_minor="1000")["payment"]}
    assert payments(timed[0], "state") == [("challenged",)]
    call("refuse_challenge", **its, loses=True)
    assert call("accept_challenge", **its)["reason"] == IN_DOUBT
    known(timed, model)
    assert payments(timed[0]) == [(1000, 0, 1000, 0, 0, 0)]


@pytest.mark.parametrize(
    ("kind", "cells"), [("mark_collected", {}), ("debit_return", {"return_code": "R01"})]
)
def test_a_debit_is_not_collected_while_it_is_voided(
    timed: tuple[Engine, Clock], model: Model, call: Call, kind: str, cells: dict[str, str]
) -> None:
    its = {"payment": call("direct_debit", **DUE)["payment"]}
    call("void", **its, loses=True)
    assert call(kind, **its, **cells)["reason"] == IN_DOUBT
    known(timed, model)
    assert payments(timed[0]) == [(1000, 0, 1000, 0, 0, 0)]


@pytest.mark.parametrize("kind", ["receipt", "expire", "adjust"])
def test_a_hold_waits_for_what_is_under_way(
    timed: tuple[Engine, Clock], model: Model, call: Call, kind: str
) -> None:
    with timed[0].database.transaction() as connection:
        connection.execute("""UPDATE gate SET capabilities = '{"transfer_needs_capture": true}'""")
    if kind == "receipt":
        new = call("transfer_create", currency="USD", amount_minor="1000")
        call("mark_received", payment=new["payment"])
    else:
        new = call("authorize", **NEW, amount_minor="1000")
    its = {"payment": new["payment"]}
    call("capture", **its, amount_minor="400", loses=True)
    cells = {"direction": "up", "amount_minor": "10", "currency": "USD"} if kind == "adjust" else {}
    assert call(kind, **its, **cells)["reason"] == IN_DOUBT
    known(timed, model)
    assert payments(timed[0]) == [(1000, 400, 0, 0, 0, 0)]


MANDATE_COLUMNS = "kind,reference,payment,amount_minor,currency,sequence_type"
SIGNED = "DE89370400440532013000,DE98ZZZ09999999999,2026-11-01"


def sign(engine: Engine, mandate_type: str) -> None:
    """Hand in a mandate m."""
    names = "kind,reference,currency,iban,creditor_id,signed_on,mandate_type\n"
    in_file(engine, f"{names}mandate,m,USD,{SIGNED},{mandate_type}\n")


def debit(engine: Engine, sequence: str, name: str) -> str:
    """Debit mandate m; give the state of the batch."""
    return in_file(engine, f"{MANDATE_COLUMNS}\ndirect_debit,{name},m,1000,USD,{sequence}\n")


def in_file(engine: Engine, text: str) -> str:
    state: str = batches.run(engine, find_place(engine, "local"), [text.encode()], REQUEST).state
    return state


MANDATE = "origin = 'mandate'"


@pytest.mark.parametrize(
    ("kind", "sequence", "after"),
    [("OOFF", "OOFF", "mandate_ended"), ("RCUR", "FRST", "mandate_running")],
)
def test_a_mandate_is_debited_once_while_nobody_knows(
    timed: tuple[Engine, Clock], model: Model, kind: str, sequence: str, after: str
) -> None:
    engine, _ = timed
    sign(engine, kind)
    model.loses = True
    assert debit(engine, sequence, "d1") == "waiting"
    assert debit(engine, sequence, "d2") == "completed"
    assert outcomes(engine)[-1][0] == "rejected"
    known(timed, model)
    assert model.done == 1
    assert payments(engine, "state", MANDATE) == [(after,)]


@pytest.mark.parametrize(("kind", "sequence"), [("OOFF", "OOFF"), ("RCUR", "FRST")])
def test_a_mandate_that_was_cancelled_meanwhile_stays_so(
    timed: tuple[Engine, Clock], model: Model, kind: str, sequence: str
) -> None:
    engine, _ = timed
    sign(engine, kind)
    model.loses = True
    debit(engine, sequence, "d1")
    in_file(engine, "kind,payment\nmandate_cancel,m\n")
    known(timed, model)
    assert payments(engine, "state", MANDATE) == [("mandate_cancelled",)]
    assert payments(engine, "captured", f"NOT {MANDATE}") == [(1000,)]


def test_a_recurring_payment_that_was_stopped_meanwhile_stays_so(
    timed: tuple[Engine, Clock], model: Model, call: Call
) -> None:
    expired = {**NEW, "card_number": "4000000000000069"}
    terms = {"period": "month", "start_on": "2039-01-31", "amount_minor": "1000"}
    its = {"payment": call("recurring_create", **expired, **terms)["payment"]}
    call("recurring_charge", **its, amount_minor="1000", currency="USD", loses=True)
    call("recurring_update", **its, action="stop")
    known(timed, model)
    assert payments(timed[0], "state", "origin = 'recurring_create'") == [("recurring_stopped",)]
    assert payments(timed[0], "state", "origin <> 'recurring_create'") == [("declined",)]


def test_rows_of_a_file_without_doubts_are_as_ever(
    timed: tuple[Engine, Clock], model: Model
) -> None:
    engine, _ = timed
    rows = f"authorize,1000,USD,{CARD},a,\ncapture,300,USD,,,,a\nvoid,,USD,,,,a\n"
    assert hand_in(engine, rows).state == "completed"
    assert model.done == 3
    assert payments(engine) == [(1000, 300, 700, 300, 0, 0)]
