"""Disputing: which dispute of its payment each row means, while a chunk is worked.

Rows about disputes are few: they are looked at one by one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.disputes import Dispute, InDispute, meant
from paybatch.domain.few import chosen, nulls
from paybatch.domain.reasons import Reason
from paybatch.flow.working.changes import KEY
from paybatch.store import disputes
from paybatch.store.database import Connection, Row
from paybatch.store.disputes import PaymentKey


@cache
def in_dispute() -> dict[str, InDispute]:
    """Give how kinds take part in disputes, by their names."""
    kinds = registry.kinds().items()
    return {name: kind.in_dispute for name, kind in kinds if kind.in_dispute is not None}


@dataclass
class Disputes:
    """The disputes of the payments of a chunk, as they stand."""

    connection: Connection[Row]
    _known: dict[PaymentKey, list[Dispute]] = field(default_factory=dict)
    _answered: set[tuple[int, str, str]] = field(default_factory=set)
    _asked: set[tuple[int, str]] = field(default_factory=set)

    def admit(self, calls: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Give the calls with the id of their ``dispute``, and those that are refused."""
        own = calls.filter(pl.col("act").is_in(list(in_dispute()))).sort("id")
        if own.is_empty():
            return calls, calls.clear()
        self._read(own)
        if "dispute" not in calls.columns:
            calls = calls.hstack(nulls(["dispute"], pl.String(), calls.height))
        ids: dict[int, str | None] = {}
        amounts: dict[int, int] = {}
        reasons: dict[int, str] = {}
        for row in own.iter_rows(named=True):
            found = self._found(row)
            if isinstance(found, Reason):
                reasons[row["id"]] = found.value
                ids[row["id"]] = row.get("dispute") or row.get("arn")
                continue
            ids[row["id"]], amounts[row["id"]] = found
        refused = chosen(calls["id"], reasons, pl.String()).alias("refusal")
        named = calls.with_columns_seq(
            pl.coalesce(chosen(calls["id"], ids, pl.String()), "dispute").alias("dispute"),
            pl.coalesce(chosen(calls["id"], amounts, pl.Int64()), "amount_minor").alias(
                "amount_minor"
            ),
        )
        is_refused = refused.is_not_null()
        return named.filter(~is_refused), named.with_columns(refused).filter(is_refused)

    def _read(self, own: pl.DataFrame) -> None:
        """Read the disputes of payments, and what was told of alerts, that are not known yet."""
        keys = sorted(set(own.select_seq(KEY).iter_rows()) - self._known.keys())
        found = disputes.disputes_of_payments(self.connection, keys) if keys else {}
        self._known |= {key: found.get(key, []) for key in keys}
        alerts: set[tuple[int, str]] = set()
        for name, part in in_dispute().items():
            if part.once is not None and part.by in own.columns:
                told = own.filter(pl.col("act") == name).select_seq("merchant_id", part.by)
                alerts |= set(told.drop_nulls().iter_rows())
        if new := sorted(alerts - self._asked):
            self._answered |= disputes.answered_alerts(self.connection, new)
            self._asked |= set(new)

    def _found(self, row: Mapping[str, Any]) -> tuple[str, int] | Reason:
        """Give the id of the dispute that a row means, and the amount that the row is about."""
        part, known = in_dispute()[row["act"]], self._known[row["merchant_id"], row["payment_id"]]
        named, arn, amount = row.get(part.by), row.get("arn"), row["amount_minor"] or 0
        if part.once is not None:
            answer = (row["merchant_id"], str(named), str(row[part.once]))
            if answer in self._answered:
                return Reason.ALERT_ANSWERED
            self._answered.add(answer)
            disputes.keep_answer(self.connection, answer, row["id"])
        found = meant(known, named, arn, opens=part.opens)
        if isinstance(found, Reason):
            return found
        if part.adds < 0 and amount > found.open_minor:
            if row["requested_minor"] is not None or found.open_minor <= 0:
                return Reason.AMOUNT_ABOVE_LEFT
            amount = found.open_minor
        if found not in known:
            known.append(found)
        found.open_minor += part.adds * amount
        found.arns |= {arn} if arn else set()
        return found.id, amount
