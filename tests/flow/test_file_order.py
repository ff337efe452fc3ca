"""File order: rows of one file that name the same payment take effect line by line."""

import io
from collections.abc import Callable
from itertools import product

import polars as pl
import pytest

from paybatch.flow import batch as batches
from paybatch.flow import rounds
from paybatch.flow.claim import Book, claim_round
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from paybatch.flow.receive import Request
from paybatch.flow.report import report
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
        "reference_unknown",
        "approved",
        "approved",
        "approved",
        "approved",
        "approved",
        "reference_ambiguous",
        "reference_unknown",
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
        authorize("bad"),  # the first one was never accepted, so this is the only one
        act("capture", "bad"),
    ]
    result = run(with_settings(chunk_rows=chunk_rows), place, rows)
    assert outcomes(result) == [
        "declined",
        "status_not_allowed",
        "number_check_digit",
        "reference_unknown",
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


class Rounds:
    """Counts the rounds of claim, and the rows that they look at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(rounds, "claim_round", self.claim)

    def claim(self, book: Book, rows: pl.DataFrame) -> rounds.Round:
        self.count += 1
        return claim_round(book, rows)


# What happens to many rows on one payment: all allowed, most too much, all declined.
CROWDS = {"allowed": (10**9, "4111111111111111"), "too much": (5_000, "4111111111111111")}


@pytest.mark.parametrize(("crowd", "few"), list(product(CROWDS, [2_000])))
def test_many_rows_on_one_payment_stay_linear(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch, crowd: str, few: int
) -> None:
    amount, card = CROWDS[crowd]
    taken = {}
    for many in (few, few * 10):
        counted = Rounds(monkeypatch)
        rows = [f"sale,{amount},USD,{card},12/39,{crowd} {many},,"]
        rows += [act("refund", f"{crowd} {many}", 1 + n % 7) for n in range(many)]
        result = run(engine, place, rows)
        taken[many] = counted.count
        approved = result.filter(outcome="approved", kind="refund")["amount_minor"].cast(pl.Int64)
        assert approved.sum() == min(amount, sum(1 + n % 7 for n in range(many)))
    assert taken[few * 10] <= taken[few] * 10 * 4
    assert taken[few * 10] < 100
