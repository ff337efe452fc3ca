"""Bad rows: each is refused with its reason, column, masked value and what is allowed.

Every case stands alone between two good rows, which must not notice it.
"""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl
import psycopg
import pytest

from paybatch.flow import batch as batches
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request
from paybatch.flow.place import Place, find_place
from paybatch.flow.report import report
from paybatch.store import operations
from paybatch.store.batches import Batch
from paybatch.store.ledger import broken_balances, broken_laws

Row = Mapping[str, str]
Error = tuple[str, str | None, str | None]

CARD, WRONG_CARD = "4111111111111111", "4111111111111112"
LONG = "x" * 1_000_000
# Not within a word or a fraction: in hashes, ids and times three digits stand by chance.
NUMBER = re.compile("(?<![0-9A-Za-z.])[0-9]+(?![0-9A-Za-z])")
NATIVE = {"kind": "sale", "amount_minor": "100", "card_number": CARD, "card_expiry": "12/39"}
BARE = {"card_number": "", "card_expiry": ""}
ACH = {**BARE, "account_number": "1234567890", "routing_number": "021000021"}
ACH |= {"account_type": "checking", "sec_code": "WEB"}
MANY = {"gate": "many", "amount_minor": ""}
FILEBATCH = {"transaction_type": "sale", "amount": "100"}
FILEBATCH |= {"cc_number": CARD, "cc_expiration": "12/39"}
OTHER_ACH = {"cc_number": "", "cc_expiration": "", "ach_account_number": "1234567890"}
OTHER_ACH |= {"ach_account_type": "checking", "ach_sec_code": "WEB"}


@dataclass(frozen=True)
class Case:
    """What is changed in a good row, and everything that is said of it, in order."""

    name: str
    changes: Row
    errors: tuple[Error, ...]


def case(name: str, changes: Row, *errors: Error) -> Case:
    return Case(name, changes, errors)


def amount(text: str, reason: str, shown: str | None = None) -> Case:
    errors = [(reason, "amount_minor", shown or text)]
    return case(f"amount {text}", {"amount_minor": text}, *errors)


def decimal(currency: str, text: str, reason: str = "amount_not_decimal") -> Case:
    changes = {**MANY, "currency": currency, "amount": text}
    return case(f"{text} {currency}", changes, (reason, "amount", text))


NATIVE_CASES = [
    # amounts
    amount("1.00", "amount_malformed"),
    amount("1,00", "amount_malformed"),
    amount("1e3", "amount_malformed"),
    amount("1E+05", "amount_malformed"),
    amount("-5", "amount_malformed"),
    amount("+5", "amount_malformed"),
    amount(" 5", "amount_malformed"),
    amount("\uff10\uff15", "amount_malformed"),
    amount("0", "amount_zero"),
    amount("12345678901234567890", "amount_too_large", "****************7890"),
    amount("9" * 19, "amount_too_large", "*" * 15 + "9999"),
    case("no amount", {"amount_minor": ""}, ("amount_missing", "amount_minor", None)),
    decimal("USD", "1.5"),
    decimal("USD", "1.500"),
    decimal("USD", "15"),
    decimal("USD", "1,00"),
    decimal("USD", "1.000,00"),
    decimal("USD", "-5.00"),
    decimal("USD", ".50"),
    decimal("USD", "1.2.3"),
    decimal("USD", "0.00", "amount_zero"),
    decimal("JPY", "100.00"),
    decimal("JPY", "-5"),
    decimal("KWD", "1.00"),
    case(
        "20 digits and a point",
        {**MANY, "currency": "USD", "amount": "12345678901234567890.00"},
        ("amount_too_large", "amount", "****************7890.00"),
    ),
    case(
        "both amounts",
        {"amount_minor": "100", "amount": "1.00"},
        ("amount_twice", "amount_minor", "100"),
    ),
    case(
        "base amount that runs over",
        {"amount_minor": "", "base_amount_minor": "9" * 12, "tax_minor": "9" * 12},
        ("amount_too_large", "base_amount_minor", "********9999"),
    ),
    # cards
    case(
        "Luhn",
        {"card_number": WRONG_CARD},
        ("number_check_digit", "card_number", "*" * 12 + "1112"),
    ),
    case(
        "blanks",
        {"card_number": "4111 1111 1111 1111"},
        ("number_malformed", "card_number", "**** **** **** 1111"),
    ),
    case("4.11E+15", {"card_number": "4.11E+15"}, ("value_spreadsheet", "card_number", "*.**E+**")),
    case("letters", {"card_number": "no 999"}, ("number_malformed", "card_number", "no ***")),
    case(
        "number and CVV",
        {"card_number": f"{CARD} 987"},
        ("number_malformed", "card_number", "**************** ***"),
    ),
    case("13/25", {"card_expiry": "13/25"}, ("expiry_malformed", "card_expiry", "13/25")),
    case("2025-12", {"card_expiry": "2025-12"}, ("expiry_malformed", "card_expiry", "2025-12")),
    case("past", {"card_expiry": "10/26"}, ("expiry_past", "card_expiry", "10/26")),
    case("no expiry", {"card_expiry": ""}, ("means_incomplete", "card_expiry", None)),
    case("CVV of two", {"card_cvv": "98"}, ("cvv_malformed", "card_cvv", "***")),
    case(
        "verify with blanks",
        {"kind": "verify", "amount_minor": "", "card_number": "4111 1111 1111 1111"},
        ("number_malformed", "card_number", "**** **** **** 1111"),
    ),
    # bank accounts, and which means
    case(
        "routing",
        {**ACH, "routing_number": "021000022"},
        ("routing_check_digit", "routing_number", "021000022"),
    ),
    case(
        "routing of eight",
        {**ACH, "routing_number": "21000021"},
        ("routing_malformed", "routing_number", "********"),
    ),
    case(
        "account",
        {**ACH, "account_number": "12-34567890"},
        ("account_malformed", "account_number", "**-********"),
    ),
    case(
        "card and account",
        {**ACH, "card_number": CARD, "card_expiry": "12/39"},
        ("means_several", "card_number", "*" * 12 + "1111"),
    ),
    case("neither", BARE, ("means_missing", "card_number", None)),
    # currencies and names
    case(
        "currency the gate lacks", {"currency": "EUR"}, ("currency_not_at_gate", "currency", "EUR")
    ),
    case("no such currency", {"currency": "XXQ"}, ("currency_unknown", "currency", "XXQ")),
    case("small currency", {"currency": "usd"}, ("currency_unknown", "currency", "usd")),
    case("no currency", {"gate": "many"}, ("currency_missing", "currency", None)),
    case("no kind", {"kind": ""}, ("kind_missing", "kind", None)),
    case("unknown kind", {"kind": "chargeup"}, ("kind_unknown", "kind", "chargeup")),
    case("gate", {"gate": "nowhere"}, ("gate_unknown", "gate", "nowhere")),
    case("merchant", {"merchant": "nobody"}, ("merchant_unknown", "merchant", "nobody")),
    case(
        "merchant and reference",
        {**BARE, "merchant": "nobody", "card_reference": "card_x"},
        ("merchant_unknown", "merchant", "nobody"),
    ),
    case("customer", {**BARE, "customer": "c-1"}, ("customer_unknown", "customer", "c-1")),
    case(
        "card reference",
        {**BARE, "card_reference": "card_x"},
        ("card_reference_unknown", "card_reference", "card_x"),
    ),
    case(
        "card reference as number",
        {"card_number": "card_x"},
        ("card_reference_unknown", "card_number", "card_x"),
    ),
    case(
        "card reference twice",
        {"card_number": "card_x", "card_reference": "card_y"},
        ("number_malformed", "card_number", "card_x"),
        ("means_several", "card_number", "card_x"),
        ("card_reference_unknown", "card_reference", "card_y"),
    ),
    case(
        "payment reference",
        {**BARE, "kind": "refund", "payment": "never-made"},
        ("payment_unknown", "payment", "never-made"),
    ),
    case(
        "no payment",
        {**BARE, "kind": "refund"},
        ("value_missing", "payment", None),
    ),
    case(
        "a payment for a sale", {"payment": "order-1"}, ("value_not_allowed", "payment", "order-1")
    ),
    case(
        "spoiled reference",
        {"reference": "1.23E+15"},
        ("value_spreadsheet", "reference", "1.23E+15"),
    ),
    # cells
    case(
        "1 MB in one cell",
        {"description": LONG},
        ("cell_too_long", "description", "x" * 80 + "..."),
        ("value_too_long", "description", "x" * 80 + "..."),
    ),
    case(
        "1 MB of card number",
        {"card_number": "4" * 1_000_000},
        ("cell_too_long", "card_number", "*" * 80 + "..."),
        ("number_malformed", "card_number", "*" * 80 + "..."),
    ),
    case(
        "control characters",
        {"description": "a\x1fb\x1b[2Jc"},
        ("control_character", "description", "a\ufffdb\ufffd[2Jc"),
    ),
    # several at once
    case(
        "everything",
        {
            "gate": "nowhere",
            "amount_minor": "1.0",
            "currency": "usd",
            "card_number": WRONG_CARD,
            "card_expiry": "13/25",
            "card_cvv": "9",
            "email": "nobody",
            "payment": "p",
        },
        ("gate_unknown", "gate", "nowhere"),
        ("value_not_allowed", "payment", "p"),
        ("value_malformed", "email", "nobody"),
        ("currency_unknown", "currency", "usd"),
        ("amount_malformed", "amount_minor", "1.0"),
        ("number_check_digit", "card_number", "*" * 12 + "1112"),
        ("expiry_malformed", "card_expiry", "13/25"),
        ("cvv_malformed", "card_cvv", "***"),
    ),
]

FILEBATCH_CASES = [
    case("1.00", {"amount": "1.00"}, ("amount_malformed", "amount", "1.00")),
    case("no amount", {"amount": ""}, ("amount_missing", "amount", None)),
    case("two amounts", {"base_amount": "90"}, ("amount_twice", "amount", "100")),
    case("type", {"transaction_type": "refund"}, ("kind_unknown", "transaction_type", "refund")),
    case("Luhn", {"cc_number": WRONG_CARD}, ("number_check_digit", "cc_number", "*" * 12 + "1112")),
    case("4.11E+15", {"cc_number": "4.11E+15"}, ("value_spreadsheet", "cc_number", "*.**E+**")),
    case("13/25", {"cc_expiration": "13/25"}, ("expiry_malformed", "cc_expiration", "13/25")),
    case("past", {"cc_expiration": "10/26"}, ("expiry_past", "cc_expiration", "10/26")),
    case("CVV", {"cc_cvc": "98765"}, ("cvv_malformed", "cc_cvc", "***")),
    case(
        "routing",
        {**OTHER_ACH, "ach_routing_number": "021000022"},
        ("routing_check_digit", "ach_routing_number", "021000022"),
    ),
    case(
        "card and account",
        {
            **OTHER_ACH,
            "ach_routing_number": "021000021",
            "cc_number": CARD,
            "cc_expiration": "12/39",
        },
        ("means_several", "cc_number", "*" * 12 + "1111"),
    ),
    case("neither", {"cc_number": "", "cc_expiration": ""}, ("means_missing", "cc_number", None)),
    case("gate", {"processor_id": "nowhere"}, ("gate_unknown", "processor_id", "nowhere")),
    case(
        "customer",
        {"cc_number": "", "cc_expiration": "", "customer_id": "c-1"},
        ("customer_unknown", "customer_id", "c-1"),
    ),
    case(
        "card reference as number",
        {"cc_number": "card_x"},
        ("card_reference_unknown", "cc_number", "card_x"),
    ),
    case("long", {"order_id": "x" * 65}, ("value_too_long", "order_id", "x" * 65)),
]


def file_of(good: Row, cases: list[Case], extra: tuple[str, ...] = ()) -> bytes:
    """Write a good row, then each case with a good row behind it; line 2 is the first good row."""
    names = [*dict.fromkeys([*good, *extra, *(name for each in cases for name in each.changes)])]
    target = io.StringIO()
    writer = csv.DictWriter(target, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerow(good)
    for each in cases:
        writer.writerows([{**good, **each.changes}, good])
    return target.getvalue().encode()


def run(engine: Engine, place: Place, data: bytes, **options: str) -> tuple[Batch, pl.DataFrame]:
    """Run a file; give its batch and its result as a table of text."""
    request = Request(file_name="bad.csv", again=True, **options)
    done = batches.run(engine, place, [data], request)
    assert done.state == "completed"
    target = io.BytesIO()
    report(engine, done, place, target)
    return done, pl.read_csv(target.getvalue(), infer_schema=False)


def errors_of(engine: Engine, batch: Batch) -> dict[int, list[Error]]:
    """Give all errors by line; each message names its column, its value and a sentence."""
    with engine.database.transaction() as connection:
        rows = operations.first_errors(connection, batch.id, 10_000)
    found: dict[int, list[Error]] = {}
    for row in rows:
        reason, column, value = row["reason"], row["column_name"], row["value"]
        found.setdefault(row["line"], []).append((reason, column, value))
        assert column is None or f"column {column}" in row["message"]
        assert value is None or f" is {value}: " in row["message"]
        assert len(row["message"].partition(": ")[2].split()) > 2
    return found


def states_of(engine: Engine, batch: Batch) -> dict[int, tuple[str, str | None]]:
    """Give the state and reason of each line."""
    ids = operations.id_range(batch.id, 0, operations.LINES_MAX - 1)
    with engine.database.transaction() as connection:
        assert not broken_balances(connection) + broken_laws(connection)
        rows = connection.execute(
            "SELECT o.line, u.state, u.reason FROM operation AS o LEFT JOIN outcome AS u"
            " ON o.merchant_id = u.merchant_id AND o.id = u.id"
            " WHERE o.id BETWEEN %(first_id)s AND %(last_id)s",
            ids,
        ).fetchall()
    assert len({row[0] for row in rows}) == len(rows), "a line is there once"
    return {row[0]: (row[1], row[2]) for row in rows}


def stored_text(engine: Engine) -> str:
    """Give everything that the database holds, as text."""
    with psycopg.connect(engine.database.url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        return "\n".join(
            str(row[0])
            for (table,) in tables
            for row in connection.execute(f'SELECT t::text FROM "{table}" AS t').fetchall()
        )


@pytest.mark.parametrize(
    ("dialect", "good", "cases"),
    [("native", NATIVE, NATIVE_CASES), ("filebatch", FILEBATCH, FILEBATCH_CASES)],
)
def test_each_bad_row_is_refused_alone(
    engine: Engine, place: Place, dialect: str, good: Row, cases: list[Case]
) -> None:
    data = file_of(good, cases)
    batch, result = run(engine, place, data)
    assert batch.dialect == dialect
    lines = dict(zip(range(3, 3 + 2 * len(cases), 2), cases, strict=True))
    found = errors_of(engine, batch)
    told = {each.name: tuple(found.pop(line, ())) for line, each in lines.items()}
    assert told == {each.name: each.errors for each in cases}
    assert not found, "good rows have no errors"
    states = states_of(engine, batch)
    wanted = {line: ("rejected", each.errors[0][0]) for line, each in lines.items()}
    good_lines = range(2, 3 + 2 * len(cases), 2)
    assert states == wanted | dict.fromkeys(good_lines, ("approved", None))
    assert result.height == len(states)
    shown = "outcome" if dialect == "native" else "response"
    assert result[shown].to_list() == [states[line][0] for line in sorted(states)]
    stored = stored_text(engine)
    for secret in (CARD, WRONG_CARD, "1111 1111 1111", "98765", LONG[:70_000]):
        assert secret not in stored, secret[:20]


BROKEN = [
    ("too few", b"sale,100", "too_few_fields", "sale,***"),
    ("too many", b"sale,1,,,,,,,,4012888888881881,987", "too_many_fields", "sale,1,,,,,,,,***,***"),
    ("open quote", b'sale,100,"x,12/39,987', "unbalanced_quote", 'sale,***,"x,12/39,***'),
    ("quote inside", b'sale,100,"x"y,12/39,987', "unbalanced_quote", 'sale,***,"x"y,12/39,***'),
    ("NUL", b"sale,100,4012888888881881\0,12/39,987", "not_text", "sale,***,***\ufffd,12/39,***"),
    ("Latin", b"sale,100,\xff\xfe,12/39,987", "not_text", "sale,***,\ufffd\ufffd,12/39,***"),
    ("5 MB", b"sale," + b"7" * 5_000_000, "line_too_long", "sale,***"),
]


@pytest.mark.parametrize("dialect", ["native", "filebatch"])
def test_broken_records_do_not_shift_their_neighbours(
    engine: Engine, place: Place, dialect: str
) -> None:
    good = NATIVE if dialect == "native" else FILEBATCH
    secret = "card_cvv" if dialect == "native" else "cc_cvc"
    note = {"description": "Grüße"}
    header, row = file_of({**good, **note, secret: ""}, []).splitlines()
    lines = [header, row]
    for _, text, *_ in BROKEN:
        lines += [text, row]
    batch, result = run(engine, place, b"\n".join(lines))
    found = errors_of(engine, batch)
    wanted = {
        place: [(reason, None, value)]
        for place, (_, _, reason, value) in zip(
            range(3, 3 + 2 * len(BROKEN), 2), BROKEN, strict=True
        )
    }
    assert found == wanted
    states = states_of(engine, batch)
    assert {line for line, (state, _) in states.items() if state == "approved"} == set(
        range(2, 3 + 2 * len(BROKEN), 2)
    )
    shown = "outcome" if dialect == "native" else "response"
    assert result[shown].to_list() == [*["approved", "rejected"] * len(BROKEN), "approved"]
    broken = result.filter(pl.col(shown) == "rejected")
    assert not broken.select(pl.first()).to_series().drop_nulls().str.contains("sale").any()
    assert "987" not in NUMBER.findall(stored_text(engine))
    assert "4012888888881881" not in stored_text(engine)


def test_a_value_is_shown_without_what_may_be_a_card_number(engine: Engine, place: Place) -> None:
    misplaced = {"email": WRONG_CARD, "routing_number": "4012888888881882", "sec_code": CARD}
    batch, _ = run(engine, place, file_of(NATIVE, [case("x", {**ACH, **misplaced})]))
    values = {column: value for _, column, value in errors_of(engine, batch)[3]}
    assert values["email"] == "************1112"
    assert values["sec_code"] == "************1111"
    assert values["routing_number"] == "************1882"
    stored = stored_text(engine)
    assert CARD not in stored
    assert "4012888888881882" not in stored


def test_names_like_card_numbers_are_hidden_and_stay_two(engine: Engine, place: Place) -> None:
    first, second = "4000000000000002", "4000000000180002"  # with one mask, both pass Luhn
    header = "kind,amount_minor,currency,card_number,card_expiry,reference,idempotency_key,payment"
    rows = [
        f"sale,300,USD,{CARD},12/39,{first},{first},",
        f"sale,200,USD,{CARD},12/39,{second},{second},",
        f"refund,200,,,,a,,{second}",
        f"refund,300,,,,b,,{first}",
        f"sale,1,USD,{CARD},12/39,20261121035633123,,",
    ]
    _, result = run(engine, place, "\n".join([header, *rows]).encode())
    assert result["outcome"].to_list() == ["approved"] * 5
    assert result["reference"].to_list()[:2] == ["400000******0002"] * 2
    assert result["reference"][4] == "20261121035633123"
    assert not {first, second} & set(re.findall("[0-9]+", stored_text(engine)))


def test_a_key_that_was_used_otherwise_is_an_error_like_others(
    engine: Engine, place: Place
) -> None:
    run(engine, place, file_of(NATIVE, [case("x", {"idempotency_key": "k"})]))
    other = [case("x", {"idempotency_key": "k", "amount_minor": "7"})]
    batch, _ = run(engine, place, file_of(NATIVE, other))
    assert errors_of(engine, batch) == {3: [("key_conflict", "idempotency_key", "k")]}


def test_the_limit_of_a_cell_is_a_setting(engine: Engine, place: Place, with_settings: Any) -> None:
    data = file_of(NATIVE, [case("x", {"description": "é" * 21})])
    batch, result = run(with_settings(cell_characters_max=20), place, data)
    assert errors_of(engine, batch) == {3: [("cell_too_long", "description", "é" * 21)]}
    assert result["description"].to_list() == [None, "é" * 20, None]


def again(result: pl.DataFrame, changes: dict[str, str]) -> bytes:
    """Write the rows of a result that are not approved as a file, with some cells put right."""
    failed = result.filter(pl.col("outcome") != "approved")
    right = failed.with_columns(pl.lit(value).alias(name) for name, value in changes.items())
    return right.write_csv().encode()


def test_failed_rows_of_a_result_can_be_sent_again(engine: Engine, place: Place) -> None:
    cases = [
        case("declined", {"amount_minor": "50200", "reference": "a"}),
        case("rejected", {"amount_minor": "1.00", "card_cvv": "123", "reference": "b"}),
        case("bank", {**ACH, "amount_minor": "50201", "reference": "c"}),
        case("luhn", {"amount_minor": "1,00", "card_number": WRONG_CARD, "reference": "d"}),
        case("follow-up", {**BARE, "kind": "refund", "payment": "none", "reference": "e"}),
    ]
    _, result = run(engine, place, file_of(NATIVE, cases))
    failed = result.filter(pl.col("outcome") != "approved")
    assert failed["card_number"].str.slice(0, 5).to_list() == ["card_", "card_", *[None] * 3]
    assert failed["account_number"].str.slice(0, 5).to_list() == [*[None] * 2, "bank_", *[None] * 2]
    assert not failed["card_cvv"].count()

    second = run(engine, place, again(result, {"amount_minor": "700"}))[1]
    assert second.columns == result.columns, "an old result is replaced by the new one"
    assert second["outcome"].to_list() == [*["approved"] * 3, *["rejected"] * 2]
    assert second["reason"].to_list() == [*[None] * 3, "means_missing", "payment_unknown"]
    kept = ["reference", "card_number", "account_number", "routing_number", "card_expiry"]
    assert second.select(kept).equals(failed.select(kept))

    third = run(engine, place, again(second, {"card_number": CARD, "card_expiry": "12/39"}))[1]
    assert third["reason"].to_list() == [None, "value_not_allowed"]
    assert "123" not in NUMBER.findall(result.write_csv())


def test_a_bank_account_is_not_authorized_by_its_reference(engine: Engine, place: Place) -> None:
    _, made = run(engine, place, file_of({**NATIVE, **ACH}, []))
    reference = str(made["account_number"][0])
    wrong = {**BARE, "kind": "authorize", "account_number": reference}
    batch, _ = run(engine, place, file_of(NATIVE, [case("x", wrong)]))
    assert errors_of(engine, batch)[3][0][:2] == ("value_not_allowed", "account_number")


def test_a_row_that_named_its_means_keeps_that_name(engine: Engine, place: Place) -> None:
    _, made = run(engine, place, file_of(NATIVE, [], ("card_reference",)))
    reference = str(made["card_number"][0])
    cases = [case("x", {**BARE, "card_reference": reference, "amount_minor": "50200"})]
    _, result = run(engine, place, file_of(NATIVE, cases))
    assert result["card_number"][1] is None
    assert result["card_reference"][1] == reference
    assert run(engine, place, again(result, {"amount_minor": "1"}))[1]["outcome"][0] == "approved"


def test_a_card_is_good_to_the_last_day_of_its_month_everywhere(engine: Engine) -> None:
    """On 1 December at 11:59 in UTC it is still November in the latest zone."""
    data = file_of({**NATIVE, "card_expiry": "11/26"}, [])
    for time, reason in (("11:59", None), ("12:00", "expiry_past")):
        now = f"2026-12-01T{time}:00+00:00"
        late = replace(engine, clock=partial(datetime.fromisoformat, now))
        _, result = run(late, find_place(late, "local"), data)
        assert result["reason"].to_list() == [reason]
