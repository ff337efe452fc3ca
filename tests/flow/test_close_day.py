"""Close of day: what is due becomes settled, once, and the books and the totals say the same."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from closing_support import COLUMNS, HEADER, act, balances, close, row, sale, settled
from conftest import gate_values
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place, find_place
from paybatch.store import directory
from tests_support import laws_hold, run


def ran(engine: Engine, place: Place, *rows: str) -> list[tuple[str, str | None, str | None]]:
    """Run rows and give outcome, reason and message of each; the laws of the books must hold."""
    text = HEADER + "".join(f"{each}\n" for each in rows)
    result = run(engine, place, text, again=True)
    assert laws_hold(engine)
    return result.select("outcome", "reason", "message").rows()


def values_of(engine: Engine, place: Place, reference: str) -> dict[str, Any]:
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key).values


def test_what_is_due_is_settled(engine: Engine, place: Place) -> None:
    told = ran(
        engine,
        place,
        *(sale("a", 1000), sale("b", 500), sale("h", 300, "authorize"), sale("c", 70, "credit")),
        *(act("capture", "h", "100"), act("refund", "a", "250"), act("void", "b", "20"), close()),
    )
    assert [outcome for outcome, _, _ in told] == ["approved"] * 8
    assert told[-1][2] == (
        "gate sandbox, 2026-11-21, settlement 1: USD 12.60 net (sales 3: 15.80, refunds 2: 3.20)"
    )
    kept = ("sandbox", 1, "USD", "2026-11-21", 3, 1580, 2, 320, 1260, "approved")
    assert settled(engine) == [kept]
    assert balances(engine)["receivable"] == 0
    assert balances(engine)["clearing"] == 1260
    a, b, h, c = (values_of(engine, place, name) for name in "abhc")
    assert (a["settled"], a["refunded"], a["refund_settled"]) == (1000, 250, 250)
    assert (b["settled"], b["status"]) == (480, "settled")
    assert (h["settled"], h["status"]) == (100, "partially_captured")
    assert (c["settled"], c["status"]) == (70, "credited")


def test_only_what_came_after_the_last_close_is_due(engine: Engine, place: Place) -> None:
    ran(engine, place, sale("a", 1000), sale("h", 900, "authorize"), act("capture", "h", "1"))
    ran(engine, place, close())
    told = ran(engine, place, act("refund", "a", "300"), act("capture", "h", "50"), close())
    assert told[-1][2] is not None
    assert "settlement 2: USD -2.50 net (sales 1: 0.50, refunds 1: 3.00)" in told[-1][2]
    assert balances(engine)["receivable"] == 0
    assert balances(engine)["clearing"] == 1001 - 250
    told = ran(engine, place, close(), close())
    assert [each[4:9] for each in settled(engine)[2:]] == [(0, 0, 0, 0, 0)] * 2
    days = [each[3] for each in settled(engine)]
    assert days == ["2026-11-21", *["2026-11-22"] * 3]  # one that has not begun stays the next one


def test_the_next_business_day_is_open(engine: Engine, place: Place) -> None:
    ran(engine, place, sale("a", 1), close(), sale("b", 1), sale("c", 1, gate="many"))
    days = [str(values_of(engine, place, name)["business_day"]) for name in "abc"]
    assert days == ["2026-11-21", "2026-11-22", "2026-11-21"]
    caller = Caller(engine, place)
    assert caller.call({"kind": "close_day", "gate": "sandbox"})["state"] == "approved"
    buys = dict(zip(COLUMNS, sale("d", 1).split(","), strict=True))
    assert caller.call(buys)["state"] == "approved"
    assert str(values_of(engine, place, "d")["business_day"]) == "2026-11-22"


def test_what_is_settled_is_refunded_and_not_voided(engine: Engine, place: Place) -> None:
    strict = gate_values("strict", capabilities='{"refund_before_settlement": false}')
    with engine.database.transaction() as connection:
        directory.add_gate(connection, strict)
    told = ran(
        engine,
        find_place(engine, "local"),
        *(sale("p", 1000, gate="strict"), act("refund", "p", "10"), close("strict")),
        *(act("void", "p"), act("refund", "p", "400"), act("refund", "p"), act("refund", "p")),
    )
    assert [reason or outcome for outcome, reason, _ in told] == [
        *("approved", "not_settled_yet", "approved", "settled_already"),
        *("approved", "approved", "status_not_allowed"),
    ]
    values = values_of(engine, place, "p")
    assert (values["settled"], values["refunded"], values["refund_settled"]) == (1000, 1000, 0)
    assert balances(engine, "strict")["receivable"] == -1000
    ran(engine, place, close("strict"))
    assert balances(engine, "strict")["receivable"] == balances(engine, "strict")["clearing"] == 0


def test_every_gate_of_a_processor(engine: Engine, place: Place) -> None:
    told = ran(
        engine,
        place,
        *(sale("a", 1000), sale("b", 700, gate="many"), sale("c", 5, gate="many", currency="JPY")),
        *(row("close_day", processor="sandbox"), row("close_day", processor="nobody")),
    )
    assert [reason or outcome for outcome, reason, _ in told[3:]] == [
        *("approved", "processor_unknown")
    ]
    assert [each[:3] for each in settled(engine)] == [
        *(("many", 1, name) for name in ("EUR", "JPY", "KWD", "USD")),
        ("sandbox", 1, "USD"),
    ]
    assert balances(engine, "many", "JPY")["clearing"] == 5


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ({"expected_sale_count": "2", "expected_sale_minor": "1500"}, None),
        ({"expected_refund_count": "1", "expected_refund_minor": "250"}, None),
        ({"expected_sale_count": "3"}, "totals_differ"),
        ({"expected_sale_minor": "1499"}, "totals_differ"),
        ({"expected_refund_count": "0"}, "totals_differ"),
        ({"expected_refund_minor": "251"}, "totals_differ"),
        ({"expected_sale_count": "two"}, "value_malformed"),
        ({"processor": "sandbox"}, "gates_several"),
        ({"gate": ""}, "gates_missing"),
    ],
)
def test_control_totals(
    engine: Engine, place: Place, expected: dict[str, str], reason: str | None
) -> None:
    ran(engine, place, sale("a", 1000), sale("b", 500), act("refund", "a", "250"))
    before = balances(engine)
    told = ran(engine, place, close(**expected))
    assert told[0][:2] == ("rejected" if reason else "approved", reason)
    if reason:
        assert balances(engine) == before
        assert settled(engine) == []
        assert values_of(engine, place, "a")["settled"] == 0
        assert str(values_of(engine, place, "a")["business_day"]) == "2026-11-21"


def test_sums_of_several_currencies_are_no_control_total(engine: Engine, place: Place) -> None:
    ran(engine, place, sale("a", 9, gate="many"), sale("b", 9, gate="many", currency="EUR"))
    told = ran(engine, place, close("many", expected_sale_minor="18"))
    assert told[0][1] == "sums_of_currencies"
    assert ran(engine, place, close("many", expected_sale_count="2"))[0][0] == "approved"


def test_the_same_request_closes_once(engine: Engine, place: Place) -> None:
    ran(engine, place, sale("a", 1000))
    wrong = ran(engine, place, close(idempotency_key="day-1", expected_sale_count="2"))
    first = ran(engine, place, close(idempotency_key="day-1"))
    ran(engine, place, sale("b", 1000))
    again = ran(engine, place, close(idempotency_key="day-1"))
    assert [each[0][0] for each in (wrong, first, again)] == ["rejected", "approved", "replayed"]
    assert len(settled(engine)) == 1
    assert values_of(engine, place, "b")["settled"] == 0


def test_a_close_that_the_processor_declines_leaves_the_gate_closing(
    engine: Engine, place: Place
) -> None:
    ran(engine, place, sale("a", 50_000), sale("b", 400))  # 504.00 is an error of the sandbox
    before = balances(engine)
    told = ran(engine, place, close(), close())
    assert [reason or outcome for outcome, reason, _ in told] == ["declined", "gate_closing"]
    assert told[0][2] is not None
    assert "nothing moved" in told[0][2]
    assert balances(engine)["clearing"] == before["clearing"] == 0
    assert settled(engine) == []
    rows = [sale("c", 100), act("refund", "a", "1"), sale("d", 5, gate="many")]
    told = ran(engine, place, *rows, row("gate_unlock", gate="sandbox"), close())
    assert [outcome for outcome, _, _ in told] == ["approved"] * 5  # they waited for the unlocking
    assert told[3][2] == "unlocked: sandbox"
    assert settled(engine)[0][4:7] == (3, 50_500, 1)
    assert ran(engine, place, row("gate_unlock", gate="sandbox"))[0][2] == (
        "no gate was left closing"
    )


def test_payments_without_a_known_outcome_do_not_hold_it_up(engine: Engine, place: Place) -> None:
    ran(engine, place, sale("a", 1000), sale("held", 10, card_number="4000000000000119"))
    ran(engine, place, row("transfer_create", reference="t", amount_minor="5", currency="USD"))
    with engine.database.transaction() as connection:
        connection.execute(
            "INSERT INTO payment (merchant_id, id, gate_id, origin, is_payout, state, currency, "
            "business_day, made_on, authorized, created_at) SELECT merchant_id, id + 100, gate_id, "
            "origin, is_payout, 'unknown', currency, business_day, made_on, 0, created_at "
            "FROM payment LIMIT 1"
        )
    assert ran(engine, place, close())[0][0] == "approved"
    assert settled(engine)[0][4:6] == (1, 1000)
    told = ran(engine, place, act("accept_challenge", "held"), act("mark_received", "t"), close())
    assert [outcome for outcome, _, _ in told] == ["approved"] * 3
    assert settled(engine)[1][4:6] == (2, 15)
    assert balances(engine)["receivable"] == 0


def test_calls_of_a_group_see_a_close_between_them(engine: Engine, place: Place) -> None:
    ran(engine, place, sale("p", 1000))
    caller = Caller(engine, place)
    on_p = {"payment": "p", "amount_minor": "100"}
    answers = caller._settle(
        [
            *({"kind": "void", **on_p}, {"kind": "close_day", "gate": "sandbox"}),
            *({"kind": "void", **on_p}, {"kind": "refund", **on_p}),
        ],
        waits=False,
    )
    told = [each["reason"] or each["state"] for each in answers if isinstance(each, dict)]
    assert told == ["approved", "approved", "settled_already", "approved"]
    assert settled(engine)[0][4:6] == (1, 900)
    assert laws_hold(engine)


def test_closes_at_once_settle_everything_once(engine: Engine, place: Place) -> None:
    ran(engine, place, *(sale(f"r{n}", 100 + n) for n in range(40)))
    callers = [Caller(engine, place) for _ in range(4)]
    wanted = {"kind": "close_day", "processor": "sandbox"}
    refund = {"kind": "refund", "amount_minor": "1"}
    calls = [wanted, *({**refund, "payment": f"r{n}"} for n in range(8)), wanted]
    with ThreadPoolExecutor(8) as pool:
        done = [pool.submit(caller.call, values) for values in calls for caller in callers]
        answers = [each.result() for each in done]
    assert {each["state"] for each in answers} == {"approved"}
    ran(engine, place, close())
    kept = [each for each in settled(engine) if each[0] == "sandbox"]
    assert [each[1] for each in kept] == list(range(1, 10))
    assert sum(each[5] for each in kept) == sum(range(100, 140))
    assert sum(each[7] for each in kept) == 32
    assert balances(engine)["receivable"] == 0


def test_all_or_none_takes_a_close_too(engine: Engine, place: Place) -> None:
    rows = [sale("a", 100), act("refund", "a", "10"), close(), act("refund", "a", "20"), close()]
    text = HEADER + "".join(f"{each}\n" for each in rows)
    result = run(engine, place, text, policy="all-or-none")
    assert result["outcome"].to_list() == ["approved"] * 5
    assert [each[4:8] for each in settled(engine)] == [(1, 100, 1, 10), (0, 0, 1, 20)]


def test_a_gate_whose_connector_is_not_installed_is_not_closed(
    engine: Engine, place: Place
) -> None:
    with engine.database.transaction() as connection:
        connection.execute("UPDATE gate SET connector = 'elsewhere' WHERE name = 'many'")
    told = ran(
        engine, find_place(engine, "local"), close("many"), row("close_day", processor="elsewhere")
    )
    assert [reason for _, reason, _ in told] == ["not_supported"] * 2
    assert settled(engine) == []
