"""File order: rows of one file that name the same payment take effect line by line."""

import io
import time
from collections.abc import Callable

import polars as pl
import pytest

from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place
from paybatch.flow.report import report
from paybatch.flow.working import rounds
from paybatch.flow.working.claim import Book, Round, claim_round
from paybatch.store import ledger

HEADER = "kind,amount_minor,currency,card_number,card_expiry,reference,payment,final\n"
CHUNKS = [1, 7, 50_000]
Reengine = Callable[..., Engine]


def run(engine: Engine, place: Place, rows: list[str]) -> pl.DataFrame:
    """Run a native file; give its result as a table of text."""
    source = [(HEADER + "\n".join(rows) + "\n").encode()]
    done = batches.run(engine, place, source, Request(file_name="order.csv"))
    assert done.state == "completed"
    target = io.BytesIO()
    report(engine, done, place, target)
    with engine.database.transaction() as connection:
        assert not ledger.broken_balances(connection) + ledger.broken_laws(connection)
    return pl.read_csv(target.getvalue(), infer_schema=False)


def authorize(reference: str, amount: int = 100, card: str = "4111111111111111") -> str:
    return f"authorize,{amount},USD,{card},12/39,{reference},,"


def act(kind: str, payment: str, amount: int | None = None, *, final: bool = False) -> str:
    return f"{kind},{amount or ''},,,,,{payment},{'true' if final else ''}"


def outcomes(result: pl.DataFrame) -> list[str]:
    """Give the reason of each row, or its outcome where it has none."""
    return result.select(pl.coalesce("reason", "outcome")).to_series().to_list()


@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_a_chain_over_chunks_takes_effect_in_line_order(
    place: Place, with_settings: Reengine, chunk_rows: int
) -> None:
    names = [f"r{n}" for n in range(5)]
    rows = [authorize(name) for name in names]
    rows += [act("capture", name, 60) for name in names]
    rows += [act("capture", name, 60) for name in names]  # only 40 are left
    rows += [act("capture", name, 10, final=True) for name in names]
    rows += [act("capture", name, 1) for name in names]
    rows += [act("refund", name, 70) for name in names]
    rows += [act("void", name) for name in names]
    result = run(with_settings(chunk_rows=chunk_rows), place, rows)
    each = ["approved", "approved", "amount_above_left", "approved", "status_not_allowed"]
    each += ["approved", "status_not_allowed"]
    assert outcomes(result) == [one for one in each for _ in names]


@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_interleaved_payments_do_not_mix(
    place: Place, with_settings: Reengine, chunk_rows: int
) -> None:
    rows, wanted = [], []
    for number in range(9):
        rows.append(authorize(f"a{number}", 100 + number))
        wanted.append("approved")
        if number:
            rows += [act("void", f"a{number - 1}", 50), act("capture", f"a{number - 1}")]
            rows.append(act("refund", f"a{number // 2}", 1))
            behind = number // 2 < number - 1 or number // 2 == number - 1
            wanted += ["approved", "approved", "approved" if behind else "status_not_allowed"]
    result = run(with_settings(chunk_rows=chunk_rows), place, rows)
    assert outcomes(result) == wanted


@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_a_reference_means_earlier_lines_only(
    place: Place, with_settings: Reengine, chunk_rows: int
) -> None:
    rows = [
        act("capture", "later"),
        authorize("later"),
        act("capture", "later"),
        authorize("twice"),
        act("capture", "twice", 10),  # so far there is one
        authorize("twice"),
        act("capture", "twice", 10),
        act("capture", "never"),
    ]
    result = run(with_settings(chunk_rows=chunk_rows), place, rows)
    assert outcomes(result) == [
        "payment_unknown",
        "approved",
        "approved",
        "approved",
        "approved",
        "approved",
        "reference_ambiguous",
        "payment_unknown",
    ]


@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_followers_of_a_payment_that_was_not_made(
    place: Place, with_settings: Reengine, chunk_rows: int
) -> None:
    rows = [
        authorize("declined", card="4000000000000002"),
        act("capture", "declined"),
        authorize("bad", card="4111111111111112"),
        act("capture", "bad"),
        authorize("good", 50_200 + 1),
        act("capture", "good"),
        act("refund", "declined"),
        authorize("bad"),  # the first one was put right
        act("capture", "bad"),
    ]
    result = run(with_settings(chunk_rows=chunk_rows), place, rows)
    assert outcomes(result) == [
        "declined",
        "status_not_allowed",
        "number_check_digit",
        "reference_rejected",
        "declined",
        "status_not_allowed",
        "status_not_allowed",
        "approved",
        "approved",
    ]


@pytest.mark.parametrize("chunk_rows", CHUNKS)
def test_names_of_one_payment_are_one_payment(
    place: Place, with_settings: Reengine, chunk_rows: int
) -> None:
    engine = with_settings(chunk_rows=chunk_rows)
    made = run(engine, place, [authorize("mine"), authorize("declined", card="4000000000000002")])
    own = str(made["result_payment"][0])
    rows = [
        act("capture", own, 30),
        act("capture", "mine", 30),
        act("capture", own, 50),
        act("capture", "mine", 40),
        act("void", own),
    ]
    result = run(engine, place, rows)
    wanted = ["approved", "approved", "amount_above_left", "approved", "approved"]
    assert outcomes(result) == wanted
    assert set(result["result_payment"]) == {own}


def test_a_reference_of_an_earlier_file_that_was_declined_does_not_count(
    engine: Engine, place: Place
) -> None:
    run(engine, place, [authorize("again", card="4000000000000002"), authorize("many")])
    run(engine, place, [authorize("again"), authorize("many", 101)])
    result = run(engine, place, [act("capture", "again"), act("capture", "many")])
    assert outcomes(result) == ["approved", "reference_ambiguous"]


def test_the_reason_is_that_of_the_row_s_own_line(engine: Engine, place: Place) -> None:
    rows = [
        authorize("one"),
        act("capture", "one", 101),
        act("capture", "one", 100),
        act("capture", "one", 101),  # by then nothing may be captured at all
        authorize("two", 50_200 + 100_000, "4000000000000010"),
    ]
    result = run(engine, place, rows)
    wanted = ["approved", "amount_above_left", "approved", "status_not_allowed", "declined"]
    assert outcomes(result) == wanted


def test_an_answer_decides_over_the_rows_behind_it(engine: Engine, place: Place) -> None:
    rows = [
        authorize("one", 100_000),
        act("capture", "one", 50_200),  # the processor declines
        act("capture", "one", 60_000),
        act("capture", "one", 50_000),
        act("capture", "one"),
        authorize("half", 100, "4000000000000051"),
        act("capture", "half", 60),
        act("capture", "half", 50),
    ]
    wanted = ["approved", "declined", "approved", "amount_above_left", "approved"]
    wanted += ["approved", "amount_above_left", "approved"]
    assert outcomes(run(engine, place, rows)) == wanted


def test_a_row_behind_one_that_waits_waits_too(engine: Engine, place: Place) -> None:
    rows = [
        authorize("one", 100_000),
        act("capture", "one", 50_200),  # the processor declines, so all is left for the next row
        act("capture", "one", 100_000),
        act("capture", "one", 100_001),
    ]
    wanted = ["approved", "declined", "approved", "status_not_allowed"]
    assert outcomes(run(engine, place, rows)) == wanted


class Rounds:
    """Counts the rounds of claim, and the rows that they look at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(rounds, "claim_round", self.claim)

    def claim(self, book: Book, rows: pl.DataFrame) -> Round:
        self.count += 1
        return claim_round(book, rows)


# A payment and many refunds of it: all are allowed, or most are too much.
@pytest.mark.parametrize("amount", [10**9, 5_000])
def test_many_rows_on_one_payment_take_few_rounds(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, amount: int
) -> None:
    few, taken, seconds = 2_000, {}, {}
    for many in (few, few * 10):
        counted, began = Rounds(monkeypatch), time.monotonic()
        rows = [f"sale,{amount},USD,4111111111111111,12/39,sale-{many},,"]
        rows += [act("refund", f"sale-{many}", 1 + n % 7) for n in range(many)]
        result = run(engine, place, rows)
        taken[many], seconds[many] = counted.count, time.monotonic() - began
        approved = result.filter(outcome="approved", kind="refund")["amount_minor"].cast(pl.Int64)
        assert approved.sum() == min(amount, sum(1 + n % 7 for n in range(many)))
    assert taken[few * 10] < 50
    assert seconds[few * 10] < seconds[few] * 10 * 4


def test_many_declined_rows_on_one_payment_stay_linear(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more go out at once than fit together; what a round costs does not grow with the rest."""
    seconds = {}
    for many in (200, 2_000):
        counted, began = Rounds(monkeypatch), time.monotonic()
        rows = [f"sale,10,USD,4000000000000010,12/39,sale-{many},,"]
        rows += [act("refund", f"sale-{many}", 1) for _ in range(many)]
        result = run(engine, place, rows)
        seconds[many] = time.monotonic() - began
        assert result["outcome"].to_list() == ["approved"] + ["declined"] * many
        assert counted.count <= many / 10 + 5
    assert seconds[2_000] < seconds[200] * 10 * 4


def test_many_payments_with_several_rows_stay_linear(engine: Engine, place: Place) -> None:
    seconds = {}
    for many in (400, 4_000):
        began, names = time.monotonic(), [f"p{n}-{many}" for n in range(many)]
        rows = [authorize(name) for name in names]
        rows += [act("capture", name, 60) for name in names]
        rows += [act("refund", name, 60 + n % 2) for n, name in enumerate(names)]
        result = run(engine, place, rows)
        seconds[many] = time.monotonic() - began
        refunds = ["approved", "amount_above_left"] * (many // 2)
        assert outcomes(result) == ["approved"] * 2 * many + refunds
    assert seconds[4_000] < seconds[400] * 10 * 4
