"""Phases: rows that change a list or a gate wait for those above them, and later ones for them."""

from collections.abc import Callable

import polars as pl
import pytest

from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.phases import runs
from paybatch.flow.place import Place
from tests_support import laws_hold, run

HEADER = (
    "kind,reference,payment,amount_minor,currency,card_number,card_expiry,card_cvv,email,"
    "customer_ip\n"
)
VISA, MASTERCARD = "4111111111111111", "5555555555554444"
With = Callable[..., Engine]


def sale(reference: str, number: str = VISA, cvv: str = "") -> str:
    return f"sale,{reference},,100,USD,{number},12/39,{cvv},,"


def listing(kind: str, number: str = VISA) -> str:
    return f"{kind},,,,,{number},,,,"


def act(kind: str, payment: str, amount: str = "") -> str:
    return f"{kind},,{payment},{amount},,,,,,"


def results(engine: Engine, place: Place, rows: list[str], **options: object) -> list[str]:
    """Run rows and give the reason, or else the outcome, of each."""
    text = HEADER + "".join(f"{row}\n" for row in rows)
    result = run(engine, place, text, again=True, **options)
    return [reason or outcome for reason, outcome in result.select("reason", "outcome").rows()]


@pytest.mark.parametrize("chunk_rows", [1, 2, 50_000])
def test_a_list_holds_from_its_line_on(place: Place, with_settings: With, chunk_rows: int) -> None:
    engine = with_settings(chunk_rows=chunk_rows, threads=2)
    rows = [
        *(sale("a"), listing("blacklist"), sale("b"), sale("c", MASTERCARD)),
        *(listing("unblacklist"), sale("d"), listing("blacklist"), sale("e")),
    ]
    assert results(engine, place, rows) == [
        *("approved", "approved", "number_listed", "approved"),
        *("approved", "approved", "approved", "number_listed"),
    ]
    assert laws_hold(engine)


@pytest.mark.parametrize("policy", ["valid-rows", "all-or-none", "stop-after=3"])
@pytest.mark.parametrize("chunk_rows", [1, 3, 50_000])
def test_rows_on_a_payment_keep_their_order_across_a_barrier(
    place: Place, with_settings: With, chunk_rows: int, policy: str
) -> None:
    engine = with_settings(chunk_rows=chunk_rows, stop_chunk_rows=chunk_rows, threads=2)
    rows = [
        *("authorize,p,,1000,USD,5555555555554444,12/39,123,,", act("capture", "p", "300")),
        *(listing("blacklist"), act("refund", "p", "100"), act("capture", "p", "200")),
        *(act("blacklist", "p"), act("refund", "p", "400"), sale("q", "4000000000000051", "200")),
    ]
    assert results(engine, place, rows, policy=policy) == ["approved"] * 8
    assert laws_hold(engine)
    with engine.database.transaction() as connection:
        chunks = connection.execute("SELECT DISTINCT phase FROM chunk ORDER BY phase").fetchall()
        answers = connection.execute(
            "SELECT cvv_result FROM outcome WHERE cvv_result IS NOT NULL ORDER BY id"
        ).fetchall()
    assert chunks == [(0,), (1,), (2,), (3,), (4,)]
    assert answers == [("M",), ("N",)], "CVVs are found on both sides of a barrier"


def test_what_was_taken_before_a_barrier_counts_behind_it(
    place: Place, with_settings: With
) -> None:
    engine = with_settings(chunk_rows=2, threads=2)
    rows = [
        *(sale("p"), sale("x", MASTERCARD), act("refund", "p", "60")),
        *(listing("blacklist"), act("refund", "p", "60"), act("refund", "p", "40")),
    ]
    assert results(engine, place, rows) == [
        *("approved", "approved", "approved", "approved", "amount_above_left", "approved")
    ]


def test_a_file_without_barriers_has_one_phase(engine: Engine, place: Place) -> None:
    assert results(engine, place, [sale("a"), act("refund", "a")]) == ["approved"] * 2
    assert results(engine, place, [listing("blacklist")] * 3) == ["approved"] * 3
    with engine.database.transaction() as connection:
        assert connection.execute("SELECT DISTINCT phase FROM chunk").fetchall() == [(0,)]


def test_refused_rows_part_no_phase(engine: Engine, place: Place) -> None:
    rows = [listing("blacklist"), "sale,,,0,USD,,,,,", listing("blacklist", MASTERCARD)]
    assert results(engine, place, rows)[::2] == ["approved"] * 2
    with engine.database.transaction() as connection:
        assert connection.execute("SELECT DISTINCT phase FROM chunk").fetchall() == [(0,)]


def test_the_result_stays_in_the_order_of_the_file(place: Place, with_settings: With) -> None:
    engine = with_settings(chunk_rows=4, threads=2)
    rows = [sale(f"r{n}") if n % 3 else listing("unblacklist") for n in range(30)]
    text = HEADER + "".join(f"{row}\n" for row in rows)
    result = run(engine, place, text)
    assert result["kind"].to_list() == [row.split(",")[0] for row in rows]
    assert result["reference"].drop_nulls().to_list() == [f"r{n}" for n in range(30) if n % 3]
    with engine.database.transaction() as connection:
        counts = connection.execute(
            "SELECT sum(row_count), bool_and(row_count = last_line - first_line + 1) FROM chunk"
        ).fetchone()
    assert counts == (30, True)


def test_calls_of_a_group_keep_their_order(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group is made by hand: which calls meet in one is up to the threads."""
    caller = Caller(engine, place)
    card = {"card_number": VISA, "card_expiry": "12/39"}
    money = {"amount_minor": "100", "currency": "USD"}
    buys, lists = {"kind": "sale", **card, **money}, {"card_number": VISA}
    calls = [
        *(buys, {"kind": "blacklist", **lists}, buys),
        *({"kind": "unblacklist", **lists}, buys, buys),
    ]
    answers = caller._settle(calls, waits=False)
    assert [each["reason"] for each in answers if isinstance(each, dict)] == [
        *(None, None, "number_listed", None, None, None)
    ]
    assert laws_hold(engine)


def test_runs_of_rows() -> None:

    kinds = ["sale", "blacklist", "blacklist", "unblacklist", "sale", "refund"]
    parts = [part["kind"].to_list() for part in runs(pl.DataFrame({"kind": kinds}))]
    assert parts == [["sale"], ["blacklist"] * 2, ["unblacklist"], ["sale", "refund"]]
