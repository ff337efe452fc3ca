"""Sandbox http: speaks to ``paybatch sandbox``, a processor in a process of its own.

It is the model of a connector with an effect outside: what a call looks like, what an answer
means, and where a key is looked up. How calls travel, and what is unknown when they get lost, is
`paybatch.outside`'s. The test cards are those of the connector sandbox, and 4000000000000259,
which is pending for a while, and 4000000000000374, whose reversals are.

Source: the sandbox's own manual, docs/sandbox.md.
"""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import msgspec
import polars as pl

from paybatch.domain.connector import SETTLED_SCHEMA, Connector, Response, Result, Verb
from paybatch.outside import Call, Came, Line, NoAnswerError, Reply, no_effect, unknown

_MAKES = ["sale", "authorize", "verify", "credit", "debit"]  # these make a payment of their own
_REUSED = "94"
_RESPONSES = {
    "00": Response.APPROVED,
    "05": Response.DECLINED,
    "10": Response.PARTIALLY_APPROVED,
    "11": Response.CHALLENGED,
    "12": Response.INVALID_TRANSACTION,
    "13": Response.INVALID_AMOUNT,
    "41": Response.LOST_CARD,
    "43": Response.STOLEN_CARD,
    "51": Response.INSUFFICIENT_FUNDS,
    "54": Response.EXPIRED_CARD,
    "57": Response.DO_NOT_HONOR,
    "61": Response.LIMIT_EXCEEDED,
    "96": Response.PROCESSOR_ERROR,
}
_LINE = Line("sandbox_http", calls_in_flight=500, timeout_seconds=30.0)


class _Answer(msgspec.Struct):
    """What the sandbox answers; an answer of another form is not believed."""

    key: str
    status: str
    code: str
    text: str
    approved_minor: int
    approval_code: str | None
    avs: str | None
    cvv: str | None
    score: int | None


_read = msgspec.json.Decoder(_Answer).decode


def _wire() -> list[pl.Expr]:
    """Give what we need of a call ourselves, and its body as the sandbox reads it."""
    own = pl.col("verb").is_in(_MAKES) | pl.col("payment_key").is_null()
    amount = pl.col("amount_minor").fill_null(0)
    body = pl.struct(
        pl.col("key", "verb", "currency", "cvv", "bank_code"),
        amount,
        pl.when(own).then("key").otherwise("payment_key").alias("payment"),
        pl.coalesce("test_value", "payment_test_value", "masked").alias("card"),
        pl.col("billing_postal_code").alias("postal_code"),
        pl.col("voice_approval_code").alias("approval_code"),
    ).struct.json_encode()
    url = pl.col("setting_url").str.strip_chars_end("/") + "/calls"
    return [
        pl.col("operation", "key", "send_before_epoch"),
        amount,
        url.alias("url"),
        body.alias("body"),
    ]


def _send(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return _LINE.ask_all(_posted, calls.select_seq(_wire()), looks_up=False)


def _look_up(calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return _LINE.ask_all(_asked, calls.select_seq(_wire()), looks_up=True)


async def _posted(call: Call) -> Reply:
    """Send one call; what is refused as a request (4xx) had no effect."""
    came = await _LINE.post(call["url"], call["body"])
    if came.status == HTTPStatus.OK:
        return _answered(call, came)
    if came.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
        text, code = "the request was refused", str(came.status)
        return no_effect(call, Response.INVALID_TRANSACTION, text, code)
    raise NoAnswerError("an answer that is not known", str(came.status))


async def _asked(call: Call) -> Reply:
    """Ask what became of one key."""
    came = await _LINE.get(f"{call['url']}/{quote(call['key'], safe='')}")
    if came.status == HTTPStatus.OK:
        return _answered(call, came)
    # That the key is missing, and not the page, is said in the body.
    if came.status == HTTPStatus.NOT_FOUND and came.body == b'{"error":"not_found"}':
        return no_effect(call, Response.NOT_FOUND, "the key is not known", "404")
    raise NoAnswerError("it was not said what became of the key", str(came.status))


def _answered(call: Call, came: Came) -> Reply:
    """Give the reply that an answer makes; one that is not about our call is not believed."""
    try:
        told = _read(came.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NoAnswerError("the answer cannot be read") from error
    if told.key != call["key"] or told.approved_minor > call["amount_minor"]:
        raise NoAnswerError("the answer is not about this call", told.code)
    if told.status not in {"approved", "declined"}:
        return unknown(call, told.text, told.code, Response.PENDING)
    if told.code == _REUSED:  # the key was taken with other values, which is a fault of ours
        return no_effect(call, Response.DUPLICATE, told.text, told.code)
    result = Result.APPROVED if told.status == "approved" else Result.DECLINED
    response = _RESPONSES.get(told.code, Response.DECLINED)
    said = (told.code, told.text, told.approval_code)
    how = (*said, told.avs, told.cvv, told.score, None, None)
    return (call["operation"], result, told.approved_minor, response, *how)


def _read_settlement(path: Path) -> pl.LazyFrame:
    """Read the file of a settlement, in CSV; docs/sandbox.md has its columns."""
    lines = pl.scan_csv(path, infer_schema=False)
    return lines.select(pl.col(name).cast(kind) for name, kind in SETTLED_SCHEMA.items())


CONNECTOR = Connector(
    name="sandbox_http",
    title="Sandbox outside",
    inline=False,
    idempotent=True,
    verbs=frozenset(Verb),
    wants=frozenset({"billing_postal_code", "voice_approval_code"}),
    test_values={
        "4000000000000002": "declined",
        "4000000000009995": "insufficient_funds",
        "4000000000009987": "lost_card",
        "4000000000009979": "stolen_card",
        "4000000000000069": "expired_card",
        "4000000000000010": "approves, its refunds decline",
        "4000000000000051": "approves half of the amount",
        "4000000000000119": "approves, and is held by its fraud score",
        "4000000000000259": "pending, approved later",
        "4000000000000366": "approves, its reversals are not prepared",
        "4000000000000374": "approves, its reversals are pending, approved later",
        "4000000000000127": "scores 95",
        "4000000000000135": "scores 50",
        "000000000": "decline",
        "000000001": "approve, returned later",
    },
    settings={"url": "the sandbox's address, such as http://127.0.0.1:8085"},
    calls_in_flight=_LINE.calls_in_flight,
    timeout_seconds=_LINE.timeout_seconds,
    send=_send,
    look_up=_look_up,
    read_settlement=_read_settlement,
)
