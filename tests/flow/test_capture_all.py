"""Capture all: a row makes a capture of each open payment, and its result is their totals."""

from collections.abc import Callable

import polars as pl
import pytest

from conftest import gate_values
from paybatch.flow import batch as batches
from paybatch.flow import control
from paybatch.flow import work as working
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine, load_batch
from paybatch.flow.intake.receive import Request
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place, find_place
from paybatch.store import directory
from tests_support import laws_hold, run

COLUMNS = (
    *("kind", "reference", "payment", "amount_minor", "currency", "gate", "card_number"),
    *("card_expiry", "processor", "payments", "differences", "since_on", "until_on", "final"),
    *("expected_sale_count", "expected_sale_minor"),
)
VISA = "4111111111111111"
With = Callable[..., Engine]


def row(kind: str, **values: object) -> str:
    return ",".join([kind, *(str(values.get(name, "")) for name in COLUMNS[1:])])


def held(reference: str, amount: int, kind: str = "authorize", **values: object) -> str:
    means = {"card_number": VISA, "card_expiry": "12/39", "currency": "USD"}
    return row(kind, reference=reference, amount_minor=amount, **{**means, **values})


def taken(**values: object) -> str:
    return row("capture_all", **{"gate": "sandbox", **values})


def results(engine: Engine, place: Place, *rows: str, **options: object) -> pl.DataFrame:
    text = "".join(f"{each}\n" for each in (",".join(COLUMNS), *rows))
    result = run(engine, place, text, again=True, **options)
    assert result.height == len(rows), "each line of the file once"
    return result


def told(result: pl.DataFrame) -> list[str]:
    return [reason or outcome for reason, outcome in result.select("reason", "outcome").rows()]


def last(result: pl.DataFrame) -> str:
    return str(result["message"][-1])


def values_of(engine: Engine, place: Place, reference: str) -> dict[str, object]:
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key).values


def with_till(engine: Engine) -> Place:
    """Add a gate with terminal capture."""
    till = gate_values("till", currencies=["USD"], capabilities='{"terminal_capture": true}')
    with engine.database.transaction() as connection:
        directory.add_gate(connection, till)
    return find_place(engine, "local")


@pytest.mark.parametrize("chunk_rows", [1, 2, 50_000])
def test_every_open_payment_is_captured(place: Place, with_settings: With, chunk_rows: int) -> None:
    engine = with_settings(chunk_rows=chunk_rows, threads=2)
    result = results(
        engine,
        place,
        *(held("a", 1000), held("b", 500), held("c", 300, "sale"), held("d", 70, gate="many")),
        *(row("capture", payment="b", amount_minor=100), taken()),
        *(row("refund", payment="a", amount_minor=200), held("e", 10), row("void", payment="e")),
    )
    assert told(result) == ["approved"] * 9
    assert result["message"][5] == (
        "USD 14.00 net (sales 2: 14.00, returns 0: 0.00, voids 0: 0.00)"
    )
    found = [values_of(engine, place, name) for name in "abcd"]
    assert [each["captured"] for each in found] == [1000, 500, 300, 0]
    assert found[0]["refunded"] == 200, "later lines find them captured"
    assert laws_hold(engine)


def test_amounts_may_differ_and_the_rest_is_released(engine: Engine, place: Place) -> None:
    result = results(
        engine,
        place,
        *(held("a", 1000), held("b", 500), held("c", 300)),
        taken(differences="b=450|a=1000"),
    )
    assert last(result) == "USD 17.50 net (sales 3: 17.50, returns 0: 0.00, voids 1: 0.50)"
    assert (
        values_of(engine, place, "b")["captured"],
        values_of(engine, place, "b")["released"],
    ) == (*(450, 50),)
    assert laws_hold(engine)


def test_some_are_chosen(engine: Engine, place: Place) -> None:
    result = results(
        engine,
        place,
        *(held("a", 1000), held("b", 500), held("c", 300)),
        taken(payments="a|c", differences="c=100", final="false"),
        taken(payments="a|b"),
        taken(payments="a"),
    )
    assert told(result) == [*["approved"] * 5, "nothing_open"]
    assert result["message"][3] == "USD 11.00 net (sales 2: 11.00, returns 0: 0.00, voids 0: 0.00)"
    assert result["message"][4] == (
        "USD 5.00 net (sales 1: 5.00, returns 0: 0.00, voids 0: 0.00); 1 rejected"
    )
    assert values_of(engine, place, "c")["status"] == "partially_captured"
    assert laws_hold(engine)


def test_business_days(engine: Engine, place: Place) -> None:
    results(engine, place, held("a", 100), row("close_day", gate="sandbox"), held("b", 20))
    result = results(
        engine,
        place,
        *(taken(since_on="2026-11-23"), taken(until_on="2026-11-21"), taken(since_on="2026-11-22")),
    )
    assert told(result) == ["nothing_open", "approved", "approved"]
    assert [message.split(" net")[0] for message in result["message"][1:]] == [
        "USD 1.00",
        "USD 0.20",
    ]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "nothing_open"),
        ({"gate": "", "processor": "nobody"}, "processor_unknown"),
        ({"payments": "x"}, "payment_unknown"),
        ({"payments": "twice"}, "reference_ambiguous"),
        ({"payments": "elsewhere"}, "gate_differs"),
        ({"differences": "elsewhere=1"}, "gate_differs"),
        ({"payments": "done", "differences": "done=5|other=5"}, "difference_unused"),
        ({"differences": "done=5"}, "difference_unused"),
        ({"differences": "done"}, "value_malformed"),
        ({"differences": "done=0"}, "value_malformed"),
        ({"differences": "a=5|a=6"}, "value_malformed"),
        ({"payments": "a|a"}, "value_malformed"),
        ({"payments": "a|"}, "value_malformed"),
        ({"payments": "done", "since_on": "2026-11-21"}, "selection_several"),
        ({"since_on": "2026-11-22", "until_on": "2026-11-21"}, "days_reversed"),
        ({"payment": "done"}, "value_not_allowed"),
        ({"expected_sale_count": 1}, "totals_differ"),
        ({"expected_sale_minor": 1}, "totals_differ"),
    ],
)
def test_what_is_refused(
    engine: Engine, place: Place, values: dict[str, object], reason: str
) -> None:
    results(
        engine,
        place,
        *(held("done", 10, "sale"), held("other", 10, "sale"), held("elsewhere", 10, gate="many")),
        *(held("twice", 10, "sale"), held("twice", 10, "sale")),
    )
    result = results(engine, place, taken(**values))
    assert told(result) == [reason]
    assert values_of(engine, place, "elsewhere")["captured"] == 0
    with engine.database.transaction() as connection:
        assert not connection.execute("SELECT 1 FROM operation WHERE parent_id > 0").fetchall()


def test_expected_totals(engine: Engine, place: Place) -> None:
    rows = [held("a", 1000), held("b", 500)]
    wrong = taken(expected_sale_count=2, expected_sale_minor=1501)
    right = taken(expected_sale_count=2, expected_sale_minor=1500)
    assert told(results(engine, place, *rows, wrong, right))[2:] == ["totals_differ", "approved"]


def test_what_the_processor_declines_is_told(engine: Engine, place: Place) -> None:
    """The sandbox declines amounts that end in 50 200."""
    rows = [held("a", 1000), held("b", 60_000), taken(differences="b=50200"), taken()]
    result = results(engine, place, *rows)
    assert result["message"][2] == (
        "USD 10.00 net (sales 1: 10.00, returns 0: 0.00, voids 0: 0.00); 1 declined"
    )
    assert told(result)[2:] == ["approved", "approved"]
    result = results(engine, place, held("c", 60_000), taken(differences="c=50200"))
    assert told(result)[1] == "declined"
    assert last(result) == (
        "USD 0.00 net (sales 0: 0.00, returns 0: 0.00, voids 0: 0.00); 1 declined"
    )
    assert laws_hold(engine)


def test_children_have_a_parent(engine: Engine, place: Place) -> None:
    results(engine, place, held("a", 1000), taken())
    (key,) = find_payments(engine, list(place.merchants.values()), "a")
    made, captured = view_payment(engine, key).operations
    assert (made["kind"], made["parent_id"]) == ("authorize", None)
    assert (captured["kind"], captured["state"]) == ("capture", "approved")
    with engine.database.transaction() as connection:
        (parent,) = connection.execute(
            "SELECT kind, line FROM operation WHERE id = %s", [captured["parent_id"]]
        ).fetchall()
    assert parent == ("capture_all", 3)


def test_every_gate_of_a_processor_and_every_currency(engine: Engine, place: Place) -> None:
    result = results(
        engine,
        place,
        *(held("a", 1000), held("b", 70, gate="many"), held("c", 300, gate="many", currency="JPY")),
        taken(gate="", processor="sandbox"),
    )
    assert last(result) == (
        "JPY 300 net (sales 1: 300, returns 0: 0, voids 0: 0); "
        "USD 10.70 net (sales 2: 10.70, returns 0: 0.00, voids 0: 0.00)"
    )


def test_a_terminal_gate_sends_its_batch(engine: Engine, place: Place) -> None:
    """Several in a day: the business day goes on."""
    place = with_till(engine)
    own = {"gate": "till"}
    result = results(
        engine,
        place,
        *(held("a", 1000, **own), held("b", 500, **own), taken(**own)),
        *(row("refund", payment="a", amount_minor=250), held("c", 30, "credit", **own)),
        *(taken(**own), taken(**own), held("d", 80, **own)),
    )
    assert told(result) == [*["approved"] * 6, "nothing_open", "approved"]
    assert result["message"][2].startswith(
        "USD 15.00 net (sales 2: 15.00, returns 0: 0.00, voids 0: 0.00); gate till, 2026-11-21, "
        "settlement 1: "
    )
    assert result["message"][5].startswith(
        "USD -2.80 net (sales 0: 0.00, returns 2: 2.80, voids 0: 0.00); gate till, 2026-11-21, "
        "settlement 2: "
    )
    a, d = (values_of(engine, place, name) for name in "ad")
    assert (a["settled"], a["refund_settled"], str(d["business_day"])) == (1000, 250, "2026-11-21")
    assert laws_hold(engine)


def test_a_batch_that_is_not_taken_leaves_its_captures(engine: Engine, place: Place) -> None:
    """The sandbox takes no close of 50 400."""
    place = with_till(engine)
    rows = [held("a", 50_000, gate="till"), held("b", 400, gate="till")]
    result = results(engine, place, *rows, taken(gate="till"), taken(gate="till"))
    assert told(result)[2:] == ["declined", "gate_closing"]
    assert result["message"][2] == (
        "USD 504.00 net (sales 2: 504.00, returns 0: 0.00, voids 0: 0.00); gate till: its "
        "processor did not take the close; nothing moved"
    )
    assert values_of(engine, place, "a")["status"] == "captured"
    assert laws_hold(engine)


def test_it_comes_in_files_only(engine: Engine, place: Place) -> None:
    answer = Caller(engine, place).call({"kind": "capture_all", "gate": "sandbox"})
    assert (answer["state"], answer["reason"]) == ("rejected", "file_needed")
    assert answer["message"] == (
        "column kind is capture_all: this makes operations of its own: hand it in as a file"
    )


@pytest.mark.parametrize("policy", ["all-or-none", "stop-after=1"])
def test_policies(engine: Engine, place: Place, policy: str) -> None:
    rows = [held("a", 1000), row("capture", payment="a", amount_minor=100), taken(), held("b", 1)]
    assert told(results(engine, place, *rows, policy=policy)) == ["approved"] * 4


def test_children_are_no_lines_of_the_summary(engine: Engine, place: Place) -> None:
    results(engine, place, held("a", 1000), held("b", 500), taken())
    with engine.database.transaction() as connection:
        tallies = connection.execute(
            "SELECT kind, state, currency, sum(row_count)::int, sum(approved_minor)::int "
            "FROM tally GROUP BY 1, 2, 3 HAVING sum(row_count) <> 0 ORDER BY 1, 2"
        ).fetchall()
    assert tallies == [
        ("authorize", "approved", "USD", 2, 1500),
        ("capture_all", "approved", "USD", 1, 1500),
    ]


def cancelled_after(engine: Engine, place: Place, chunks: int) -> tuple[str, str]:
    """Cancel a batch when so many of its chunks are done; give the row's state and message."""
    text = "\n".join([",".join(COLUMNS), held("a", 1000), held("b", 500), taken(), ""])
    request = Request(file_name="x.csv")
    batch_id = batches.receiving.receive(engine, place, [text.encode()], request)
    batch = batches._accepted(engine, batch_id, place, batches.Listener())
    batch = batches.approve(engine, batch)
    work = working.Work(engine=engine, batch=batch, place=place, key=None)
    for _ in range(chunks):
        working.work_chunk(work)
    control.cancel(engine, load_batch(engine, batch_id), "test")
    with engine.database.transaction() as connection:
        states = connection.execute(
            "SELECT u.state, u.message FROM outcome AS u JOIN operation AS o ON u.id = o.id "
            "WHERE o.kind = 'capture_all'"
        ).fetchall()
        left = connection.execute(
            "SELECT count(*) FROM operation AS o LEFT JOIN outcome AS u ON u.id = o.id "
            "WHERE u.id IS NULL"
        ).fetchall()
    assert left == [(0,)]
    assert laws_hold(engine)
    return states[0]


@pytest.mark.parametrize(
    ("chunks", "state", "message"),
    [
        (2, "cancelled", None),
        (3, "cancelled", None),
        (
            4,
            "approved",
            "USD 10.00 net (sales 1: 10.00, returns 0: 0.00, voids 0: 0.00); 1 cancelled",
        ),
        (5, "approved", "USD 15.00 net (sales 2: 15.00, returns 0: 0.00, voids 0: 0.00)"),
    ],
)
def test_what_was_captured_before_a_cancel_stays(
    place: Place, with_settings: With, chunks: int, state: str, message: str | None
) -> None:
    assert cancelled_after(with_settings(chunk_rows=1), place, chunks) == (state, message)
