"""Replies: what a connector answered, held against what it was asked.

A connector is somebody's plug-in, and money follows from what it says. So nothing is stored unless
every call has exactly one answer, in the contract's words, and nothing above what was asked for.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import polars as pl
import structlog

from paybatch.domain.connector import (
    MAY_LACK,
    OPTIONAL,
    REPLY_SCHEMA,
    Connector,
    Response,
    Result,
    Send,
)
from paybatch.domain.few import FEW_ROWS, beside, is_among, nulls, where
from paybatch.domain.masking import mask_text

KNOWN = frozenset({Result.APPROVED.value, Result.DECLINED.value, Result.FAILED.value})
RESULTS = KNOWN | {Result.UNKNOWN.value}
OUTSIDE = pl.Schema({**REPLY_SCHEMA, **OPTIONAL})
_log = structlog.get_logger(__name__)


class ConnectorError(Exception):
    """A connector did not keep its contract; nothing of what it answered was stored."""

    def __init__(self, connector: Connector, fault: str) -> None:
        super().__init__(
            f"Connector {connector.name} {fault}. Nothing of this was stored: mend the connector."
        )


def held(
    connector: Connector, calls: pl.DataFrame, replies: Iterable[pl.DataFrame]
) -> pl.DataFrame:
    """Give a connector's replies to these calls as one table, shaped as ``REPLY_SCHEMA``.

    Raises:
        ConnectorError: They are not the answers to these calls.
    """
    tables = [_as_declared(connector, each) for each in replies]
    table = tables[0] if len(tables) == 1 else pl.concat([REPLY_SCHEMA.to_frame(), *tables])
    _check_answered(connector, calls["operation"], table["operation"])
    _check_results(connector, table["result"])
    _check_amounts(connector, calls, table)
    return table


def as_they_come(connector: Connector, calls: pl.DataFrame, send: Send) -> Iterator[pl.DataFrame]:
    """Send calls outside, and give the replies in groups as they come, each call's once.

    What is not an answer as the contract wants it, or none at all, is ``unknown``: money may have
    moved, so it is asked about, and nothing is lost.
    """
    left = calls
    try:
        for table in send(calls):
            told = _believed(left, _with_optional(connector, table))
            left = where(left, ~is_among(left["operation"], told["operation"]))
            if not told.is_empty():
                yield told
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, its calls may be done
        said = mask_text(str(error).partition("\n")[0])
        _log.error("no answer", connector=connector.name, error=type(error).__name__, said=said)
    if not left.is_empty():
        yield no_answer(left)


def _believed(calls: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """Give the replies that are the one answer to a call, as the contract wants it."""
    if told.height > 1:
        told = told.unique("operation", keep="none", maintain_order=True)
    asked = where(calls, is_among(calls["operation"], told["operation"]))
    told = beside(asked[["operation"]], told, "operation", "operation")
    told = where(told, is_among(told["result"], RESULTS))
    if told.height <= FEW_ROWS:
        allowed = [_is_allowed(*row[1:]) for row in _pairs(asked, told).iter_rows()]
        return where(told, pl.Series(allowed, dtype=pl.Boolean))
    return told.filter(~_pairs(asked, told).select_seq(_is_wrong()).to_series())


def no_answer(calls: pl.DataFrame) -> pl.DataFrame:
    """Give ``unknown`` as the reply to each of these calls."""
    told = {
        "operation": pl.col("operation"),
        "result": pl.lit(Result.UNKNOWN.value),
        "approved_minor": pl.lit(0, pl.Int64),
    }
    return calls.select_seq(
        told.get(name, pl.lit(None, kind)).alias(name) for name, kind in OUTSIDE.items()
    )


def not_taken(calls: pl.DataFrame, why: str) -> pl.DataFrame:
    """Give ``failed`` as the reply to calls that did not leave the house."""
    told = {"result": Result.FAILED.value, "response": Response.NOT_TAKEN.value}
    told |= {"processor_text": f"not sent: {why}"}
    return no_answer(calls).with_columns_seq(pl.lit(v).alias(k) for k, v in told.items())


def is_ours(calls: pl.DataFrame) -> pl.Series:
    """Tell which calls need no processor: no verb, done with us, or refused by our lists."""
    ours = calls["verb"].is_null()
    if "unsent" in calls.columns:
        ours |= calls["unsent"].fill_null(value=False)
    if "closed_minor" in calls.columns:
        ours |= (calls["closed_minor"] >= calls["amount_minor"]).fill_null(value=False)
    return ours | calls["filtered_by"].is_not_null() if "filtered_by" in calls.columns else ours


def answered_by_us(calls: pl.DataFrame) -> pl.DataFrame:
    """Answer calls that need no processor: they are done, or refused where a list says so."""
    done = pl.lit(value=True)
    if "filtered_by" in calls.columns:
        done = pl.col("filtered_by").is_null()
    approved, rejected = pl.lit(Result.APPROVED.value), pl.lit(Result.REJECTED.value)
    told = {
        "operation": pl.col("operation"),
        "result": pl.when(done).then(approved).otherwise(rejected),
        "approved_minor": pl.when(done).then(pl.col("amount_minor").fill_null(0)).otherwise(0),
        "response": pl.when(done).then(pl.lit(Response.APPROVED.value)),
    }
    return calls.select_seq(
        told.get(name, pl.lit(None, kind)).alias(name) for name, kind in REPLY_SCHEMA.items()
    )


def _with_optional(connector: Connector, table: pl.DataFrame) -> pl.DataFrame:
    """Give replies from outside as declared, with the columns that they may have beside."""
    more = [
        table[name].cast(kind, strict=False) if name in table.columns else empty
        for name, kind in OPTIONAL.items()
        for empty in nulls([name], kind, table.height)
    ]
    return _as_declared(connector, table).hstack(more)


def _as_declared(connector: Connector, table: pl.DataFrame) -> pl.DataFrame:
    """Give a table of replies the columns and types of the contract."""
    if table.schema == REPLY_SCHEMA:
        return table
    for name in MAY_LACK:
        if name not in table.columns:
            table = table.hstack(nulls([name], REPLY_SCHEMA[name], table.height))
    wrong = [
        name
        for name, kind in REPLY_SCHEMA.items()
        if name not in table.columns or (kind == pl.Int64 and not _is_whole(table.schema[name]))
    ]
    if wrong:
        names = ", ".join(wrong)
        raise ConnectorError(connector, f"answered without columns of its contract: {names}")
    return table.select_seq(
        pl.col(name).cast(kind, strict=False) for name, kind in REPLY_SCHEMA.items()
    )


def _is_whole(kind: pl.DataType) -> bool:
    return kind.is_integer() or kind == pl.Null


def _check_answered(connector: Connector, asked: pl.Series, answered: pl.Series) -> None:
    """See that each call has its answer, once, and that nothing else was answered."""
    if asked.equals(answered) or asked.sort().equals(answered.sort()):
        return
    wanted, found = set(asked), Counter(answered)
    missing = len(wanted - found.keys())
    strange = len(found.keys() - wanted)
    repeated = sum(count > 1 for count in found.values())
    raise ConnectorError(
        connector,
        f"was asked {len(wanted):,} calls and left {missing:,} without an answer, answered "
        f"{repeated:,} more than once and {strange:,} that nobody asked",
    )


def _check_results(connector: Connector, results: pl.Series) -> None:
    found = set(results.unique() if len(results) > FEW_ROWS else results)
    if not found <= RESULTS:
        wrong = ", ".join(sorted(str(each) for each in found - RESULTS))
        raise ConnectorError(
            connector, f"answered with the result {wrong}; allowed: {', '.join(sorted(RESULTS))}"
        )


def _check_amounts(connector: Connector, calls: pl.DataFrame, replies: pl.DataFrame) -> None:
    """See that an approval is of something, and of no more than was asked; a check is of nothing.

    What is not approved has no approved amount, whatever a connector says of it.
    """
    both = _pairs(calls, replies)
    if both.height <= FEW_ROWS:
        wrong = [row for row in both.iter_rows() if not _is_allowed(*row[1:])]
    else:
        wrong = both.filter(_is_wrong()).rows()
    if wrong:
        _, amount, _, approved = wrong[0]
        raise ConnectorError(
            connector,
            f"approved {approved or 'no'} minor units where {amount} were asked for"
            + (f", and {len(wrong) - 1:,} calls more like it" if len(wrong) > 1 else ""),
        )


def _pairs(calls: pl.DataFrame, replies: pl.DataFrame) -> pl.DataFrame:
    """Give what was asked for beside what was approved, in the order of the calls."""
    asked = calls[["operation", "amount_minor"]]
    told = replies[["operation", "result", "approved_minor"]]
    return beside(asked, told, "operation", "operation")


def _is_allowed(amount: int | None, result: str, approved: int | None) -> bool:
    if result != Result.APPROVED:
        return True
    least = 1 if amount else 0
    return least <= (approved or 0) <= (amount or 0)


def _is_wrong() -> pl.Expr:
    amount = pl.col("amount_minor").fill_null(0)
    least = (amount > 0).cast(pl.Int64)
    is_allowed = pl.col("approved_minor").fill_null(0).is_between(least, amount)
    return (pl.col("result") == Result.APPROVED.value) & ~is_allowed
