"""Secrets: no number and no CVV stands in clear in the database, the files or the logs."""

import io
import json
import logging
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from paybatch.flow import batch as batches
from paybatch.flow import control, vault
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request, blob_name, receive
from paybatch.flow.place import Place, find_place
from paybatch.flow.report import report
from paybatch.flow.work import work_chunk
from paybatch.flow.working.rounds import Work
from paybatch.store import directory
from paybatch.store import numbers as stored
from paybatch.store.batches import Batch

COLUMNS = (
    *("kind", "merchant", "gate", "amount_minor", "amount", "currency", "card_number"),
    *("card_expiry", "card_cvv", "card_reference", "account_number", "routing_number"),
    *("account_type", "sec_code", "customer", "reference", "idempotency_key", "description"),
    *("email", "po_number", "billing_first_name", "billing_postal_code", "payment", "final"),
)
CARD = {"kind": "sale", "amount_minor": "100", "currency": "USD", "card_expiry": "12/39"}
BANK = {
    "kind": "sale",
    "amount_minor": "100",
    "currency": "USD",
    "routing_number": "021000021",
    "account_type": "checking",
    "sec_code": "WEB",
}
UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# A typed account number looks like any other number: only in the columns that are made for
# numbers, and in broken records, can it be told and hidden.
NUMBER_COLUMNS = ("card_number", "account_number", "card_cvv", "routing_number")


class Numbers:
    """Makes numbers that occur nowhere else, and remembers them."""

    def __init__(self) -> None:
        self._random = random.Random(20)
        self.given: list[str] = []

    def card(self, length: int = 16) -> str:
        body = "4" + "".join(self._random.choices("0123456789", k=length - 2))
        doubled = [int(c) * (2 - i % 2) for i, c in enumerate(reversed(body))]
        return self._note(body + str(-sum(n // 10 + n % 10 for n in doubled) % 10))

    def account(self) -> str:
        return self._note("9" + "".join(self._random.choices("0123456789", k=10)))

    def cvv(self) -> str:
        while (value := str(self._random.randrange(3100, 9999))) in self.given:
            pass
        return self._note(value)

    def _note(self, value: str) -> str:
        self.given.append(value)
        return value


def line(**cells: str) -> str:
    return ",".join(cells.get(name, "") for name in COLUMNS)


def file_of(*lines: str) -> list[bytes]:
    return ["\n".join([",".join(COLUMNS), *lines, ""]).encode()]


def rows_with(numbers: Numbers) -> Iterator[str]:
    """Give rows that carry numbers and CVVs where they belong, and everywhere else."""
    for _ in range(6):
        yield line(**CARD, card_number=numbers.card(), card_cvv=numbers.cvv())
        yield line(**BANK, account_number=numbers.account())
    yield line(**CARD | {"amount_minor": "0"}, card_number=numbers.card(), card_cvv=numbers.cvv())
    yield line(**BANK | {"currency": "XXX"}, account_number=numbers.account())
    yield line(**CARD, card_number=numbers.card()[:-1] + "x", card_cvv=numbers.cvv())
    yield line(**CARD, card_number=numbers.card(19), card_cvv=numbers.cvv() + "12345")
    for name in COLUMNS:
        good = CARD | {"card_number": numbers.card(), "card_cvv": numbers.cvv()}
        yield line(**good | {name: numbers.card()})
        yield line(**BANK | {"account_number": numbers.account(), name: numbers.card()})
        spaced = numbers.card()
        numbers.given.append(" ".join(spaced[i : i + 4] for i in range(0, 16, 4)))
        yield line(**good | {name: numbers.given[-1]})
    for name in NUMBER_COLUMNS:
        yield line(**CARD | {"card_number": numbers.card(), name: numbers.account()})
        yield line(**BANK | {name: numbers.account()})
        yield line(**BANK | {"account_number": numbers.account(), name: numbers.cvv()})
    yield from broken_records(numbers)


def broken_records(numbers: Numbers) -> Iterator[str]:
    """Give records that cannot be read, with numbers in them."""

    def whole() -> str:
        return line(**CARD, card_number=numbers.card(), card_cvv=numbers.cvv())

    yield whole() + ",," + numbers.card()
    yield "sale," + whole()
    yield whole()[: -len(COLUMNS)]
    yield line(**BANK, account_number=numbers.account()) + ",more"
    yield '"' + whole()
    yield whole() + '"'
    yield f"{numbers.card()},{numbers.cvv()}"
    yield f"sale;{numbers.card()};12/39;{numbers.cvv()};{numbers.account()}"


def clear_text(engine: Engine) -> Iterator[tuple[str, str]]:
    """Give every table and every file of the home as text, with its name."""
    with engine.database.transaction() as connection:
        tables = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE c.relkind = 'r' AND n.nspname = 'public'"
        ).fetchall()
        for (table,) in tables:
            with connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
                yield f"table {table}", b"".join(bytes(p) for p in copy).decode()
    for path in Path(engine.settings.home).rglob("*"):
        if path.is_file():
            yield f"file {path.name}", path.read_bytes().decode("latin-1")


def found_in(text: str, numbers: list[str]) -> set[str]:
    """Find the numbers that stand in a text as numbers.

    Short ones not within a longer word or a UUID, behind a mask (the last four digits of another
    number) or behind a point (a fraction of a second): there they stand by chance.
    """
    words = set(re.findall(r"(?<![0-9A-Za-z*.])[0-9]+(?![0-9A-Za-z])", UUID.sub("", text)))
    short = {each for each in numbers if each in words}
    return short | {each for each in numbers if len(each) > 8 and each in text}


def result_of(engine: Engine, place: Place, batch: Batch) -> str:
    target = io.BytesIO()
    report(engine, batch, place, target)
    return target.getvalue().decode()


@pytest.mark.parametrize("policy", ["valid-rows", "all-or-none"])
def test_no_number_stands_in_clear_anywhere(
    engine: Engine,
    place: Place,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    policy: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    numbers = Numbers()
    small = replace(engine, settings=engine.settings.model_copy(update={"chunk_rows": 9}))
    request = Request(file_name=f"order of {numbers.card()}.csv", policy=policy)
    done = batches.run(small, place, file_of(*rows_with(numbers)), request)
    assert done.state == ("completed" if policy == "valid-rows" else "refused")
    assert len(numbers.given) > 200
    places = [*clear_text(engine), ("result", result_of(engine, place, done))]
    places += [("log", caplog.text), ("output", "\n".join(capfd.readouterr()))]
    found = {name: found_in(text, numbers.given) for name, text in places}
    assert {name: each for name, each in found.items() if each} == {}
    assert nothing_is_kept(engine, done)


def nothing_is_kept(engine: Engine, batch: Batch) -> bool:
    """Tell whether the secrets, the data key and the upload of a batch are gone."""
    with engine.database.transaction() as connection:
        secrets = connection.execute("SELECT count(*) FROM secret_block").fetchone()
        key = connection.execute(
            "SELECT wrapped_key IS NULL FROM batch WHERE id = %s", [batch.id]
        ).fetchone()
    return (secrets, key, engine.blobs.exists(f"upload/{batch.id}")) == ((0,), (True,), False)


# A CVV of 200 is answered N, 301 S, any other M; without one there is no answer.
ANSWERS = {"200": "N", "301": "S", "123": "M", "": None}
VISA = {**CARD, "card_number": "4111111111111111"}


def cvv_rows() -> list[str]:
    rows = [line(**VISA, card_cvv=cvv) for cvv in ANSWERS]
    made = VISA | {"kind": "authorize"}
    rows += [line(**made, card_cvv=cvv, reference=f"r{cvv}") for cvv in ANSWERS]
    rows += [line(kind="capture", payment=f"r{cvv}") for cvv in ANSWERS if cvv]
    return rows


def accepted(engine: Engine, place: Place, rows: list[str]) -> Batch:
    """Take a file as far as it is accepted, and no further."""
    batch_id = receive(engine, place, file_of(*rows), Request(file_name="cvv.csv"))
    return batches._accepted(engine, batch_id, place, batches.Listener())


def answers(engine: Engine, batch: Batch) -> list[str | None]:
    with engine.database.transaction() as connection:
        rows = connection.execute(
            "SELECT u.cvv_result FROM outcome AS u JOIN operation AS o USING (merchant_id, id) "
            "WHERE o.batch_id = %s ORDER BY o.line",
            [batch.id],
        ).fetchall()
    return [row[0] for row in rows]


def fresh(engine: Engine) -> Engine:
    """Give the engine as another process has it: nothing is remembered."""
    return replace(engine, known_numbers=set(), accounts={})


@pytest.mark.parametrize("chunk_rows", [2, 50_000])
def test_a_batch_killed_before_work_still_sends_its_cvvs(
    engine: Engine, place: Place, chunk_rows: int
) -> None:
    settings = engine.settings.model_copy(update={"chunk_rows": chunk_rows})
    waiting = accepted(replace(engine, settings=settings), place, cvv_rows())
    with engine.database.transaction() as connection:
        kept = connection.execute("SELECT count(*) FROM secret_block").fetchone()
    assert kept != (0,)
    done = batches.go_on(fresh(engine), waiting.id)
    assert done.state == "completed"
    assert answers(engine, done) == [*ANSWERS.values(), *ANSWERS.values(), None, None, None]
    assert nothing_is_kept(engine, done)


def waiting_cvvs(engine: Engine, batch: Batch) -> dict[int, str]:
    """Open the CVVs that the database still has, by their lines."""
    assert batch.wrapped_key is not None
    key = engine.keys.unwrap(batch.wrapped_key, blob_name(batch.id))
    with engine.database.transaction() as connection:
        blocks = stored.secrets_of_lines(connection, batch.id, (0, 1_000))
    found: dict[int, str] = {}
    for chunk, sealed, _ in blocks:
        found |= json.loads(key.open(sealed, vault.secret_context(batch.id, chunk)))
    return {int(line): cvv for line, cvv in found.items()}


def test_a_cvv_goes_with_its_own_row(engine: Engine, place: Place) -> None:
    """Not with the last row of its batch: the blocks of those that wait are written anew."""
    given = [*ANSWERS, *ANSWERS]  # sales in one chunk, authorizations with captures in another
    wanted = {line: cvv for line, cvv in enumerate(given, start=2) if cvv}
    waiting = accepted(engine, place, cvv_rows())
    assert waiting_cvvs(engine, waiting) == wanted
    batch = batches.approve(engine, waiting)
    assert batch.wrapped_key is not None
    key = engine.keys.unwrap(batch.wrapped_key, blob_name(batch.id))
    work = Work(engine=engine, batch=batch, place=place, key=key)
    first = work_chunk(work)
    with engine.database.transaction() as connection:
        done = connection.execute("SELECT line FROM outcome JOIN operation USING (id)").fetchall()
    assert first == len(done)
    assert 0 < first < len(cvv_rows())
    left = {line: cvv for line, cvv in wanted.items() if (line,) not in done}
    assert waiting_cvvs(engine, batch) == left
    assert 0 < len(left) < len(wanted)
    work_chunk(work)
    assert waiting_cvvs(engine, batch) == {}
    done_batch = batches.go_on(engine, batch.id)
    assert answers(engine, done_batch) == [*ANSWERS.values(), *ANSWERS.values(), None, None, None]
    assert nothing_is_kept(engine, done_batch)


@pytest.mark.parametrize(("hours", "is_sent"), [(1.9, True), (2.1, False)])
def test_an_old_cvv_is_not_sent(
    engine: Engine, place: Place, hours: float, *, is_sent: bool
) -> None:
    waiting = accepted(engine, place, cvv_rows())
    now = engine.clock() + timedelta(hours=hours)
    settings = engine.settings.model_copy(update={"secret_hours": 2.0})
    later = replace(fresh(engine), settings=settings, clock=lambda: now)
    done = batches.go_on(later, waiting.id)
    sent = [*ANSWERS.values(), *ANSWERS.values(), None, None, None]
    assert answers(engine, done) == (sent if is_sent else [None] * len(sent))
    assert nothing_is_kept(engine, done)


def test_a_row_whose_cvv_is_gone_is_refused_where_the_gate_wants_one(engine: Engine) -> None:
    with engine.database.transaction() as connection:
        gate = {"merchant": "demo", "name": "careful", "connector": "sandbox", "mode": "test"}
        times = {
            "zone": "UTC",
            "cut_off": "00:00",
            "settings": "{}",
            "capabilities": '{"cvv_required": true}',
        }
        directory.add_gate(connection, {**gate, **times, "currencies": ["USD"]})
    place = find_place(engine, "local", gate="careful")
    made = VISA | {"kind": "authorize", "card_cvv": "123", "reference": "one"}
    rows = [
        line(**VISA, card_cvv="123"),
        line(**made),
        line(kind="capture", payment="one"),
        line(**VISA | {"gate": "sandbox"}, card_cvv="123"),
    ]
    waiting = accepted(engine, place, rows)
    now = engine.clock() + timedelta(hours=25)
    done = batches.go_on(replace(fresh(engine), clock=lambda: now), waiting.id)
    result = pl.read_csv(result_of(engine, place, done).encode(), infer_schema=False)
    assert result["reason"].to_list() == ["cvv_gone", "cvv_gone", "payment_unknown", None]
    assert result["message"][0].startswith("column card_cvv: ")
    assert nothing_is_kept(engine, done)


def test_a_cancelled_batch_keeps_no_secret(engine: Engine, place: Place) -> None:
    waiting = accepted(engine, place, cvv_rows())
    done = control.cancel(engine, waiting, "test")
    assert done.state == "cancelled"
    assert nothing_is_kept(engine, done)
