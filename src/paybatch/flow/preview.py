"""Preview: what a file would do, from the same reading and checking; writes nothing.

What the payments' present states would refuse is foreseen by taking the rows through the rounds of
the work with approvals in place of a processor.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from paybatch import registry
from paybatch.domain.delimited import read_records
from paybatch.domain.few import nulls
from paybatch.domain.text import filled
from paybatch.flow.documents import MISSING, Held, is_missing
from paybatch.flow.engine import Engine
from paybatch.flow.foresee import JUDGED, REFUSED, judged_in
from paybatch.flow.intake.check import Checked, check
from paybatch.flow.intake.receive import Counted, Request, open_file, unpacked
from paybatch.flow.place import Place
from paybatch.flow.tallies import left, tally
from paybatch.flow.working import details
from paybatch.flow.working.changes import KEY
from paybatch.flow.working.claim import Book, acting
from paybatch.flow.working.enrolling import wallets_of
from paybatch.flow.working.subjects import makers_of, stored_subjects, subjects_here
from paybatch.store import batches, operations, payments
from paybatch.store.database import Connection, Row

_SOME_NUMBER = "0" * 32
_ACTS = acting(pl.col("payment").is_not_null())
LISTED = 1_000
LARGEST = 10
SUMMED_ROWS = 1_000_000  # the largest amounts of so many rows sum to less than an Int64 holds
_KEPT = (
    *("line", "merchant_id", "kind", "gate_id", "requested_minor", "currency_code", "payment"),
    *("payment_id", "reference", "final_value", "brand"),
)
_KEYS = ("state", "kind", "reason", "currency")


@dataclass
class Preview:
    """What a file would do.

    Attributes:
        dialect: The file's language.
        shape: Its encoding, separator and line end, as found.
        row_count: Its rows.
        totals: Counts and sums by kind, state (queued or rejected), reason and currency.
        errors: The first things that are wrong: line, reason, column_name, value, message.
        error_count: How many there are.
        refused: Rows that their payment's present state would refuse: line, reason, message.
        refused_count: How many there are.
        gates: Gates, with their mode, and the rows that would go there.
        earlier: Batches that hold the same bytes: `run` refuses the file.
        seen: Batches that carried references of this file before, and how many.
        largest: The largest amounts: line, kind, currency, requested_minor.
    """

    dialect: str
    shape: dict[str, Any]
    row_count: int = 0
    totals: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    error_count: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)
    refused_count: int = 0
    gates: dict[str, int] = field(default_factory=dict)
    earlier: list[int] = field(default_factory=list)
    seen: dict[int, int] = field(default_factory=dict)
    largest: list[dict[str, Any]] = field(default_factory=list)


def preview(engine: Engine, place: Place, source: Iterable[bytes], request: Request) -> Preview:
    """Read and check a file, and say what it would do.

    Raises:
        FileRefused: It cannot be read as a whole.
    """
    held = Held(engine, engine.keys.file_hasher())
    counted = Counted(unpacked(engine, source, held), held.hasher)
    opened, layout = open_file(engine, counted, request, engine.settings.chunk_rows)
    shape = opened.shape
    found = Preview(
        layout.dialect.name,
        {"encoding": shape.encoding, "separator": shape.separator, "line_end": shape.line_end},
    )
    acts = layout.place_of("payment") is not None
    totals, largest, kept, makers = [], [], [], []
    for block in opened.blocks:
        records = read_records(block, len(opened.names), shape)
        checked = check(engine, layout, place, records, engine.clock())
        found.row_count += checked.values.height
        found.error_count += checked.errors.height
        room = LISTED - len(found.errors)
        found.errors += checked.errors.head(max(room, 0)).to_dicts()
        totals.append(_totals(checked))
        _count_gates(place, found, checked.accepted)
        largest.append(_largest(checked.accepted))
        _count_seen(engine, found, checked.accepted)
        if acts:
            kept.append(_kept(checked.accepted))
            makers.append(makers_of(checked.values))
    found.largest = _largest_of(largest)
    if kept and held.contents:  # their names are known when the archive was read
        kept, missing = _with_documents(kept, frozenset(held.contents))
        totals += _tell_missing(found, missing)
    if kept:
        judged = _foreseen(engine, place, pl.concat(kept), pl.concat(makers))
        refused = judged.filter(pl.col("state") == "rejected").select_seq(list(REFUSED))
        found.refused_count += refused.height
        found.refused = (found.refused + refused.head(LISTED).to_dicts())[:LISTED]
        totals += [left(_acting(each)) for each in kept]
        totals += [_judged_totals(each) for each in judged.iter_slices(SUMMED_ROWS)]
    found.totals = _added(totals)
    found.earlier = _earlier(engine, place, counted.hasher.hexdigest())
    return found


def _with_documents(
    kept: list[pl.DataFrame], names: frozenset[str]
) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """Set the rows apart whose document is not in the archive."""
    missing = pl.concat(kept).filter(is_missing(names))
    return [rows.filter(~is_missing(names)) for rows in kept], missing


def _tell_missing(found: Preview, missing: pl.DataFrame) -> list[pl.DataFrame]:
    """Tell rows whose document is missing as refused; give what that changes of the totals."""
    told = missing.select_seq(
        "line",
        reason=pl.lit(MISSING.value),
        message=filled("column document is {}: {}", "document", pl.lit(MISSING.sentence)),
    )
    found.refused_count += told.height
    found.refused += told.head(LISTED).to_dicts()
    rows = missing.rename({"currency_code": "currency"}).with_columns_seq(
        state=pl.lit("rejected"), reason=pl.lit(MISSING.value), amount_minor="requested_minor"
    )
    return [left(rows), tally(rows)]


def _kept(rows: pl.DataFrame) -> pl.DataFrame:
    """Give what of good rows is needed to look at payments: also what their effects read."""
    names = details.read_by(registry.kinds())
    absent = nulls(names - set(rows.columns), pl.String(), rows.height)
    return details.read(rows.hstack(absent)[[*_KEPT, *sorted(names)]], names)


def _earlier(engine: Engine, place: Place, content_hash: str) -> list[int]:
    """Give the batches of the sender that hold the same bytes."""
    with engine.database.transaction() as connection:
        holders = batches.holders_of_content(connection, place.sender_id, content_hash)
    return [batch_id for batch_id, _, _ in holders]


def _acting(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the rows that act on a payment, as they were counted before that was looked at."""
    return rows.filter(_ACTS).rename({"currency_code": "currency"})


def _judged_totals(judged: pl.DataFrame) -> pl.DataFrame:
    """Count rows on payments by what would become of them, with the amounts that would go out."""
    approved = pl.col("state") == "approved"
    return tally(
        judged.with_columns_seq(state=pl.when(approved).then(pl.lit("queued")).otherwise("state"))
    )


def _count_gates(place: Place, found: Preview, rows: pl.DataFrame) -> None:
    """Count the rows of each gate; gate 0 stands for the one where the payment was made."""
    names = {gate.id: f"{gate.merchant}/{gate.name} ({gate.mode} mode)" for gate in place.gates}
    for gate_id, count in rows.group_by("gate_id").len().sort("gate_id").iter_rows():
        name = names.get(gate_id, "the payment's own")
        found.gates[name] = found.gates.get(name, 0) + count


def _totals(checked: Checked) -> pl.DataFrame:
    rejected = pl.col("reason").is_not_null()
    rows = checked.values.select_seq(
        pl.col("kind").fill_null("unknown"),
        "reason",
        pl.col("currency_code").alias("currency"),
        pl.col("requested_minor").alias("amount_minor"),
        state=pl.when(rejected).then(pl.lit("rejected")).otherwise(pl.lit("queued")),
    )
    return tally(rows)


def _added(totals: list[pl.DataFrame]) -> list[dict[str, Any]]:
    """Add tallies up, in whole numbers of any size: a file's sums may pass the largest Int64."""
    sums: dict[tuple[str | None, ...], list[int]] = {}
    for each in totals:
        for *key, count, amount in each.select_seq(*_KEYS, "row_count", "requested_minor").rows():
            so_far = sums.setdefault(tuple(key), [0, 0])
            so_far[0] += count
            so_far[1] += amount
    return [
        dict(zip((*_KEYS, "row_count", "requested_minor"), (*key, *so_far), strict=True))
        for key, so_far in sorted(sums.items(), key=_nulls_first)
        if so_far[0]
    ]


def _nulls_first(item: tuple[tuple[str | None, ...], list[int]]) -> list[tuple[bool, str]]:
    return [(name is not None, name or "") for name in item[0]]


def _largest(rows: pl.DataFrame) -> pl.DataFrame:
    shown = rows.select_seq(
        "line", "kind", pl.col("currency_code").alias("currency"), "requested_minor"
    )
    return shown.sort("requested_minor", descending=True, nulls_last=True).head(LARGEST)


def _largest_of(parts: list[pl.DataFrame]) -> list[dict[str, Any]]:
    if not parts:
        return []
    rows = pl.concat(parts).drop_nulls("requested_minor")
    return rows.sort("requested_minor", descending=True).head(LARGEST).to_dicts()


def _count_seen(engine: Engine, found: Preview, rows: pl.DataFrame) -> None:
    """Count the references of these rows that earlier batches carried."""
    named = rows.select_seq("merchant_id", "reference").drop_nulls()
    with engine.database.transaction() as connection:
        for (merchant_id,), group in named.partition_by("merchant_id", as_dict=True).items():
            references = group["reference"].unique().to_list()
            known = operations.known_references(connection, int(merchant_id), references)
            for batch_id in known.values():
                found.seen[batch_id] = found.seen.get(batch_id, 0) + 1


def _foreseen(
    engine: Engine, place: Place, rows: pl.DataFrame, makers: pl.DataFrame
) -> pl.DataFrame:
    """Give what would become of the rows that act on a payment, shaped as ``JUDGED``."""
    rows = rows.rename({"currency_code": "currency", "final_value": "final"}).with_columns_seq(
        id="line",
        number_id=pl.lit(_SOME_NUMBER),  # the numbers are not in the vault yet
        expiry=pl.lit(None, pl.Int16),
        reason=pl.lit(None, pl.String),
    )
    acting = rows.filter(_ACTS)
    if acting.is_empty():
        return pl.DataFrame(schema=JUDGED)
    with engine.database.transaction() as connection:
        named = _with_subjects(connection, place, makers, acting)
        wanted = named.filter(pl.col("payment_id") > 0).select_seq(KEY).unique().sort(KEY)
        locked = payments.lock_payments(connection, wanted)
    subjects = named["payment_id"].drop_nulls().unique()
    own = rows.filter(~_ACTS & pl.col("id").is_in((-subjects).implode()))
    # Payments that the file itself makes stand under minus their line, out of the way of real ids.
    made = own.with_columns_seq(id=-pl.col("id"), payment_id=pl.lit(None, pl.Int64))
    both = pl.concat([made, named], how="diagonal").sort("line")
    book = Book(place, locked, wallets=wallets_of(both, None))
    judged = judged_in(engine, book, both)
    return judged.join(acting.select_seq("line"), on="line", how="semi", maintain_order="left")


def _with_subjects(
    connection: Connection[Row], place: Place, makers: pl.DataFrame, acting: pl.DataFrame
) -> pl.DataFrame:
    """Find the payment of each row: by id, by an earlier line, or by a stored reference."""
    by_name = pl.when(pl.col("payment_id").is_null()).then("payment")
    named = subjects_here(place, makers, acting.with_columns_seq(payment_reference=by_name))
    found = stored_subjects(connection, place, named)
    return found.with_columns_seq(payment_reference="payment")
