"""Operations: checked rows become rows of table ``operation``, with their ids.

The same for rows of a file and for single calls: the id is made from the number of the batch, or
of the block of ids that single calls use, and the line in it.
"""

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from paybatch.domain.reasons import Reason
from paybatch.flow import vault
from paybatch.flow.check import Checked
from paybatch.flow.engine import Engine
from paybatch.flow.settle import ended
from paybatch.store import operations
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
    """Put the numbers of good rows into the vault; bad rows keep none of theirs."""
    good = vault.keep_numbers(engine, checked.accepted)
    bad = checked.values.filter(pl.col("reason").is_not_null())
    if bad.is_empty():
        return good
    bare = bad.drop("card_number", "account_number").with_columns(
        number_id=pl.lit(None, pl.String), masked=pl.lit(None, pl.String)
    )
    return pl.concat([good, bare], how="diagonal").sort("line")


def shaped(origin: Origin, values: pl.DataFrame) -> pl.DataFrame:
    """Give the columns of table ``operation``, and beside them reason, message and secrets."""
    payment = origin.engine.public_ids.decode(values["payment"].fill_null(""), "pay", Shape.NATIVE)
    first = operations.operation_id(origin.number, 0)
    return values.with_columns(
        id=pl.col("line") + first,
        batch_id=pl.lit(origin.number),
        sender_id=pl.lit(origin.sender_id),
        kind=pl.col("kind").fill_null("unknown"),
        merchant_id=pl.col("merchant_id").fill_null(0),
        gate_id=pl.col("gate_id").fill_null(0),
        accepted=pl.col("reason").is_null(),
        payment_id=payment,
        payment_reference=pl.when(payment.is_null()).then(pl.col("payment")),
        amount_minor=pl.col("requested_minor"),
        currency=pl.col("currency_code").str.slice(0, 3),
        tax_minor=pl.col("tax_minor_value"),
        surcharge_minor=pl.col("surcharge_minor_value"),
        tip_minor=pl.col("tip_minor_value"),
        shipping_minor=pl.col("shipping_minor_value"),
        bank_code=pl.coalesce("routing_number", "found_bank_code"),
        final=pl.col("final_value"),
        has_secret=pl.col("card_cvv").is_not_null() & pl.col("reason").is_null(),
        created_at=pl.lit(origin.now.isoformat()),
    )


def rejected(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Give the outcomes of rows that failed a check."""
    bad = rows.filter(~pl.col("accepted")).select("merchant_id", "id", "reason", "message")
    return ended(bad.with_columns(state=pl.lit("rejected")), now)


def replayed(connection: Connection[Row], origin: Origin, rows: pl.DataFrame) -> pl.DataFrame:
    """Take the rows' idempotency keys; rows whose key was used before get their outcome here."""
    keyed = rows.filter(pl.col("accepted") & pl.col("idempotency_key").is_not_null())
    if keyed.is_empty():
        return rejected(rows.clear(), origin.now)
    told = keyed.select(
        pl.concat_str(
            [pl.col(name).cast(pl.String).fill_null("") for name in _KEYED_VALUES], separator="\x1f"
        )
    ).to_series()
    keys = keyed.select(
        "merchant_id",
        pl.lit(origin.face).alias("face"),
        pl.col("idempotency_key").alias("key"),
        pl.lit(origin.engine.keys.values_hashes(told)).alias("values_hash"),
        "id",
    )
    taken = operations.keep_keys(connection, keys)
    merchants = dict(zip(keyed["id"], keyed["merchant_id"], strict=True))
    first_id = operations.operation_id(origin.number, 0)
    answers = [
        {"merchant_id": merchants[row["operation_id"]], **_answer(row, first_id)} for row in taken
    ]
    schema = {
        "merchant_id": pl.Int32,
        "id": pl.Int64,
        "state": pl.String,
        "reason": pl.String,
        "message": pl.String,
        "payment_id": pl.Int64,
    }
    return ended(pl.DataFrame(answers, schema=schema), origin.now)


_KEYED_VALUES = (
    *("merchant_id", "gate_id", "kind", "amount_minor", "currency", "number_id", "expiry"),
    *("payment", "reference", "account_type", "final"),
)


def _answer(row: dict[str, object], first_id: int) -> dict[str, object]:
    """Give the outcome of a row whose key belongs to another operation."""
    earlier = row["first_id"]
    assert isinstance(earlier, int)
    if not row["is_same"]:
        state, reason = "rejected", Reason.KEY_CONFLICT
    elif row["state"] is None and earlier < first_id:
        state, reason = "rejected", Reason.KEY_RUNNING
    else:
        state, reason = "replayed", None
    return {
        "id": row["operation_id"],
        "state": state,
        "reason": reason,
        "message": f"column idempotency_key: {reason.sentence}" if reason else None,
        "payment_id": (row["payment_id"] or earlier) if state == "replayed" else None,
    }
