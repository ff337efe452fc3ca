"""The main path: a file in, a result for every row out."""

import polars as pl

from paybatch.flow.engine import Engine
from paybatch.flow.place import Place
from tests_support import laws_hold, run


def test_filebatch_file_has_a_result_for_every_row(engine: Engine, place: Place) -> None:
    text = (
        "transaction_type,amount,cc_number,cc_expiration,order_id\n"
        "sale,100,4111111111111111,12/39,A\n"
        "sale,100,4000000000000002,12/39,B\n"
        "sale,1.00,4111111111111111,12/39,C\n"
        "authorize,100,4000000000000051,12/39,D\n"
    )
    result = run(engine, place, text)
    assert result["response"].to_list() == ["approved", "declined", "rejected", "approved"]
    assert result["response_code"].to_list() == ["100", "200", "220", "110"]
    assert result["amount_authorized"].to_list() == ["100", "0", "0", "50"]
    assert result["order_id"].to_list() == ["A", "B", "C", "D"]
    assert (result["id"] == "").to_list() == [False, False, True, False]
    assert laws_hold(engine)


def test_native_chain_takes_effect_in_line_order(engine: Engine, place: Place) -> None:
    text = (
        "kind,amount_minor,currency,card_number,card_expiry,reference,payment,final\n"
        "authorize,1000,USD,4111111111111111,12/39,ref-1,,\n"
        "capture,300,USD,,,,ref-1,\n"
        "capture,200,USD,,,,ref-1,true\n"
        "capture,100,USD,,,,ref-1,\n"
        "refund,500,,,,,ref-1,\n"
        "refund,1,,,,,ref-1,\n"
    )
    result = run(engine, place, text)
    assert result["outcome"].to_list() == [*["approved"] * 3, "rejected", "approved", "rejected"]
    assert result["reason"].to_list() == [
        *[None] * 3,
        "status_not_allowed",
        None,
        "status_not_allowed",
    ]
    assert laws_hold(engine)


def test_many_refunds_of_one_payment_never_exceed_it(engine: Engine, place: Place) -> None:
    rows = ["sale,1000,USD,4111111111111111,12/39,one,"]
    rows += [f"refund,{3 + n % 2},,,,r{n},one" for n in range(1_000)]
    header = "kind,amount_minor,currency,card_number,card_expiry,reference,payment\n"
    result = run(engine, place, header + "\n".join(rows) + "\n")
    refunds = result.filter(pl.col("kind") == "refund", pl.col("outcome") == "approved")
    assert refunds["amount_minor"].cast(pl.Int64).sum() in (999, 1000)
    assert laws_hold(engine)
