"""Asking: queries what became of payments, as rows and single calls make them.

What is unknown of a payment is looked up and settled first; then the processor is asked about the
call that made the payment. The query is settled on the payment as it stands after that, so its
result tells the status. It has no effect outside, so it is never unknown itself.
"""

import polars as pl

from paybatch.domain.connector import REPLY_SCHEMA, Response, Result
from paybatch.domain.few import distinct
from paybatch.flow.engine import Engine
from paybatch.flow.place import place_of_merchants
from paybatch.flow.sending.rebuilt import rebuilt
from paybatch.flow.sending.recover import GUARD, asked_about, conclude
from paybatch.flow.sending.retrying import retried, retrying
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.sender import Sender
from paybatch.store import attempts

_SAID = ("processor_code", "processor_text", "approval_code")
_FAILED = "the processor gave no clear answer"
_OPEN = "the processor was asked, and something of this payment is still unknown"


def asked(engine: Engine, queries: pl.DataFrame) -> pl.DataFrame:
    """Settle what is unknown of the payments of queries; give a reply to each query.

    Never inside a transaction.
    """
    retries = pl.col("act").is_in(retrying())
    found = [
        answers(engine, part)
        for answers, part in (
            (retried, queries.filter(retries)),
            (_asked, queries.filter(~retries)),
        )
        if not part.is_empty()
    ]
    return pl.concat(found)


def _asked(engine: Engine, queries: pl.DataFrame) -> pl.DataFrame:
    """Settle all that is unknown of payments, and ask about the calls that made them."""
    keys = queries.select_seq(KEY).unique().sort(KEY)
    now = engine.clock()
    with engine.database.transaction() as connection:
        taken = attempts.take_of_payments(connection, keys, now, until=now + GUARD)
        makers = attempts.makers(connection, keys)
    said = [pl.DataFrame(schema=REPLY_SCHEMA)]
    if not taken.is_empty():
        found = asked_about(engine, taken)
        conclude(engine, found)
        said.append(found.replies)
    if not makers.is_empty():
        said.append(_looked_up(engine, makers))
    with engine.database.transaction() as connection:
        doubts = attempts.unknown_payments(connection, keys)
    return _replies(queries, pl.concat(said, how="diagonal"), doubts)


def _looked_up(engine: Engine, makers: pl.DataFrame) -> pl.DataFrame:
    """Ask about calls that are known to us, where the processor can be asked."""
    place = place_of_merchants(engine, distinct(makers["merchant_id"]))
    calls = rebuilt(engine, place, makers)
    gates = distinct(calls["gate_id"])
    able = [each for each in gates if place.connector(each).look_up is not None]
    calls = calls.filter(pl.col("gate_id").is_in(able))
    told = list(Sender(engine, place).looked_up(calls)) if not calls.is_empty() else []
    return pl.concat([pl.DataFrame(schema=REPLY_SCHEMA), *told], how="diagonal")


def _replies(queries: pl.DataFrame, said: pl.DataFrame, doubts: pl.DataFrame) -> pl.DataFrame:
    """Give the replies to queries, from what was said of the calls that made their payments."""
    told = said.select_seq("result", "response", *_SAID, payment_id="operation")
    told = told.unique("payment_id", keep="last")
    open_ = doubts.with_columns_seq(is_open=pl.lit(value=True))
    rows = queries.select_seq("operation", *KEY)
    rows = rows.join(told, on="payment_id", how="left", maintain_order="left")
    rows = rows.join(open_, on=KEY, how="left", maintain_order="left")
    mute = pl.col("result").eq_missing(Result.UNKNOWN.value)
    mute &= pl.col("response").ne_missing(Response.PENDING.value)
    values = {
        "operation": pl.col("operation"),
        "result": pl.when(mute)
        .then(pl.lit(Result.FAILED.value))
        .otherwise(pl.lit(Result.APPROVED.value)),
        "approved_minor": pl.lit(0, pl.Int64),
        "response": pl.when(mute)
        .then(pl.lit(Response.NO_ANSWER.value))
        .otherwise(pl.lit(Response.APPROVED.value)),
        **{name: pl.col(name) for name in _SAID},
    }
    verdict = pl.when(mute).then(pl.lit(_FAILED)).when(pl.col("is_open")).then(pl.lit(_OPEN))
    return rows.select_seq(
        *(values.get(name, pl.lit(None, kind)).alias(name) for name, kind in REPLY_SCHEMA.items()),
        verdict_reason=pl.lit(None, pl.String),
        verdict=verdict,
    )
