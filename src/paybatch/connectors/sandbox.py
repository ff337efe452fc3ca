"""Sandbox: a processor inside the house, deterministic, for demonstrations and tests.

Every valid card approves except the triggers below. They work on gates in test mode; on a live
gate, which takes no test number either, everything approves.

Cards: 4000000000000002 declines; ...9995 insufficient funds; ...9987 lost; ...9979 stolen;
...0069 expired; 4000000000000010 approves, its refunds decline; 4000000000000051 approves half;
4000000000000119 approves and is held by its fraud score; 4000000000000341 approves, but the first
attempt of a recurring payment's due date has insufficient funds; 4000000000000358 approves, but
recurring charges are answered "stop recurring"; 4000000000000366 approves, but its reversals are
not prepared (at gates of two stages). Scores: ...0127 95, ...0135 50, others 5.
CVV: 200, 201, 301 (American Express 2000, 2011, 3011) answer N, U, S; every other M.
Billing postal code: 20000 answers N, 20001 U; every other Y.
ACH routing: 000000000 declines; 000000001 approves, and comes back two days later (R01); 000000002
comes back after 45 days (R10). A worker's clock makes those returns.
Amounts that end in 50200 decline; 50201 do not honor; 50202 insufficient funds; 50203 exceeds
limit; 50204 invalid transaction; 50220 invalid amount; 50400 is an error of the processor.

A payment that names the pattern of a series gets a scheme transaction id.
A voice approval code approves whatever would decline, and is answered as the approval's code.

Source: 123checkout, test data; the amounts are our own.
"""

from collections.abc import Iterator
from functools import cache

import polars as pl

from paybatch.domain.connector import Connector, Response, Result, Returned, Verb
from paybatch.domain.few import has_any

_CARDS: dict[str, Response] = {
    "4000000000000002": Response.DECLINED,
    "4000000000009995": Response.INSUFFICIENT_FUNDS,
    "4000000000009987": Response.LOST_CARD,
    "4000000000009979": Response.STOLEN_CARD,
    "4000000000000069": Response.EXPIRED_CARD,
}
_REFUNDS_DECLINE = "4000000000000010"
_HALF = "4000000000000051"
_CHALLENGE = "4000000000000119"
_UNPREPARED = "4000000000000366"
_SECOND_TIME = "4000000000000341"
_NOT_AGAIN = "4000000000000358"
_SCORES = {"4000000000000127": 95, "4000000000000135": 50}
_SCORE_OF_OTHERS = 5
_RETURNS = {"000000001": Returned(2, "R01"), "000000002": Returned(45, "R10")}
_AMOUNTS: dict[int, Response] = {
    50200: Response.DECLINED,
    50201: Response.DO_NOT_HONOR,
    50202: Response.INSUFFICIENT_FUNDS,
    50203: Response.LIMIT_EXCEEDED,
    50204: Response.INVALID_TRANSACTION,
    50220: Response.INVALID_AMOUNT,
    50400: Response.PROCESSOR_ERROR,
}
_CODES: dict[str, tuple[str, str]] = {
    Response.APPROVED: ("00", "APPROVED"),
    Response.PARTIALLY_APPROVED: ("10", "PARTIAL APPROVAL"),
    Response.CHALLENGED: ("00", "APPROVED, HELD FOR REVIEW"),
    Response.DECLINED: ("05", "DECLINED"),
    Response.DO_NOT_HONOR: ("05", "DO NOT HONOR"),
    Response.INSUFFICIENT_FUNDS: ("51", "INSUFFICIENT FUNDS"),
    Response.LIMIT_EXCEEDED: ("61", "EXCEEDS LIMIT"),
    Response.INVALID_TRANSACTION: ("12", "INVALID TRANSACTION"),
    Response.INVALID_AMOUNT: ("13", "INVALID AMOUNT"),
    Response.LOST_CARD: ("41", "LOST CARD"),
    Response.STOLEN_CARD: ("43", "STOLEN CARD"),
    Response.EXPIRED_CARD: ("54", "EXPIRED CARD"),
    Response.STOP_RECURRING: ("R1", "STOP RECURRING"),
    Response.PROCESSOR_ERROR: ("96", "SYSTEM ERROR"),
}
_AMOUNT_ENDS = 100_000
_CVV = {"200": "N", "201": "U", "301": "S", "2000": "N", "2011": "U", "3011": "S"}
_POSTAL_CODES = {"20000": "N", "20001": "U"}
_IN_SERIES = ["sale", "authorize", "verify"]
_IS_LIVE = pl.col("mode") == "live"


@cache
def _response() -> pl.Expr:
    """Give the response that a call's triggers ask for; approved without any."""
    value, verb = pl.col("test_value"), pl.col("verb")
    takes = verb.is_in(["sale", "authorize", "verify", "credit"])
    refused_refund = (verb == "refund") & (pl.col("payment_test_value") == _REFUNDS_DECLINE)
    unprepared = (verb == "prepare_reversal") & (pl.col("payment_test_value") == _UNPREPARED)
    half = (value == _HALF) & verb.is_in(["sale", "authorize"])
    return (
        pl.when(_IS_LIVE | pl.col("voice_approval_code").is_not_null())
        .then(pl.lit(Response.APPROVED.value))
        .when(takes & value.is_in(list(_CARDS)))
        .then(value.replace_strict(_CARDS, default=None, return_dtype=pl.String))
        .when((pl.col("bank_code") == "000000000") | refused_refund | unprepared)
        .then(pl.lit(Response.DECLINED.value))
        .when((value == _SECOND_TIME) & takes & (pl.col("attempt") == "1"))
        .then(pl.lit(Response.INSUFFICIENT_FUNDS.value))
        .when((value == _NOT_AGAIN) & takes & (pl.col("pattern") == "recurring"))
        .then(pl.lit(Response.STOP_RECURRING.value))
        .when(half)
        .then(pl.lit(Response.PARTIALLY_APPROVED.value))
        .when((value == _CHALLENGE) & verb.is_in(["sale", "authorize"]))
        .then(pl.lit(Response.CHALLENGED.value))
        .otherwise(
            (pl.col("amount_minor").fill_null(0) % _AMOUNT_ENDS).replace_strict(
                _AMOUNTS, default=Response.APPROVED.value, return_dtype=pl.String
            )
        )
    )


def _answered(column: str, answers: dict[str, str], otherwise: str) -> pl.Expr:
    given = pl.col(column)
    answer = given.replace_strict(answers, default=otherwise, return_dtype=pl.String)
    usual = pl.when(_IS_LIVE).then(pl.lit(otherwise))
    return pl.when(given.is_not_null()).then(usual.otherwise(answer))


def _number() -> pl.Expr:
    return (pl.col("operation") % 1000).cast(pl.String).str.zfill(3)


@cache
def _answer() -> list[pl.Expr]:
    """Give the columns of a reply; the answer depends on the call alone."""
    response = pl.col("response")
    good = [Response.APPROVED, Response.PARTIALLY_APPROVED, Response.CHALLENGED]
    approved = response.is_in(good)
    half = response == Response.PARTIALLY_APPROVED
    halved = pl.max_horizontal(pl.col("amount_minor") // 2, 1)  # an approval of nothing is none
    amount = pl.when(half).then(halved).otherwise(pl.col("amount_minor"))
    result = pl.when(approved).then(pl.lit(Result.APPROVED)).otherwise(pl.lit(Result.DECLINED))
    codes = {each: code for each, (code, _) in _CODES.items()}
    texts = {each: text for each, (_, text) in _CODES.items()}
    return [
        pl.col("operation"),
        result.alias("result"),
        pl.when(approved).then(amount.fill_null(0)).otherwise(0).alias("approved_minor"),
        response,
        response.replace_strict(codes, return_dtype=pl.String).alias("processor_code"),
        response.replace_strict(texts, return_dtype=pl.String).alias("processor_text"),
        pl.when(approved)
        .then(pl.coalesce("voice_approval_code", pl.lit("TAS") + _number()))
        .alias("approval_code"),
        pl.when(pl.col("bank_code").is_null())  # addresses are checked for cards only
        .then(_answered("billing_postal_code", _POSTAL_CODES, "Y"))
        .alias("avs_result"),
        _answered("cvv", _CVV, "M").alias("cvv_result"),
        pl.when(pl.col("verb") == "score").then(_score()).alias("score"),
        pl.when(approved & pl.col("pattern").is_not_null() & pl.col("verb").is_in(_IN_SERIES))
        .then(pl.lit("SIM") + pl.col("operation").cast(pl.String).str.tail(9).str.zfill(9))
        .alias("scheme_transaction_id"),
    ]


def _score() -> pl.Expr:
    known = pl.coalesce("test_value", "payment_test_value")
    return known.replace_strict(_SCORES, default=_SCORE_OF_OTHERS, return_dtype=pl.Int32)


@cache
def _approval() -> list[pl.Expr]:
    """Give the columns of a reply to a call that triggers nothing."""
    code, text = _CODES[Response.APPROVED]
    return [
        pl.col("operation"),
        pl.lit(Result.APPROVED.value).alias("result"),
        pl.col("amount_minor").fill_null(0).alias("approved_minor"),
        pl.lit(Response.APPROVED.value).alias("response"),
        pl.lit(code).alias("processor_code"),
        pl.lit(text).alias("processor_text"),
        (pl.lit("TAS") + _number()).alias("approval_code"),
        pl.lit(None, pl.String).alias("avs_result"),
        pl.lit(None, pl.String).alias("cvv_result"),
        pl.when(pl.col("verb") == "score")
        .then(pl.lit(_SCORE_OF_OTHERS))
        .cast(pl.Int32)
        .alias("score"),
        pl.lit(None, pl.String).alias("scheme_transaction_id"),
    ]


def _triggers_nothing(calls: pl.DataFrame) -> bool:
    named = (
        *("test_value", "payment_test_value", "bank_code", "billing_postal_code", "cvv"),
        *("voice_approval_code", "pattern"),
    )
    if any(calls[name].count() for name in named):
        return False
    return not has_any(calls["amount_minor"] % _AMOUNT_ENDS, _AMOUNTS)


def _send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Answer a table of calls at once."""
    if _triggers_nothing(calls):
        yield calls.select_seq(_approval())
    else:
        yield calls.with_columns_seq(response=_response()).select_seq(_answer())


CONNECTOR = Connector(
    name="sandbox",
    title="Sandbox",
    inline=True,
    idempotent=True,
    verbs=frozenset(Verb),
    wants=frozenset({"attempt", "billing_postal_code", "pattern", "voice_approval_code"}),
    test_values={
        **{number: f"declined: {response.value}" for number, response in _CARDS.items()},
        "000000000": "declined",
        **{
            number: f"approved; comes back after {each.after_days} days with {each.code}"
            for number, each in _RETURNS.items()
        },
        _REFUNDS_DECLINE: "approves, its refunds decline",
        _HALF: "approves half of the amount",
        _CHALLENGE: "approves, and is held by its fraud score",
        _UNPREPARED: "approves, but its reversals are not prepared",
        _SECOND_TIME: "approves, but not the first attempt of a recurring charge",
        _NOT_AGAIN: "approves, but stops recurring charges",
        **{number: f"scores {score}" for number, score in _SCORES.items()},
    },
    returns=_RETURNS,
    triggers={
        "amount_minor, its last five digits": {
            str(amount): f"declined: {response.value}" for amount, response in _AMOUNTS.items()
        },
        "card_cvv": {cvv: f"CVV result {result}; all others M" for cvv, result in _CVV.items()},
        "billing_postal_code": {
            code: f"AVS result {result}; all others Y" for code, result in _POSTAL_CODES.items()
        },
        "voice_approval_code": {
            "any": "approves whatever would decline, and is answered as the approval code"
        },
        "pattern": {"any": "an approval has a scheme transaction id"},
    },
    send=_send,
)
