"""Reconcile: a processor's settlement file against our books, by key. Nothing is changed.

What the file lists and we do not have is looked for among all calls of the gate; what we have and
the file does not list, among those that the settlement reached: from the close before to its own.

A part that we reversed at once (`working/verdicts.py`) is listed by its own key and by that of its
reversal; the two count as one. A row's amount is held against the whole of it and against what of
it moved money: what was closed with us the processor never saw.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from paybatch import registry
from paybatch.domain.connector import SETTLED_SCHEMA, Response, Verb
from paybatch.domain.masking import mask_text
from paybatch.flow.engine import Engine
from paybatch.flow.people import WrongError
from paybatch.flow.place import Place
from paybatch.flow.settled_sums import Sums, beside, sums_of
from paybatch.flow.working.verdicts import REVERSAL
from paybatch.store import reconcile as store
from paybatch.store.directory import Gate
from paybatch.store.public_ids import Shape
from paybatch.store.reconcile import Window

LATE = timedelta(days=30)  # what was sent so long before a settlement is in it no more
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
MISSING_HERE, MISSING_THERE = "missing_here", "missing_there"
AMOUNT, CURRENCY, TWICE = "amount", "currency", "twice"
_OPEN = ("unknown", "person", "sending")
_APPROVALS = (Response.APPROVED, Response.CHALLENGED, Response.PARTIALLY_APPROVED)
_ADVICE = {
    "foreign": "nobody here sent this key at this gate: see whether the file is of this gate and "
    "account; if it is, ask the processor",
    "open": "its outcome is not known here: `paybatch unknown look ID` asks, `decide` settles it",
    "lost": "we count it as not done: ask the processor, then have it undone there",
    "undone": "the file lists only that it was undone: look in the files of the days before for "
    "what was; if it is in none, ask the processor about the key",
    MISSING_THERE: "the processor does not list it: look in its files of the days around; if it is "
    "in none, ask the processor about the key",
    AMOUNT: "the processor moved another amount: ask it, then refund what is too much or take what "
    "is missing",
    CURRENCY: "the processor has it in another currency: ask it",
    TWICE: "the file lists the key several times: ask whether it was done so often, and refund the "
    "rest",
}
DIFFERENCES = {
    "id": pl.String(),
    "difference": pl.String(),
    "operation": pl.String(),
    "kind": pl.String(),
    "currency": pl.String(),
    "here_minor": pl.Int64(),
    "there_minor": pl.Int64(),
    "advice": pl.String(),
}


@dataclass(frozen=True)
class Reconciled:
    """What was found: the lines that agree, and the differences (``DIFFERENCES``).

    ``number`` is that of our settlement; None = the gate had no close yet. ``matched_minor`` is
    what the lines that agree come to, net, by currency. ``sums`` are of the whole file.
    """

    number: int | None
    matched: int
    matched_minor: dict[str, int]
    sums: list[Sums]
    differences: pl.DataFrame


def reconcile(
    engine: Engine, place: Place, gate: Gate, path: Path, number: int | None = None
) -> Reconciled:
    """Hold a settlement file against a gate's books; ``number`` None = its last settlement.

    Raises:
        WrongError: The gate's processor gives no file, it cannot be read, or there is no such
            settlement.
    """
    there = _read(place, gate, path)
    with engine.database.transaction() as connection:
        windows = store.settlement_window(connection, gate.merchant_id, gate.id, number)
        if number is not None and not windows:
            raise WrongError(f"Gate {gate.name} has no settlement {number}.")
        since = min((each.since or BEGINNING for each in windows), default=BEGINNING)
        since = since - LATE if since > BEGINNING else since
        here = store.gate_calls(connection, gate.merchant_id, gate.id, since)
        older = there["own_key"].filter(~there["own_key"].is_in(here["key"].implode()))
        if since > BEGINNING and not older.is_empty():
            more = store.gate_calls(connection, gate.merchant_id, gate.id, None, older.to_list())
            here = pl.concat([here, more])
    both = there.join(here, left_on="own_key", right_on="key", how="full", coalesce=True)
    both = both.with_columns(key=pl.coalesce("key", "own_key"))
    told = both.with_columns(difference=_difference(windows))
    good = told.filter(pl.col("there_minor").is_not_null() & pl.col("difference").is_null())
    agreed = {name: sales - refunds for name, sales, refunds in sums_of(good).iter_rows()}
    listed = told.filter(pl.col("there_minor").is_not_null())
    differs = told.filter(pl.col("difference").is_not_null()).sort("operation_id", "key")
    return Reconciled(
        windows[0].number if windows else None,
        int(good["lines"].sum()),
        agreed,
        beside(sums_of(listed), windows),
        _told(engine, differs),
    )


def _read(place: Place, gate: Gate, path: Path) -> pl.DataFrame:
    """Read a file as one row for each of our calls, less what its reversal undid of it.

    Gives ``own_key, currency, key, verb, there_minor, times, reversals, lines``.
    """
    connector = place.connector(gate.id)
    if connector.read_settlement is None:
        raise WrongError(f"The connector {connector.name} reads no settlement files.")
    try:
        lines = connector.read_settlement(path).select(list(SETTLED_SCHEMA))
        found = _by_call(lines).collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        said = mask_text(str(error).partition("\n")[0])
        raise WrongError(
            f"{path.name} cannot be read as a settlement of {connector.title}: {said}"
        ) from error
    if found["key"].null_count() or found["blanks"].any():
        raise WrongError(f"{path.name} has lines without a key or an amount.")
    return found.drop("blanks")


def _by_call(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Sum lines up by the key of the call that they are of, and by currency."""
    is_reversal = pl.col("key").str.ends_with(REVERSAL)
    amount = pl.col("amount_minor")
    own = lines.with_columns_seq(own_key=pl.col("key").str.strip_suffix(REVERSAL))
    return own.group_by("own_key", "currency").agg(
        key=pl.col("key").min(),  # the call's own, where it is there
        verb=pl.col("verb").filter(~is_reversal).first().fill_null(Verb.VOID.value),
        there_minor=amount.filter(~is_reversal).sum() - amount.filter(is_reversal).sum(),
        times=pl.max_horizontal((~is_reversal).sum(), is_reversal.sum()),
        reversals=is_reversal.sum(),
        lines=pl.len(),
        blanks=amount.is_null().any(),
    )


def _difference(windows: list[Window]) -> pl.Expr:
    """Tell how a key differs; null = it agrees, or is of another settlement."""
    is_there, is_done = pl.col("there_minor").is_not_null(), pl.col("state") == "approved"
    is_done = is_done.fill_null(value=False)
    at = pl.col("settled_epoch")
    reached = [
        (pl.col("own_currency") == each.currency)
        & (at > (each.since or BEGINNING).timestamp())
        & (at <= each.until.timestamp())
        for each in windows
    ]
    expected = pl.any_horizontal(reached) if reached else pl.lit(value=True)
    has_moved = (pl.col("moved_minor") > 0).fill_null(value=False)
    is_due = is_done & has_moved & ~_is_forced() & expected
    amounts = [pl.col("there_minor") == pl.col(name) for name in ("here_minor", "moved_minor")]
    return (
        pl.when(is_there & ~is_done & ~_is_undone())
        .then(pl.lit(MISSING_HERE))
        .when(is_there & (pl.col("times") > 1))
        .then(pl.lit(TWICE))
        .when(is_there & is_done & (pl.col("currency") != pl.col("own_currency")))
        .then(pl.lit(CURRENCY))
        .when(is_there & is_done & ~pl.any_horizontal(amounts))
        .then(pl.lit(AMOUNT))
        .when(~is_there & is_due)
        .then(pl.lit(MISSING_THERE))
    )


def _is_undone() -> pl.Expr:
    """Tell what was not done here and is undone there: a part that we reversed at once.

    A hold moved no money, and a file may list its reversal alone.
    """
    holds = [name for name, each in registry.kinds().items() if each.verb is Verb.AUTHORIZE]
    is_known = pl.col("operation_id").is_not_null() & ~pl.col("state").is_in(_OPEN)
    is_alone = pl.col("reversals") == pl.col("lines")
    is_of_hold = is_alone & pl.col("act").is_in(holds)
    is_undone = (pl.col("reversals") > 0) & ((pl.col("there_minor") == 0) | is_of_hold)
    return (is_known & is_undone).fill_null(value=False)


def _is_forced() -> pl.Expr:
    """Tell what is done with us alone: the processor declined it."""
    forced = [name for name, each in registry.kinds().items() if each.forced is not None]
    is_declined = ~pl.col("response").is_in([each.value for each in _APPROVALS])
    return (pl.col("act").is_in(forced) & is_declined).fill_null(value=False)


def _told(engine: Engine, rows: pl.DataFrame) -> pl.DataFrame:
    """Give differences as people read them, shaped as ``DIFFERENCES``."""
    names = engine.public_ids.encode(rows["operation_id"], "op", Shape.NATIVE)
    missing = pl.col("difference") == MISSING_HERE
    why = (
        pl.when(missing & pl.col("operation_id").is_null())
        .then(pl.lit("foreign"))
        .when(missing & pl.col("state").is_in(_OPEN))
        .then(pl.lit("open"))
        .when(missing & (pl.col("there_minor") < 0))
        .then(pl.lit("undone"))
        .when(missing)
        .then(pl.lit("lost"))
        .otherwise("difference")
    )
    own = pl.Series("id", [mask_text(key) for key in rows["key"]], dtype=pl.String)
    told = rows.hstack([own, names.alias("operation")]).with_columns(
        kind=pl.coalesce("act", "verb"),
        currency=pl.coalesce("currency", "own_currency"),
        here_minor=pl.when(pl.col("state") == "approved").then("here_minor"),
        advice=why.replace_strict(_ADVICE, return_dtype=pl.String),
    )
    return told.select_seq(pl.col(name).cast(kind) for name, kind in DIFFERENCES.items())
