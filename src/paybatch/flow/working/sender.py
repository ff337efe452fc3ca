"""Sender: calls go to the connectors of their gates, and replies come back.

Inside a transaction only inline connectors are asked. A call to one that is really outside is
answered ``sending``: it goes out when the transaction is committed (``flow/sending``).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from paybatch import registry
from paybatch.domain.connector import LOOK_UP, REPLY_SCHEMA, Connector, Response, Result
from paybatch.domain.few import chosen, distinct, has_any, is_among, joined, nulls, where, without
from paybatch.domain.text import filled
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place, test_numbers
from paybatch.flow.working.parts import asked, whole
from paybatch.flow.working.replies import (
    answered_by_us,
    as_they_come,
    held,
    is_ours,
)
from paybatch.flow.working.verdicts import judged
from paybatch.store import numbers
from paybatch.store.directory import Gate
from paybatch.store.public_ids import Shape

_ENV = "env:"  # a setting that is read from the environment, and stands in no database


@dataclass(frozen=True)
class Sender:
    """Sends calls to the connectors of their gates."""

    engine: Engine
    place: Place

    def prepared(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Add what connectors are told of every call: ``operation``, ``key``, ``verb``, the gate.

        The key is made of the operation alone, so it is the same whenever the call is made again.
        """
        return self._keyed(self._asking(calls))

    def _asking(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Add ``operation`` and ``verb``; ``gate_id`` is that of the payment that is acted on."""
        if "payment_gate_id" in calls.columns:
            calls = calls.with_columns_seq(gate_id=pl.coalesce("payment_gate_id", "gate_id"))
        kinds = registry.kinds()
        verbs = {name: kinds[name].verb for name in distinct(calls["act"])}
        told = {name: str(verb) for name, verb in verbs.items() if verb is not None}
        told |= {name: LOOK_UP for name in verbs if kinds[name].asks}
        calls = calls.hstack([chosen(calls["act"], told, pl.String()).alias("verb")])
        if LOOK_UP in told.values():
            calls = calls.with_columns_seq(verb=self._asked_outside(calls))
        return calls.hstack([calls["id"].alias("operation")])

    def _keyed(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Add ``key``."""
        if self.place.has_outside:
            return self._with_public_keys(calls)
        return calls.with_columns_seq(key=filled("{}-1", "id"))

    def _asked_outside(self, calls: pl.DataFrame) -> pl.Expr:
        """Give the verbs of calls: with a connector that is inline nothing is looked up."""
        gates = distinct(calls["gate_id"])
        inline = [each for each in gates if self.place.connector(each).inline]
        is_ours = (pl.col("verb") == LOOK_UP) & pl.col("gate_id").is_in(inline)
        return pl.when(~is_ours).then("verb")

    def _with_public_keys(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Give calls keys that can be shown outside: their own, and that of their payment."""
        keys = [
            (self._named(calls[of]) + "-1").alias(name)
            for name, of in (("key", "id"), ("payment_key", "payment_id"))
        ]
        return without(calls, "key", "payment_key").hstack(keys)

    def send(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Send calls and gather the replies, one for each call.

        Raises:
            ConnectorError: An inline connector does not keep its contract.
        """
        calls = self._asking(calls)
        if any(self.place.connector(each).inline for each in distinct(calls["gate_id"])):
            calls = self._keyed(calls)  # the others get theirs when they are stored
        ours = is_ours(calls)
        if not ours.any():
            return judged(self.place, calls, joined(self._sent(calls)), self._sent)
        own, others = answered_by_us(calls.filter(ours)), calls.filter(~ours)
        return judged(self.place, calls, pl.concat([own, *self._sent(others)]), self._sent)

    def outward(self, calls: pl.DataFrame, since: datetime | None = None) -> Iterator[pl.DataFrame]:
        """Send calls that are ``prepared`` outside; give the replies as they come, one for each.

        Never inside a transaction. What a connector does not answer as it should is ``unknown``.
        ``since`` is when it was known last that the calls are ours to send: they leave until the
        connector's time-out after that, or not at all.
        """
        epoch = (since or self.engine.clock()).timestamp()
        calls = calls.hstack([pl.Series("_since", [epoch]).new_from_index(0, calls.height)])
        for gate_id in distinct(calls["gate_id"]):
            own = self._told(gate_id, where(calls, is_among(calls["gate_id"], [gate_id])))
            connector = self.place.connector(gate_id)
            for replies in as_they_come(connector, asked(own), connector.send):
                yield judged(self.place, own, whole(own, replies), self._again)

    def looked_up(self, calls: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Ask what became of calls that are ``prepared``, of connectors that can be asked."""
        for gate_id in distinct(calls["gate_id"]):
            own = self._told(gate_id, where(calls, is_among(calls["gate_id"], [gate_id])))
            connector = self.place.connector(gate_id)
            assert connector.look_up is not None
            again = self._again if connector.idempotent else self._found
            for replies in as_they_come(connector, asked(own), connector.look_up):
                yield judged(self.place, own, whole(own, replies), again)

    def _again(self, calls: pl.DataFrame) -> list[pl.DataFrame]:
        """Send calls that follow from replies, such as the reversal of a part.

        One that was not taken now may have been sent before, and had its effect: where it can be
        repeated it is ``unknown``.
        """
        found: list[pl.DataFrame] = []
        not_taken = pl.col("response").eq_missing(Response.NOT_TAKEN.value)
        for gate_id in distinct(calls["gate_id"]):
            own = self._told(gate_id, where(calls, is_among(calls["gate_id"], [gate_id])))
            connector = self.place.connector(gate_id)
            is_open = not_taken & pl.lit(connector.idempotent)
            result = pl.when(is_open).then(pl.lit(Result.UNKNOWN.value)).otherwise("result")
            told = as_they_come(connector, own, connector.send)
            found += [each.with_columns_seq(result=result) for each in told]
        return found

    def _found(self, calls: pl.DataFrame) -> list[pl.DataFrame]:
        """Ask what became of calls that follow from replies, where to repeat them is not safe.

        One that the processor does not know may be on its way: it is ``unknown``.
        """
        found: list[pl.DataFrame] = []
        absent = pl.col("response").eq_missing(Response.NOT_FOUND.value)
        result = pl.when(absent).then(pl.lit(Result.UNKNOWN.value)).otherwise("result")
        for gate_id in distinct(calls["gate_id"]):
            own = self._told(gate_id, where(calls, is_among(calls["gate_id"], [gate_id])))
            connector = self.place.connector(gate_id)
            assert connector.look_up is not None
            told = as_they_come(connector, own, connector.look_up)
            found += [each.with_columns_seq(result=result) for each in told]
        return found

    def _sent(self, calls: pl.DataFrame) -> list[pl.DataFrame]:
        """Send calls to the inline connectors of their gates; those of others are ``sending``."""
        gates = distinct(calls["gate_id"])
        replies = []
        for gate_id in gates:
            own = where(calls, is_among(calls["gate_id"], [gate_id])) if len(gates) > 1 else calls
            connector = self.place.connector(gate_id)
            if connector.inline:
                own = self._told(gate_id, own)
                told = asked(own)
                replies.append(whole(own, held(connector, told, connector.send(told))))
            else:
                replies.append(_sending(own))
        return replies

    def _told(self, gate_id: int, calls: pl.DataFrame) -> pl.DataFrame:
        """Add what the gate's connector is told: mode, settings, test values, numbers, time."""
        gate, connector = self.place.gate(gate_id), self.place.connector(gate_id)
        known = {"mode": gate.mode, **_settings(gate)}
        found = [
            pl.Series(name, [value]).new_from_index(0, calls.height)
            for name, value in known.items()
        ]
        values = self._test_numbers(gate_id)
        for name, column in (
            ("test_value", "number_id"),
            ("payment_test_value", "payment_number_id"),
        ):
            if column in calls.columns and has_any(calls[column], values):
                found.append(chosen(calls[column], values, pl.String()).alias(name))
            else:
                found += nulls([name], pl.String(), calls.height)
        calls = without(calls, *(each.name for each in found)).hstack(found)
        if "payment_currency" in calls.columns and calls["currency"].null_count():
            calls = calls.with_columns_seq(currency=pl.coalesce("currency", "payment_currency"))
        if connector.needs_number:
            calls = self._with_numbers(calls)
        return calls if connector.inline else self._until(connector, calls)

    def _until(self, connector: Connector, calls: pl.DataFrame) -> pl.DataFrame:
        """Say until when calls may leave: after that others may ask what became of them."""
        now = pl.Series([self.engine.clock().timestamp()]).new_from_index(0, calls.height)
        since = calls["_since"] if "_since" in calls.columns else now
        until = (since + connector.timeout_seconds).alias("send_before_epoch")
        return without(calls, "_since", "send_before_epoch").hstack([until])

    def _with_numbers(self, calls: pl.DataFrame) -> pl.DataFrame:
        """Decrypt the numbers of calls, for a connector that needs them."""
        wanted = calls.select_seq("merchant_id", "number_id").drop_nulls().unique()
        sealed = []
        with self.engine.database.transaction() as connection:
            for key, part in wanted.partition_by("merchant_id", as_dict=True).items():
                ids = part["number_id"].to_list()
                sealed.append(numbers.sealed_numbers(connection, int(key[0]), ids))
        if not sealed:
            return calls.with_columns_seq(number=pl.lit(None, pl.String))
        found = pl.concat(sealed)
        opened = self.engine.keys.open_numbers(found["sealed"], found["number_id"])
        known = dict(zip(found["number_id"], opened, strict=True))
        return calls.hstack([chosen(calls["number_id"], known, pl.String()).alias("number")])

    def _test_numbers(self, gate_id: int) -> dict[str, str]:
        """Give the fingerprints of the connector's test values; none on a live gate."""
        if self.place.gate(gate_id).mode != "test":
            return {}
        return test_numbers(self.engine, self.place.connector(gate_id))

    def _named(self, ids: pl.Series) -> pl.Series:
        """Give operations their public ids."""
        return self.engine.public_ids.encode(ids, "op", Shape.NATIVE)


def _sending(calls: pl.DataFrame) -> pl.DataFrame:
    told = {
        "operation": pl.col("operation"),
        "result": pl.lit(Result.SENDING.value),
        "approved_minor": pl.lit(0, pl.Int64),
    }
    return calls.select_seq(
        told.get(name, pl.lit(None, kind)).alias(name) for name, kind in REPLY_SCHEMA.items()
    )


def _settings(gate: Gate) -> dict[str, str]:
    """Give a gate's settings as columns of its calls; ``env:NAME`` stands for a secret."""
    return {
        f"setting_{name}": os.environ.get(value[len(_ENV) :], "")
        if value.startswith(_ENV)
        else value
        for name, value in gate.settings.items()
    }
