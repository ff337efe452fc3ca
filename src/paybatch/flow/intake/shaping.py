"""Operations: checked rows become rows of table ``operation``, with their ids.

The same for rows of a file and for single calls: the id is made from the number of the batch, or
of the block of ids that single calls use, and the line in it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from paybatch.domain import columns
from paybatch.domain.few import distinct
from paybatch.domain.fields import Field
from paybatch.domain.reasons import Reason
from paybatch.flow import vault
from paybatch.flow.describe import ERRORS
from paybatch.flow.engine import Engine
from paybatch.flow.intake.check import Checked
from paybatch.flow.intake.sources import share
from paybatch.flow.texts import NUMBERS
from paybatch.flow.working import details
from paybatch.flow.working.settle import ended
from paybatch.store import idempotency, operations
from paybatch.store.database import Connection, Row
from paybatch.store.public_ids import Shape


@dataclass(frozen=True)
class Origin:
    """Where rows come from: ``number`` is a batch or a block of ids, ``face`` a scope of keys."""

    engine: Engine
    number: int
    sender_id: int
    now: datetime
    face: str


def vault_rows(engine: Engine, checked: Checked) -> pl.DataFrame:
    """Put numbers into the vault; what is not a number that can be right is dropped.

    Sound numbers of refused rows are kept too: their results carry a card reference, so that the
    rows can be put right and sent again.
    """
    share(engine, checked.values)
    if not checked.values["reason"].count():
        return vault.keep_numbers(engine, checked.values)
    bad = checked.values.filter(pl.col("reason").is_not_null())
    alone = pl.sum_horizontal(pl.col(each).is_not_null() for each in NUMBERS) <= 1
    known = alone & pl.col("merchant_id").is_not_null()
    routing_is_right = pl.col("routing_number").is_not_null() & ~pl.col("routing_fails")
    sound = {
        "card_number": _has_form(columns.CARD_NUMBER) & ~pl.col("number_fails"),
        "account_number": _has_form(columns.ACCOUNT_NUMBER) & routing_is_right,
        "iban": _has_form(columns.IBAN),
    }
    kept = bad.with_columns_seq(
        pl.when(known & is_sound).then(name).alias(name) for name, is_sound in sound.items()
    )
    rows = vault.keep_numbers(engine, pl.concat([checked.accepted, kept]).sort("line"))
    return rows.with_columns_seq(masked=pl.when(pl.col("number_id").is_not_null()).then("masked"))


def _has_form(field: Field) -> pl.Expr:
    """Tell which cells of a field's column have the form of its type."""
    return ~pl.any_horizontal(test(pl.col(field.name)) for _, test in field.type.faults)


def shaped(origin: Origin, values: pl.DataFrame) -> pl.DataFrame:
    """Give the columns of table ``operation``, and beside them reason, message and secrets."""
    first = operations.operation_id(origin.number, 0)
    return values.with_columns_seq(
        id=pl.col("line") + first,
        batch_id=pl.lit(origin.number),
        sender_id=pl.lit(origin.sender_id),
        kind=pl.col("kind").fill_null("unknown"),
        merchant_id=pl.col("merchant_id").fill_null(0),
        gate_id=pl.col("gate_id").fill_null(0),
        accepted=pl.col("reason").is_null(),
        payment_reference=pl.when(pl.col("payment_id").is_null()).then("payment"),
        amount_minor=pl.col("requested_minor"),
        currency=pl.col("currency_code").str.slice(0, 3),
        tax_minor=pl.col("tax_minor_value"),
        surcharge_minor=pl.col("surcharge_minor_value"),
        tip_minor=pl.col("tip_minor_value"),
        shipping_minor=pl.col("shipping_minor_value"),
        bank_code=pl.when(pl.col("brand") == "bank").then(
            pl.coalesce("routing_number", "found_bank_code")
        ),
        final=pl.col("final_value"),
        has_secret=pl.col("card_cvv").is_not_null() & pl.col("reason").is_null(),
        created_at=pl.lit(origin.now.isoformat()),
    )


def rejected(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Give the outcomes of rows that failed a check."""
    bad = rows.filter(~pl.col("accepted")).select_seq("merchant_id", "id", "reason", "message")
    return ended(bad.with_columns_seq(state=pl.lit("rejected")), now)


def replayed(connection: Connection[Row], origin: Origin, rows: pl.DataFrame) -> pl.DataFrame:
    """Take the rows' idempotency keys; rows whose key was used before get their outcome here.

    Beside the columns of an outcome ``first`` (public id) and ``first_state`` name the operation
    that has the key; the state is null while that one is not done.
    """
    keyed = rows.filter(pl.col("accepted") & pl.col("idempotency_key").is_not_null())
    if keyed.is_empty():
        return rejected(rows.clear(), origin.now)
    told = keyed.select_seq(
        pl.concat_str(
            [pl.col(name).cast(pl.String).fill_null("") for name in _KEYED_VALUES], separator="\x1f"
        )
        + pl.concat_str([pl.lit(""), *_rare_values(keyed)])
    ).to_series()
    keys = keyed.select_seq(
        "merchant_id",
        pl.lit(origin.face).alias("face"),
        pl.col("idempotency_key").alias("key"),
        pl.lit(origin.engine.keys.values_hashes(told)).alias("values_hash"),
        "id",
    )
    taken = idempotency.keep_keys(connection, keys)
    own = {row["id"]: row for row in keyed.select_seq(*_OWN).iter_rows(named=True)}
    first_ids = pl.Series([row["first_id"] for row in taken], dtype=pl.Int64)
    firsts = origin.engine.public_ids.encode(first_ids, "op", Shape.NATIVE)
    answers = [
        _answer(row, own[row["operation_id"]], first, origin)
        for row, first in zip(taken, firsts, strict=True)
    ]
    return ended(pl.DataFrame(answers, schema=_ANSWERED), origin.now)


_KEYED_VALUES = (
    *("merchant_id", "gate_id", "kind", "amount_minor", "currency", "number_id", "expiry"),
    *("payment", "reference", "account_type", "sec_code", "final"),
    *("tax_minor", "surcharge_minor", "tip_minor", "shipping_minor"),
)
_KEYED_RARE = frozenset(
    field.name
    for field in (
        *columns.RARE,
        *columns.CONTROL_TOTALS,
        columns.PROCESSOR,
        columns.SOURCE_MERCHANT,
    )
)


def _rare_values(rows: pl.DataFrame) -> list[pl.Expr]:
    """Name and give what rows carry beside; whether a column is there or empty is the same."""
    asked = sorted(_KEYED_RARE | {"source_payment"} | details.read_by(distinct(rows["kind"])))
    carried = [name for name in asked if name in rows.columns and rows[name].count()]
    return [
        pl.when(pl.col(name).is_not_null())
        .then(pl.lit(f"\x1f{name}=") + pl.col(name).cast(pl.String))
        .otherwise(pl.lit(""))
        for name in carried
    ]


_OWN = ("id", "merchant_id", "idempotency_key")
_FIRST_ANSWER = {
    "payment_id": pl.Int64(),
    "status": pl.String(),
    "approved_minor": pl.Int64(),
    "response": pl.String(),
    "processor_code": pl.String(),
    "processor_text": pl.String(),
    "approval_code": pl.String(),
    "avs_result": pl.String(),
    "cvv_result": pl.String(),
}
_ANSWERED = {
    "merchant_id": pl.Int32(),
    "id": pl.Int64(),
    "state": pl.String(),
    "reason": pl.String(),
    "message": pl.String(),
    "first": pl.String(),
    "first_state": pl.String(),
    **_FIRST_ANSWER,
}
_KEY_REASONS = (Reason.KEY_CONFLICT.value, Reason.KEY_RUNNING.value)


def taken_keys(rows: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    """Give the errors (``describe.ERRORS``) of rows whose idempotency key belongs to another."""
    wrong = refused.filter(pl.col("reason").is_in(_KEY_REASONS)).select_seq(
        "id", "reason", "message"
    )
    named = rows.select_seq(
        "id", "line", value="idempotency_key", column_name=pl.lit("idempotency_key")
    )
    return wrong.join(named, on="id", how="inner").select_seq(list(ERRORS))


def _answer(row: dict[str, Any], own: dict[str, Any], first: str, origin: Origin) -> dict[str, Any]:
    """Give the outcome of a row (``own``) whose key belongs to another operation (``row``).

    ``first`` is that operation's public id.
    """
    first_number, first_line = divmod(row["first_id"], operations.LINES_MAX)
    told = {
        "merchant_id": own["merchant_id"],
        "id": own["id"],
        "first": first,
        "first_state": row["state"],
    }
    reason = None
    if not row["is_same"]:
        reason = Reason.KEY_CONFLICT
    elif row["state"] is None and (first_number != origin.number or origin.face == "call"):
        reason = Reason.KEY_RUNNING
    if reason is not None:
        message = f"column idempotency_key is {own['idempotency_key']}: {reason.sentence}"
        return {**told, "state": "rejected", "reason": reason.value, "message": message}
    if row["state"] is None:
        # Nobody knows yet how it will end, not even whether there will be a payment.
        name = f"line {first_line} ({first})" if origin.face == "file" else first
        message = f"{name} has the same idempotency key: its outcome stands for this one too"
        return {**told, "state": "replayed", "message": message}
    message = f"done before as {first}: {row['state']}"
    answer = {name: row[name] for name in _FIRST_ANSWER}
    return {**told, "state": "replayed", "message": message, **answer}
