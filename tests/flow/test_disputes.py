"""Disputes: each has an id of its own, and a row means one that its payment has."""

import polars as pl
import pytest

from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place
from tests_support import laws_hold, run

HEADER = (
    "kind,reference,payment,amount_minor,currency,card_number,card_expiry,dispute,arn,stage,"
    "alert_id,alert_outcome\n"
)


def row(kind: str, **cells: str) -> str:
    """Write a row."""
    names = HEADER.strip().split(",")
    return ",".join({**dict.fromkeys(names, ""), "kind": kind, **cells}.values())


def sale(reference: str = "p") -> str:
    """Write a sale of 1000."""
    card = {"card_number": "4111111111111111", "card_expiry": "12/39"}
    return row("sale", reference=reference, amount_minor="1000", currency="USD", **card)


def taken(amount: str = "", **cells: str) -> str:
    """Write a chargeback."""
    return row("chargeback", payment="p", amount_minor=amount, **cells)


def won(amount: str = "", **cells: str) -> str:
    """Write a chargeback reversal."""
    return row("chargeback_reversal", payment="p", amount_minor=amount, **cells)


def news(stage: str = "inquiry", **cells: str) -> str:
    """Write news of a dispute."""
    return row("chargeback_info", payment="p", stage=stage, **cells)


def told(engine: Engine, place: Place, *rows: str) -> list[str]:
    """Run rows as a file, and give the reason, or else the message, of each."""
    result = run(engine, place, HEADER + "".join(f"{each}\n" for each in rows), again=True)
    cells = result.select("reason", "message").rows()
    return [reason or message or "" for reason, message in cells]


ONE = "dispute 1"
CASES = [
    ([taken("400"), won("400")], [ONE, ONE]),
    ([taken("400", arn="A1"), won("400", arn="A1")], ["dispute A1", "dispute A1"]),
    ([taken("400", arn="A1"), won("400", arn="NOPE")], ["dispute A1", "dispute_unknown"]),
    ([taken("400", arn="A1"), won("400", dispute="NOPE")], ["dispute A1", "dispute_unknown"]),
    ([taken("400", dispute="D", arn="A1"), won(dispute="D", arn="A2")], "D dispute_differs"),
    ([taken("400", dispute="D", arn="A1"), won(arn="A1"), taken("1", dispute="A1")], "D D D"),
    ([news(), news("lost"), taken("400", arn="A1"), won()], [ONE] * 4),
    ([news(), taken("400", arn="A1"), taken("1", arn="A2")], [ONE, ONE, "dispute A2"]),
    ([taken("400", arn="A1"), taken("100", arn="A2"), won()], "A1 A2 dispute_ambiguous"),
    ([taken("400", arn="A1"), taken("1", arn="A2"), taken("1")], "A1 A2 dispute_ambiguous"),
    ([taken("400", arn="A"), taken("1", arn="B"), won(arn="A"), won()], "A B A B"),
    ([taken("400", arn="A"), taken("1", arn="B"), won("2", arn="B")], "A B amount_above_left"),
    ([news("inquiry", dispute="D"), row("retrieval", payment="p"), taken(), won()], "D D D D"),
]


@pytest.mark.parametrize(("rows", "said"), CASES)
@pytest.mark.parametrize("apart", [False, True])
def test_which_dispute_a_row_means(
    engine: Engine, place: Place, rows: list[str], said: list[str] | str, apart: bool
) -> None:
    if isinstance(said, str):
        words = said.split()
        said = [each if "_" in each else f"dispute {each}" for each in words]
    if apart:
        told(engine, place, sale())
        found = [each for one in rows for each in told(engine, place, one)]
    else:
        found = told(engine, place, sale(), *rows)[1:]
    assert found == said
    assert laws_hold(engine)


def test_a_reversal_without_amount_is_of_its_own_dispute(engine: Engine, place: Place) -> None:
    told(engine, place, sale(), taken("400", arn="A"), taken("100", arn="B"), won(arn="B"))
    (key,) = find_payments(engine, [place.merchant_id], "p")
    values = view_payment(engine, key).values
    assert (values["charged_back"], values["represented"]) == (500, 100)
    caller = Caller(engine, place)
    answer = caller.call({"kind": "chargeback_reversal", "payment": "p", "arn": "NOPE"})
    assert answer["reason"] == "dispute_unknown"
    assert "column dispute is NOPE: the payment has no such dispute" in answer["message"]
    answer = caller.call({"kind": "chargeback_reversal", "payment": "p", "dispute": "A"})
    assert (answer["message"], answer["approved_minor"]) == ("dispute A", 400)
    assert laws_hold(engine)


def alert(outcome: str, payment: str = "p", name: str = "EA-7") -> str:
    """Write an answer to an alert."""
    return row("alert_update", payment=payment, alert_id=name, alert_outcome=outcome)


def sent(engine: Engine) -> int:
    """Count what the processor was told of alerts."""
    with engine.database.transaction() as connection:
        found = connection.execute(
            "SELECT count(*) FROM outcome AS u JOIN operation AS o USING (merchant_id, id)"
            " WHERE o.kind = 'alert_update' AND u.processor_code IS NOT NULL"
        ).fetchone()
    assert found is not None
    return int(found[0])


@pytest.mark.parametrize("apart", [False, True])
def test_an_alert_is_answered_once(engine: Engine, place: Place, apart: bool) -> None:
    rows = [alert("stopped"), alert("stopped"), alert("stopped", "q"), alert("missed")]
    rows += [alert("stopped", name="EA-8"), alert("missed")]
    if apart:
        told(engine, place, sale(), sale("q"))
        found = [each for one in rows for each in told(engine, place, one)]
    else:
        found = told(engine, place, sale(), sale("q"), *rows)[2:]
    again = "alert_answered"
    assert found == ["", again, again, "", "", again]
    assert sent(engine) == 3
    values = {"kind": "alert_update", "payment": "p", "alert_id": "EA-7", "alert_outcome": "missed"}
    answer = Caller(engine, place).call(values)
    assert (answer["state"], answer["reason"]) == ("rejected", again)
    assert answer["message"].startswith("column alert_id is EA-7: the alert service was told this")
    assert sent(engine) == 3


def test_many_disputes_at_once(engine: Engine, place: Place) -> None:
    names = [f"s{n}" for n in range(150)]
    rows = [*(sale(each) for each in names), *(sale(f"x{n}") for n in range(3))]
    rows += [row("chargeback", payment=each, amount_minor="10") for each in names for _ in range(2)]
    result = run(engine, place, HEADER + "".join(f"{each}\n" for each in rows))
    assert set(result["outcome"]) == {"approved"}
    assert result.filter(pl.col("kind") == "chargeback")["message"].unique().to_list() == [ONE]
    assert laws_hold(engine)
