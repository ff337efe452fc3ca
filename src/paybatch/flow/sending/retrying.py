"""Retrying: reversals without an answer are looked up at once, and sent again where that is safe.

It is what the schedule does (`recover`), for some payments and now. The reply to a retry tells
what became of the reversals; it is ``failed`` while one of them is still not known.
"""

import polars as pl

from paybatch import registry
from paybatch.domain.connector import REPLY_SCHEMA, Response, Result, Verb
from paybatch.domain.few import distinct
from paybatch.flow.engine import Engine
from paybatch.flow.sending.recover import GUARD, asked_about, conclude
from paybatch.flow.working.changes import KEY
from paybatch.store import attempts

_NOTHING = "no reversal is unknown now: it is under way, or asked about by somebody else"
_REVERSAL = ("the reversal", "the reversal was done")
# What is asked of the processor -> what we call it, what is said when it was done.
_STEPS: dict[Verb | None, tuple[str, str]] = {
    Verb.PREPARE_REVERSAL: (
        "the preparation of a reversal",
        "the reversal was prepared, it is not done yet",
    ),
    Verb.WITHDRAW_REVERSAL: (
        "the withdrawal of a prepared reversal",
        "the prepared reversal was withdrawn",
    ),
}
_DECLINED = "{} was declined: send a new one"
_FAILED = "{} had no effect: send a new one"
_UNKNOWN = "the processor does not tell what became of {}: it is asked again"
_PERSON = (
    "the processor can neither be asked nor sent it again: a person decides "
    "(paybatch unknown decide)"
)
_OPEN = ("unknown", "person")


def retrying() -> list[str]:
    """Name the kinds that ask about reversals only."""
    return [kind.name for kind in registry.kinds().values() if kind.retries]


def retried(engine: Engine, retries: pl.DataFrame) -> pl.DataFrame:
    """Settle what is unknown of the reversals of payments; give a reply to each retry.

    Never inside a transaction.
    """
    keys, now = retries.select_seq(KEY).unique().sort(KEY), engine.clock()
    acts = [kind.name for kind in registry.kinds().values() if kind.reverses]
    with engine.database.transaction() as connection:
        taken = attempts.take_of_payments(connection, keys, now, until=now + GUARD, acts=acts)
    if not taken.is_empty():
        conclude(engine, asked_about(engine, taken))
    with engine.database.transaction() as connection:
        named = taken.select_seq("merchant_id", id="operation_id")
        states = attempts.standing(connection, named)
    stand = taken.select_seq("operation_id", "act", *KEY)
    stand = stand.join(states, on=["merchant_id", "operation_id"])
    return _replies(retries, stand)


def _said(stand: pl.DataFrame) -> pl.Expr:
    """Say how each reversal (``act``) stands (``state``)."""
    said = pl.lit(None, pl.String)
    for act in distinct(stand["act"]):
        what, done = _STEPS.get(registry.kinds()[act].verb, _REVERSAL)
        told = {
            "approved": done,
            "declined": _DECLINED.format(what),
            "failed": _FAILED.format(what),
            "person": _PERSON,
        }
        words = pl.col("state").replace_strict(
            told, default=_UNKNOWN.format(what), return_dtype=pl.String
        )
        said = pl.when(pl.col("act") == act).then(words).otherwise(said)
    return said


def _replies(retries: pl.DataFrame, stand: pl.DataFrame) -> pl.DataFrame:
    """Give the replies to retries, from how the reversals of their payments stand now."""
    said = _said(stand)
    told = (
        stand.sort("operation_id")
        .group_by(KEY, maintain_order=True)
        .agg(said=said.unique(maintain_order=True), is_open=pl.col("state").is_in(_OPEN).any())
    )
    rows = retries.select_seq("operation", *KEY)
    rows = rows.join(told, on=KEY, how="left", maintain_order="left")
    is_known = ~pl.col("is_open").fill_null(value=True)
    values = {
        "operation": pl.col("operation"),
        "result": pl.when(is_known)
        .then(pl.lit(Result.APPROVED.value))
        .otherwise(pl.lit(Result.FAILED.value)),
        "approved_minor": pl.lit(0, pl.Int64),
        "response": pl.when(is_known).then(pl.lit(Response.APPROVED.value)),
    }
    return rows.select_seq(
        *(values.get(name, pl.lit(None, kind)).alias(name) for name, kind in REPLY_SCHEMA.items()),
        verdict_reason=pl.lit(None, pl.String),
        verdict=pl.coalesce(pl.col("said").list.join("; "), pl.lit(_NOTHING)),
    )
