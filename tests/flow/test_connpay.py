"""Connpay: order ids in, ConnPay's words out; the operation named once for the whole file."""

import csv
import io

import polars as pl
import pytest

from conftest import gate_values
from paybatch import registry
from paybatch.domain.delimited import FileRefused
from paybatch.flow.engine import Engine
from paybatch.flow.intake.receive import Request, RequestWrongError, choose_dialect
from paybatch.flow.payments import find_payments, view_payment
from paybatch.flow.place import Place, find_place
from paybatch.flow.preview import preview
from paybatch.store import directory
from tests_support import laws_hold, run

NATIVE = "kind,reference,amount_minor,currency,card_number,card_expiry,merchant,gate\n"
CARD = "4111111111111111,12/39"


def sales(engine: Engine, place: Place, *rows: str) -> pl.DataFrame:
    """Make payments: each row is ``reference,merchant,gate``."""
    lines = [
        f"sale,{name},1000,USD,{CARD},{rest}" for name, rest in (r.split(",", 1) for r in rows)
    ]
    made = run(engine, place, NATIVE + "\n".join(lines) + "\n")
    assert set(made["outcome"]) == {"approved"}, str(made)
    return made


def ids_of(engine: Engine, place: Place, *references: str) -> list[str]:
    """Give the ids of payments in ConnPay's shape, from the result of a comment on each."""
    rows = "".join(f"{name},an id is wanted\n" for name in references)
    told = run(engine, place, "order_id,comment\n" + rows, kind="add comment", again=True)
    return [str(each) for each in told["paynet-order-id"]]


def amounts(engine: Engine, place: Place, reference: str) -> dict[str, object]:
    """Give a payment's columns."""
    (key,) = find_payments(engine, list(place.merchants.values()), reference)
    return view_payment(engine, key).values


@pytest.mark.parametrize("kind", ["reversal", "Reversal", "reverse"])
def test_a_file_may_hold_nothing_but_order_ids(engine: Engine, place: Place, kind: str) -> None:
    native = sales(engine, place, "a,,", "b,,")["result_payment"]
    theirs = ids_of(engine, place, "b")
    file = f"order_id\n{native[0]}\n{theirs[0]}\nnobody\n"
    found = preview(engine, place, [file.encode()], Request(file_name="ids.csv", kind=kind))
    assert (found.dialect, found.refused_count) == ("connpay", 1)
    result = run(engine, place, file, kind=kind)
    assert result.columns[:2] == ["order_id", "result_status"]
    assert result["result_status"].to_list() == ["approved", "approved", "error"]
    assert result["result_reason"].to_list() == [None, None, "payment_unknown"]
    assert result["paynet-order-id"][1] == theirs[0]
    assert amounts(engine, place, "a")["status"] == "voided"
    assert laws_hold(engine)


@pytest.mark.parametrize(
    ("word", "columns", "cells"),
    [
        ("capture", "", ""),
        ("chargeback", ",amount,currency,date,reason_code", ",2.50,USD,2026-11-20,10.4"),
        ("fraud", ",comment", ",denied"),
        ("blacklist", "", ""),
        ("add comment", ",comment", ",called"),
        ("Add Comment To Transactions", ",comment", ",called"),
        ("Resend Callbacks", "", ""),
        ("Upload Chargebacks Info", ",stage,status", ",inquiry,open"),
        ("Ethoca Alerts Update", ",alert_id,outcome", ",EA-7,stopped"),
        ("retrieval", ",date,reason_code", ",2026-11-20,30"),
        ("scoring", "", ""),
        ("refund", ",amount,currency", ",0.10,USD"),
        ("cancel", "", ""),
    ],
)
def test_connpays_words_name_the_operation(
    engine: Engine, place: Place, word: str, columns: str, cells: str
) -> None:
    first = "authorize" if word in {"capture", "cancel"} else "sale"
    run(engine, place, NATIVE + f"{first},a,1000,USD,{CARD},,\n")
    result = run(engine, place, f"order_id{columns}\na{cells}\n", kind=word)
    assert result["result_status"].to_list() == ["approved"], str(result["result_message"])
    assert laws_hold(engine)


def test_a_word_that_nobody_knows_does_nothing(engine: Engine, place: Place) -> None:
    with pytest.raises(RequestWrongError, match=r"in connpay; known: .*reversal"):
        run(engine, place, "order_id\na\n", kind="revert")
    with pytest.raises(RequestWrongError, match="'reversal' in native"):
        run(engine, place, "payment\na\n", kind="reversal")


def test_transfers_go_on_by_their_ids(engine: Engine, place: Place) -> None:
    made = "client_orderid,amount,currency\nt,10.00,USD\n"
    run(engine, place, made, kind="transfer_create")
    sent = run(engine, place, "order_id,bank_reference,comment\nt,F7,seen\n", kind="Mark Sent")
    done = run(engine, place, "order_id\nt\n", kind="pipo mark received")
    assert [sent["result_status"][0], done["result_status"][0]] == ["approved"] * 2
    (key,) = find_payments(engine, list(place.merchants.values()), "t")
    notes = {each["name"]: each["text"] for each in view_payment(engine, key).facts}
    assert (notes["transfer_sent"], notes["comment"]) == ("F7", "seen")
    assert amounts(engine, place, "t")["captured"] == 1000


def test_ids_span_the_merchants_of_a_sender(engine: Engine, place: Place) -> None:
    with engine.database.transaction() as connection:
        directory.add_merchant(connection, "second", "Second", "local")
        directory.add_gate(connection, gate_values("sandbox", merchant="second"))
        directory.add_sender(connection, "other")
        directory.add_merchant(connection, "third", "Third", "other")
        directory.add_gate(connection, gate_values("sandbox", merchant="third"))
    both, other = find_place(engine, "local", "demo"), find_place(engine, "other")
    sales(engine, both, "a,demo,", "b,second,")
    sales(engine, other, "c,,")
    second = find_place(engine, "local", "second")
    ids = [*ids_of(engine, both, "a"), *ids_of(engine, second, "b"), *ids_of(engine, other, "c")]
    result = run(engine, both, "order_id\n" + "\n".join(ids) + "\n", kind="reversal")
    told = list(result.select("result_status", "result_reason").iter_rows())
    assert told == [("approved", None), ("approved", None), ("error", "payment_unknown")]
    assert amounts(engine, second, "b")["status"] == "voided"
    assert amounts(engine, other, "c")["status"] == "captured"
    assert laws_hold(engine)


def test_a_sale_with_a_card_reference_id_at_an_endpoint(engine: Engine, place: Place) -> None:
    made = run(engine, place, NATIVE + f"sale,a,1000,USD,{CARD},,\n")
    reference = made["card_number"][0]
    file = (
        "endpoint_id,card-ref-id,client_orderid,amount,currency,order_desc,ipaddress,cvv2,comment\n"
        f"many,{reference},b,12.34,EUR,books,192.0.2.7,123,\n"
    )
    with pytest.raises(FileRefused, match="unknown columns"):
        run(engine, place, "card-ref-id,card_holder\nx,y\n", kind="sale")
    result = run(engine, place, file, kind="Sale With Card Reference ID")
    assert result["result_status"].to_list() == ["approved"], str(result["result_message"])
    assert (result["cvv2"][0], result["card-ref-id"][0]) == (None, reference)
    payment = amounts(engine, place, "b")
    assert (payment["captured"], payment["currency"]) == (1234, "EUR")


def test_the_words_of_a_result(engine: Engine, place: Place) -> None:
    run(engine, place, "email\nthief@example.com\n", kind="blacklist", dialect="connpay")
    held, declines = "4000000000000119", "4000000000000002"
    rows = [f"a,{declines},", f"b,{held},", "c,5555555555554444,thief@example.com", "d,123,"]
    file = "client_orderid,credit-card-number,email,card-expiry,amount,currency\n"
    result = run(engine, place, file + "".join(f"{r},12/39,1.00,USD\n" for r in rows), kind="sale")
    assert result["result_status"].to_list() == ["declined", "processing", "filtered", "error"]
    assert result["credit-card-number"].null_count() == 4
    assert result["result_message"][0] == "DECLINED"


def test_a_comment_of_a_reversal_stands_with_its_payment(engine: Engine, place: Place) -> None:
    sales(engine, place, "a,,", "b,,")
    file = "order_id,amount,currency,comment\na,1.00,USD,an article\nb,,,\n"
    run(engine, place, file, kind="reversal")
    found = [find_payments(engine, list(place.merchants.values()), name)[0] for name in "ab"]
    notes = [[each["text"] for each in view_payment(engine, key).facts] for key in found]
    assert notes == [["an article"], []]


def test_a_result_can_be_sent_in_again(engine: Engine, place: Place) -> None:
    sales(engine, place, "a,,")
    first = run(engine, place, "order_id\na\nnobody\n", kind="fraud")
    again = run(engine, place, first.write_csv(), kind="fraud")
    assert again.columns == first.columns
    assert again["result_status"].to_list() == ["approved", "error"]


@pytest.mark.parametrize("name", ["native", "filebatch"])
def test_files_of_other_dialects_are_still_known(name: str) -> None:
    dialect = registry.dialects()[name]
    assert choose_dialect(list(dialect.columns), None).name == name
    for mark in dialect.marks:
        assert choose_dialect([mark, *dialect.required], None).name == name


def test_the_fewest_columns_of_a_filebatch_file_are_not_taken_for_ours() -> None:
    header = next(csv.reader(io.StringIO("transaction_type,amount,order_id,email_address")))
    assert choose_dialect(header, None).name == "filebatch"
    assert choose_dialect(["order_id", "amount"], None).name == "connpay"


def test_cards_are_mapped_by_orders_and_by_themselves(engine: Engine, place: Place) -> None:
    made = run(engine, place, NATIVE + f"sale,a,1000,USD,{CARD},,\n")
    reference = made["card_number"][0]
    file = "identifier_type,identifier,order_id,card-ref-id,credit-card-number,card-expiry\n"
    file += "email,ada@example.com,a,,,\n"
    file += f"phone,+44 20 7946 0018,,{reference},,\n"
    file += "handle,ada,,,5555555555554444,11/39\n"
    result = run(engine, place, file, kind="Add Card Mappings")
    assert result["result_status"].to_list() == ["approved"] * 3, str(result["result_message"])
    paid = "client_orderid,identifier_type,identifier,amount,currency\n"
    paid += "m1,email,ADA@example.com,1.00,USD\nm2,handle,ada,1.00,USD\n"
    assert run(engine, place, paid, kind="sale")["result_status"].to_list() == ["approved"] * 2
    assert [amounts(engine, place, name)["brand"] for name in ("m1", "m2")] == [
        "visa",
        "mastercard",
    ]


def test_reversals_are_prepared_committed_and_retried_by_their_ids(
    engine: Engine, place: Place
) -> None:
    with engine.database.transaction() as connection:
        staged = """UPDATE gate SET capabilities = capabilities || '{"two_stage_reversal": true}'"""
        connection.execute(staged)
    place = find_place(engine, "local")
    sales(engine, place, "a,,", "b,,")
    ids = "".join(f"{each}\n" for each in ids_of(engine, place, "a", "b"))
    file = "order_id\n" + ids
    told = run(engine, place, file, kind="reversal")
    assert told["result_status"].to_list() == ["approved"] * 2
    assert [amounts(engine, place, name)["prepared"] for name in "ab"] == [1000] * 2
    for word in ("retry_reversal", "Retry Pending Reversals"):
        told = run(engine, place, file, kind=word, again=True)
        assert told["result_reason"].to_list() == ["no_reversal_pending"] * 2
    for word, states in (("commit_reversal", "approved"), ("Commit Reversal", "error")):
        told = run(engine, place, file, kind=word, again=True)
        assert told["result_status"].to_list() == [states] * 2
    assert [amounts(engine, place, name)["status"] for name in "ab"] == ["voided"] * 2
    assert laws_hold(engine)


@pytest.mark.parametrize("word", ["Close Day For Selected Gates", "close_day"])
@pytest.mark.parametrize("column", ["processor_id", "endpoint_id"])
def test_days_are_closed_by_gate_and_by_processor(
    engine: Engine, place: Place, word: str, column: str
) -> None:
    sales(engine, place, "a,,")
    file = f"{column},sale_count,request_id\nsandbox,1,day-7\n"
    wrong = run(engine, place, file.replace("1,day-7", "2,day-6"), kind=word)
    assert wrong["result_reason"].to_list() == ["totals_differ"]
    assert run(engine, place, file, kind=word)["result_status"].to_list() == ["approved"]
    assert amounts(engine, place, "a")["status"] == "settled"
    again = run(engine, place, file, kind=word, again=True)
    assert again["result_outcome"].to_list() == ["replayed"]
    assert laws_hold(engine)
