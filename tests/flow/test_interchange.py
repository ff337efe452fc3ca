"""What a scheme wants to know of a new payment: who starts it, its series, levels 2 and 3."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl
import pytest

from paybatch import registry
from paybatch.domain.line_items import is_well_formed
from paybatch.flow.calls.call import Caller
from paybatch.flow.engine import Engine
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place
from tests_support import laws_hold, run

CARD = {"currency": "USD", "card_number": "4111111111111111", "card_expiry": "12/39"}
ITEM = '{"amount_minor":900,"quantity":1.5,"unit_price_minor":600,"tax_included":false}'
Row = dict[str, str]


def file_of(rows: list[Row]) -> str:
    """Write rows as a native file; every cell in quotes."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [
        ",".join('"' + row.get(name, "").replace('"', '""') + '"' for name in names) for row in rows
    ]
    return "\n".join([",".join(names), *lines]) + "\n"


def sale(kind: str = "sale", **more: str) -> Row:
    """Give a new payment with these columns besides."""
    amount = {} if kind == "verify" else {"amount_minor": "1000"}
    return {"kind": kind, **amount, **CARD, **more}


GOOD = [
    sale(initiator="customer"),
    sale(initiator="customer", pattern="recurring"),
    sale(initiator="merchant", pattern="recurring", scheme_transaction_id="MCC123:4"),
    sale(initiator="merchant", pattern="multiple", scheme_transaction_id="1"),
    sale(initiator="merchant", pattern="deferred"),
    sale(pattern="instalment", instalment_number="1", instalment_count="1"),
    sale(initiator="merchant", pattern="instalment", instalment_number="1", instalment_count="3"),
    sale("verify", initiator="customer", pattern="recurring"),
    sale("authorize", voice_approval_code="A1b2C3"),
    sale("credit", customer_code="cc 1", duty_minor="1000", order_date="2026-11-01"),
    sale(tax_exempt="true", tax_exempt_number="X-1", base_amount_minor="10", amount_minor=""),
    sale(po_number="po 7", line_items=f"[{ITEM}]"),
]


def test_good_rows_are_approved(engine: Engine, place: Place) -> None:
    result = run(engine, place, file_of(GOOD))
    assert result["outcome"].to_list() == ["approved"] * len(GOOD), str(result["message"])
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("row", "reason", "column"),
    [
        (sale(initiator="payer"), "choice_unknown", "initiator"),
        (sale(pattern="monthly"), "choice_unknown", "pattern"),
        (sale(initiator="merchant"), "pattern_missing", "pattern"),
        (
            sale(initiator="merchant", pattern="recurring"),
            "scheme_id_missing",
            "scheme_transaction_id",
        ),
        (
            sale(
                initiator="merchant",
                pattern="instalment",
                instalment_number="2",
                instalment_count="3",
            ),
            "scheme_id_missing",
            "scheme_transaction_id",
        ),
        (sale(scheme_transaction_id="a b"), "value_malformed", "scheme_transaction_id"),
        (sale(pattern="instalment"), "instalment_pair", "instalment_number"),
        (sale(pattern="instalment", instalment_count="3"), "instalment_pair", "instalment_number"),
        (sale(instalment_number="1"), "instalment_pair", "instalment_number"),
        (
            sale(pattern="recurring", instalment_number="1", instalment_count="3"),
            "instalment_pair",
            "instalment_number",
        ),
        (
            sale(pattern="instalment", instalment_number="4", instalment_count="3"),
            "instalment_above",
            "instalment_number",
        ),
        (
            sale(pattern="instalment", instalment_number="0", instalment_count="3"),
            "choice_unknown",
            "instalment_number",
        ),
        (sale("credit", initiator="customer"), "value_not_allowed", "initiator"),
        (sale("verify", line_items="[]"), "value_not_allowed", "line_items"),
        (sale(voice_approval_code="1234567"), "value_malformed", "voice_approval_code"),
        (
            {
                "kind": "sale",
                "amount_minor": "1",
                "currency": "USD",
                "account_number": "1234567890",
                "routing_number": "021000021",
                "account_type": "checking",
                "sec_code": "WEB",
                "voice_approval_code": "1",
            },
            "value_not_allowed",
            "voice_approval_code",
        ),
        (sale(duty_minor="1001"), "amount_parts", "duty_minor"),
        (sale(duty_minor="1.00"), "amount_malformed", "duty_minor"),
        (sale(order_date="01/02/2026"), "day_malformed", "order_date"),
        (sale(tax_exempt_number="X"), "tax_exempt_differs", "tax_exempt_number"),
        (sale(customer_code="c" * 26), "value_too_long", "customer_code"),
        (sale(line_items=f"[{ITEM}]"), "order_number_missing", "po_number"),
        (sale(line_items=ITEM, po_number="1"), "value_malformed", "line_items"),
    ],
)
def test_wrong_rows_have_their_reason(
    engine: Engine, place: Place, row: Row, reason: str, column: str
) -> None:
    result = run(engine, place, file_of([row]))
    assert (result["outcome"].item(), result["reason"].item()) == ("rejected", reason)
    assert f"column {column}" in result["message"].item()


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", "null", "1", '"a"', "[1]", "[{}]", "[[]]", "[" * 5_000),
        f"[{ITEM}", f"[{ITEM},]", f"[{ITEM.replace('900', '-1')}]",
        f"[{ITEM.replace('900', '9.5')}]", f"[{ITEM.replace('900', '900000000000000')}]",
        f"[{ITEM.replace('1.5', '0')}]", f"[{ITEM.replace('1.5', 'NaN')}]",
        f"[{ITEM.replace('1.5', '1e999')}]", f"[{ITEM.replace('false', '0')}]",
        f"[{ITEM.replace('amount_minor', 'amount')}]", f'[{ITEM[:-1]},"extra":1}}]',
        "[" + ",".join([ITEM] * 1_000) + "]",
    ],
)  # fmt: skip
def test_what_line_items_are_not(text: str) -> None:
    assert not is_well_formed(text)


def test_line_items_may_say_more() -> None:
    more = ITEM[:-1] + ',"description":"nails","unit":"kg","tax_minor":3,"discount_minor":null}'
    assert is_well_formed("[" + ",".join([more] * 999) + "]")


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    """Let the sandbox want every such column, and give the calls that it gets."""
    calls: list[pl.DataFrame] = []
    sandbox = registry.connectors()["sandbox"]

    def send(table: pl.DataFrame) -> Iterator[pl.DataFrame]:
        calls.append(table)
        yield from sandbox.send(table)

    own = {"initiator", "instalment_number", "order_date", "line_items", "scheme_transaction_id"}
    wants = sandbox.wants | own
    told = replace(sandbox, wants=wants, send=send)
    monkeypatch.setitem(registry.connectors(), "sandbox", told)
    return calls


SENT = sale(
    initiator="customer",
    pattern="instalment",
    po_number="1",
    instalment_number="2",
    instalment_count="3",
    order_date="2026-11-01",
    line_items=f"[{ITEM}]",
)


@pytest.mark.parametrize("way", ["file", "call"])
def test_a_connector_gets_what_it_wants(
    engine: Engine, place: Place, heard: list[pl.DataFrame], way: str
) -> None:
    ways: dict[str, Callable[[], object]] = {
        "file": lambda: run(engine, place, file_of([SENT, sale()])),
        "call": lambda: (Caller(engine, place).call(SENT), Caller(engine, place).call(sale())),
    }
    ways[way]()
    names = ("initiator", "instalment_number", "order_date", "line_items")
    first, second = pl.concat([each.select(names) for each in heard]).rows()
    assert first[:2] == ("customer", 2)
    assert (str(first[2]), first[3]) == ("2026-11-01", f"[{ITEM}]")
    assert second == (None, None, None, None)


@pytest.mark.parametrize("number", ["4111111111111111", "4000000000000002"])
def test_a_voice_approval_forces_the_authorization(
    engine: Engine, place: Place, number: str
) -> None:
    row = sale("authorize", card_number=number, voice_approval_code="VOICE1")
    result = run(engine, place, file_of([row]))
    assert (result["outcome"].item(), result["approval_code"].item()) == ("approved", "VOICE1")
    assert laws_hold(engine)


FIRST = sale(reference="first", initiator="customer", pattern="recurring")
LATER = {"amount_minor": "10", "currency": "USD", "payment": "first", "initiator": "merchant"}
LATER |= {"pattern": "recurring"}


@pytest.mark.parametrize("way", ["one file", "files", "calls"])
@pytest.mark.parametrize("kind", ["rebill", "duplicate"])
def test_later_payments_of_a_series_take_the_id_of_the_first(
    engine: Engine, place: Place, heard: list[pl.DataFrame], kind: str, way: str
) -> None:
    given = {**LATER, "kind": kind, "scheme_transaction_id": "OWN1"}
    by_payer = {**LATER, "kind": kind, "initiator": "customer"}
    rows = [FIRST, {**LATER, "kind": kind}, given, by_payer]
    if way == "calls":
        caller = Caller(engine, place)
        ids = [caller.call(each)["scheme_transaction_id"] for each in rows]
    else:
        files = [rows] if way == "one file" else [[each] for each in rows]
        results = [run(engine, place, file_of(each), again=True) for each in files]
        ids = [each for one in results for each in one["result_scheme_transaction_id"]]
    assert len(set(ids)) == 4, "each payment has an id of its own"
    sent = pl.concat([each.select("operation", "scheme_transaction_id") for each in heard])
    assert sent.sort("operation")["scheme_transaction_id"].to_list() == [None, ids[0], "OWN1", None]
    (key,) = find_payments(engine, [place.merchant_id], "first")
    assert view_payment(engine, key).values["scheme_transaction_id"] == ids[0]
    assert laws_hold(engine)


@pytest.mark.parametrize("kind", ["rebill", "duplicate"])
def test_a_series_that_has_no_id_is_refused(engine: Engine, place: Place, kind: str) -> None:
    result = run(engine, place, file_of([sale(reference="first"), {**LATER, "kind": kind}]))
    assert result["reason"].to_list() == [None, "scheme_id_missing"]
    assert "column scheme_transaction_id: " in result["message"][1]
    wrong = [{**LATER, "kind": kind, "pattern": ""}, {**LATER, "kind": kind, "pattern": "weekly"}]
    result = run(engine, place, file_of(wrong))
    assert result["reason"].to_list() == ["pattern_missing", "choice_unknown"]
    plain = run(engine, place, "kind,payment,amount_minor\n" + f"{kind},first,5\n")
    assert "result_scheme_transaction_id" not in plain.columns
