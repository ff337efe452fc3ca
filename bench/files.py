"""Native files for the benchmarks: authorizations, captures, refunds of one payment, sales."""

from pathlib import Path

import polars as pl

from bench.make_file import card

AMOUNT_MINOR = 1_000
EXPIRY = "12/39"


def authorizations(path: Path, rows: int, cards: int) -> None:
    """Write authorizations over ``cards`` distinct cards."""
    numbers = [card(serial) for serial in range(cards)]
    with path.open("w", encoding="utf-8") as target:
        target.write("kind,amount_minor,currency,card_number,card_expiry,reference\n")
        for row in range(rows):
            amount = AMOUNT_MINOR + row % 40_000
            target.write(f"authorize,{amount},USD,{numbers[row % cards]},{EXPIRY},A{row:09d}\n")


def captures(path: Path, result: Path) -> None:
    """Write a full capture of each payment that a result file names."""
    made = pl.scan_csv(result, infer_schema=False).filter(pl.col("outcome") == "approved")
    made.select(
        pl.lit("capture").alias("kind"),
        "amount_minor",
        "currency",
        pl.col("result_payment").alias("payment"),
    ).sink_csv(path)


def follow_ups(path: Path, result: Path, kind: str, amount_minor: int | None) -> int:
    """Write a row of a kind for each payment that a result file names; give how many."""
    made = pl.scan_csv(result, infer_schema=False).filter(pl.col("outcome") == "approved")
    columns = [pl.lit(kind).alias("kind"), pl.col("result_payment").alias("payment")]
    if amount_minor is not None:
        columns += [pl.lit(amount_minor).alias("amount_minor"), pl.col("currency")]
    if kind == "comment":
        columns.append(pl.lit("seen by the desk").alias("comment"))
    made.select(columns).sink_csv(path)
    with path.open("rb") as lines:
        return sum(1 for _ in lines) - 1


def refunds_of_one(path: Path, rows: int) -> None:
    """Write a sale and ``rows`` refunds of it."""
    name = f"one-of-{rows}"
    with path.open("w", encoding="utf-8") as target:
        target.write("kind,amount_minor,currency,card_number,card_expiry,reference,payment\n")
        target.write(f"sale,{rows * 100},USD,{card(rows)},{EXPIRY},{name},\n")
        for row in range(rows):
            target.write(f"refund,{1 + row % 100},USD,,,R{row:09d},{name}\n")


def sales(path: Path, rows: int, cards: int, gate: str) -> None:
    """Write sales at a gate over ``cards`` distinct cards; none meets a trigger of the sandbox."""
    numbers = [card(serial) for serial in range(cards)]
    with path.open("w", encoding="utf-8") as target:
        target.write("kind,amount_minor,currency,card_number,card_expiry,gate\n")
        for row in range(rows):
            amount = AMOUNT_MINOR + row % 40_000
            target.write(f"sale,{amount},USD,{numbers[row % cards]},{EXPIRY},{gate}\n")
