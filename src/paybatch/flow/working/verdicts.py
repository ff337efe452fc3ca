"""Verdicts: what we make of a processor's answer, where the row or its kind has a say in it.

A part that was approved where the row allows none is reversed at once, and the row is declined.
While nobody knows whether it was reversed, nobody knows what became of the row. A row that is
forced is done with us also when the processor declines. Replies of such rows come with
``verdict_reason`` and ``verdict``, which the outcome tells.
"""

from collections.abc import Callable

import polars as pl

from paybatch import registry
from paybatch.domain.connector import Result, Verb
from paybatch.domain.few import distinct, has_any, joined
from paybatch.domain.reasons import Reason
from paybatch.domain.text import filled
from paybatch.flow.place import Place

Send = Callable[[pl.DataFrame], list[pl.DataFrame]]

REVERSAL = "-reversal"  # behind the key of a call: the reversal of a part of it
_APPROVED, _DECLINED = pl.lit(Result.APPROVED.value), pl.lit(Result.DECLINED.value)
_UNKNOWN = pl.lit(Result.UNKNOWN.value)
_ROLLS_OFF = (
    "the processor approved a part only and the row allows none; this brand takes no reversal: "
    "the hold of the part rolls off by itself"
)
_STANDS = (
    "the processor approved a part only and did not reverse it, though the row allows none: "
    "the part stands; void or refund it"
)
_FORCED = "the processor declined ({}); it is done with us, as the row demands"


def judged(place: Place, calls: pl.DataFrame, replies: pl.DataFrame, send: Send) -> pl.DataFrame:
    """Give the replies as they count for us; ``send`` takes reversals to their connectors.

    ``calls`` have ``operation``, ``act`` and ``verb``; replies of others stay as they are.
    """
    forced = [name for name in distinct(calls["act"]) if registry.kinds()[name].forced is not None]
    if forced:
        replies = _forced(calls, replies, forced)
    if "partial_approval" in calls.columns and has_any(calls["partial_approval"], ["not_allowed"]):
        replies = _without_parts(place, calls, replies, send)
    return replies


def told(rows: pl.DataFrame) -> pl.DataFrame:
    """Put verdicts, where there are any, into the ``reason`` and ``message`` of settled rows."""
    if "verdict" not in rows.columns:
        return rows
    return rows.with_columns_seq(
        reason=pl.coalesce("verdict_reason", "reason"), message=pl.coalesce("verdict", "message")
    )


def _forced(calls: pl.DataFrame, replies: pl.DataFrame, kinds: list[str]) -> pl.DataFrame:
    """Take what the processor declined as done, where the row demands it."""
    if replies["result"].eq(Result.APPROVED.value).all():
        return replies
    tests = [
        (pl.col("act") == name) & test
        for name in kinds
        if (test := registry.kinds()[name].forced) is not None
    ]
    demanded = calls.filter(pl.any_horizontal(tests)).select_seq("operation", "amount_minor")
    lost = replies.filter(pl.col("result") == Result.DECLINED.value)
    found = lost.join(demanded, on="operation", maintain_order="left")
    said = pl.concat_str("processor_code", "processor_text", separator=" ", ignore_nulls=True)
    verdicts = found.select_seq(
        "operation",
        judged_result=_APPROVED,
        judged_minor="amount_minor",
        verdict_reason=pl.lit(None, pl.String),
        verdict=filled(_FORCED, said),
    )
    return _with(replies, verdicts)


def _without_parts(
    place: Place, calls: pl.DataFrame, replies: pl.DataFrame, send: Send
) -> pl.DataFrame:
    """Reverse what was approved in part where the row allows none."""
    strict = calls.filter(pl.col("partial_approval") == "not_allowed")
    answers = replies.filter(pl.col("result") == Result.APPROVED.value)
    answers = answers.select_seq("operation", part="approved_minor")
    parts = strict.join(answers, on="operation", maintain_order="left")
    parts = parts.filter(pl.col("part") < pl.col("amount_minor"))
    if parts.is_empty():
        return replies
    rolls_off = parts.select_seq(_is_irreversible(place, parts)).to_series()
    left, reversible = parts.filter(rolls_off), parts.filter(~rolls_off)
    told = [_verdicts(left, pl.lit(0), pl.lit(_ROLLS_OFF))]
    if not reversible.is_empty():
        told.append(_reversed(place, reversible, send))
    return _with(replies, pl.concat(told))


def _is_irreversible(place: Place, parts: pl.DataFrame) -> pl.Expr:
    """Tell which parts are holds of a brand whose authorizations the gate does not reverse."""
    hits = [
        (pl.col("gate_id") == gate_id)
        & pl.col("brand").is_in(sorted(place.capabilities(gate_id).no_reversal_brands))
        for gate_id in distinct(parts["gate_id"])
    ]
    holds = pl.col("verb") == Verb.AUTHORIZE.value
    return holds & pl.any_horizontal(hits).fill_null(value=False)


def _reversed(place: Place, parts: pl.DataFrame, send: Send) -> pl.DataFrame:
    """Ask for the reversal of parts; give the verdicts on their rows.

    The key is made of the call's own, so a reversal that is asked for again is the same one.
    """
    able = [
        gate_id
        for gate_id in distinct(parts["gate_id"])
        if Verb.VOID in place.connector(gate_id).verbs
    ]
    voids = parts.filter(pl.col("gate_id").is_in(able)).with_columns_seq(
        amount_minor="part",
        verb=pl.lit(Verb.VOID.value),
        key=filled(f"{{}}{REVERSAL}", "key"),
        payment_key="key",
        cvv=pl.lit(None, pl.String),
        payment_id="operation",
        payment_number_id="number_id",
    )
    message = pl.lit(Reason.PARTIAL_NOT_ALLOWED.sentence)
    answers = [
        each.select_seq("operation", undone="approved_minor", said="result")
        for each in (send(voids) if able else [])
    ]
    if not answers:
        return _verdicts(parts, pl.col("part"), message)
    parts = parts.join(joined(answers), on="operation", how="left", maintain_order="left")
    is_lost = pl.col("said").eq_missing(Result.UNKNOWN.value)
    undone = pl.when(pl.col("said") == Result.APPROVED.value).then("undone").otherwise(0)
    known = _verdicts(parts.filter(~is_lost), pl.col("part") - undone, message)
    return pl.concat([known, _unknown(parts.filter(is_lost))])


def _unknown(parts: pl.DataFrame) -> pl.DataFrame:
    """Give the verdicts on parts of which nobody knows whether they were reversed."""
    none = pl.lit(None, pl.String)
    return parts.select_seq(
        "operation",
        judged_result=_UNKNOWN,
        judged_minor=pl.lit(0, pl.Int64),
        verdict_reason=none,
        verdict=none,
    )


def _verdicts(parts: pl.DataFrame, rest: pl.Expr, message: pl.Expr) -> pl.DataFrame:
    """Give the verdicts on parts of which ``rest`` stands; nothing = the row is declined."""
    is_gone = rest == 0
    return parts.select_seq(
        "operation",
        judged_result=pl.when(is_gone).then(_DECLINED).otherwise(_APPROVED),
        judged_minor=rest.cast(pl.Int64),
        verdict_reason=pl.when(is_gone).then(pl.lit(Reason.PARTIAL_NOT_ALLOWED.value)),
        verdict=pl.when(is_gone).then(message).otherwise(pl.lit(_STANDS)),
    )


def _with(replies: pl.DataFrame, verdicts: pl.DataFrame) -> pl.DataFrame:
    """Give replies with the verdicts on some of them."""
    if verdicts.is_empty():
        return replies
    earlier = [name for name in ("verdict_reason", "verdict") if name in replies.columns]
    both = replies.join(verdicts, on="operation", how="left", maintain_order="left", suffix="_new")
    told = [pl.coalesce(f"{name}_new", name).alias(name) for name in earlier]
    return both.with_columns_seq(
        *told,
        result=pl.coalesce("judged_result", "result"),
        approved_minor=pl.coalesce("judged_minor", "approved_minor"),
        # What was reversed is approved no more.
        approval_code=pl.when(
            (pl.col("judged_result") == Result.DECLINED.value).fill_null(value=False)
        )
        .then(None)
        .otherwise("approval_code"),
    ).drop("judged_result", "judged_minor", *(f"{name}_new" for name in earlier))
