"""Replies: what a connector answered, held against what it was asked.

A connector is somebody's plug-in, and money follows from what it says. So nothing is stored unless
every call has exactly one answer, in the contract's words, and nothing above what was asked for.
"""

from collections import Counter
from collections.abc import Iterable

import polars as pl

from paybatch.domain.connector import MAY_LACK, REPLY_SCHEMA, Connector, Response, Result
from paybatch.domain.few import FEW_ROWS, nulls

# An inline connector has no outside effect, so the effect of a call is known when it answers.
RESULTS = frozenset({Result.APPROVED.value, Result.DECLINED.value, Result.FAILED.value})


class ConnectorError(Exception):
    """A connector did not keep its contract; nothing of what it answered was stored."""

    def __init__(self, connector: Connector, fault: str) -> None:
        super().__init__(
            f"Connector {connector.name} {fault}. Nothing of this was stored: mend the connector."
        )


def check_inline(connector: Connector) -> None:
    """See that a connector has no outside effect: its calls are sent inside a transaction.

    Raises:
        ConnectorError: It has one; sent so, a crash would send its calls a second time.
    """
    if not connector.inline:
        raise ConnectorError(
            connector, "is not inline, and calls with an effect outside cannot be made yet"
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


def is_ours(calls: pl.DataFrame) -> pl.Series:
    """Tell which calls need no processor: no verb, unsent by kind, or refused by our lists."""
    ours = calls["verb"].is_null()
    if "unsent" in calls.columns:
        ours |= calls["unsent"].fill_null(value=False)
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
    asked = calls[["operation", "amount_minor"]]
    told = replies[["operation", "result", "approved_minor"]]
    if calls["operation"].equals(replies["operation"]):
        both = asked.hstack(told.get_columns()[1:])
    else:
        both = asked.join(told, on="operation", maintain_order="left")
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
