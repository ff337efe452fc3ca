"""Describe: what is wrong with a row, as a sentence: column, masked value and what is allowed."""

from collections.abc import Iterable, Mapping

import polars as pl

from paybatch import registry
from paybatch.domain.dialect import Dialect
from paybatch.domain.fields import ROUTING, Field, FieldType
from paybatch.domain.kind import Fault
from paybatch.domain.masking import mask_wrong
from paybatch.domain.reasons import Reason, sentence_of
from paybatch.domain.text import filled
from paybatch.flow.place import Place
from paybatch.flow.texts import NUMBERS, Layout

ERRORS = {
    "line": pl.Int64,
    "reason": pl.String,
    "column_name": pl.String,
    "value": pl.String,
    "message": pl.String,
}
NO_ERRORS = pl.DataFrame(schema=ERRORS)

FIELDS: Mapping[str, Field] = registry.fields()
AMOUNT_COLUMNS = ("amount_minor", "amount", "base_amount_minor")
MEANS_COLUMNS = (
    *("card_number", "card_reference", "account_number", "customer", "identifier", "iban"),
)
# A fault of what any of several columns may give: the one that the row has is named.
_GROUPS = {each[0]: each for each in (AMOUNT_COLUMNS, MEANS_COLUMNS)}
_VALUE_CHARACTERS_MAX = 80
_CARD_NUMBER = r"^\d(?:[ \u00A0-]?\d){7,14}[ \u00A0-]?\d{4}$"
_DIGITS_SHOWN = 4
_FORMS = {
    Reason.CHOICE_UNKNOWN,
    Reason.VALUE_MALFORMED,
    Reason.VALUE_TOO_LONG,
}
_NAMES_MAX = 20
FAULTS_TOLD = 10
# Where a refusal by the payment's state is to be looked for; the others at the payment.
_REFUSED_AT: Mapping[str, str] = {
    Reason.CVV_GONE: "card_cvv",
    Reason.CARD_HELD: "customer",
    Reason.DISPUTE_UNKNOWN: "dispute",
    Reason.DISPUTE_DIFFERS: "arn",
    Reason.ALERT_ANSWERED: "alert_id",
    Reason.SCHEME_ID_MISSING: "scheme_transaction_id",
    Reason.SEQUENCE_NOT_ALLOWED: "sequence_type",
    Reason.WALLET_FULL: "customer",
    Reason.NOT_SUPPORTED: "kind",
    Reason.GATE_DIFFERS: "gate",
    Reason.CURRENCY_DIFFERS: "currency",
    Reason.PARTIAL_NOT_SUPPORTED: "amount_minor",
    Reason.AMOUNT_ABOVE_LEFT: "amount_minor",
}


def field_of(name: str) -> Field | None:
    """Give an engine field by its name, None for a column without meaning."""
    return FIELDS.get(name)


def type_of(dialect: Dialect, name: str) -> FieldType:
    """Give what a column of this field may hold in a dialect."""
    return dialect.limits.get(name) or FIELDS[name].type


def describe(layout: Layout, place: Place, rows: pl.DataFrame, fault: Fault) -> pl.DataFrame:
    """Say of each of these rows, which all have this fault, what is wrong; shaped as ``ERRORS``."""
    column, value = _where(layout, rows, fault.column)
    allowed = _allowed(layout, place, fault)
    return rows.select_seq(
        "line",
        pl.lit(fault.reason.value).alias("reason"),
        column.alias("column_name"),
        value.alias("value"),
        sentence(column, value, pl.lit(fault.reason.sentence), allowed).alias("message"),
    )


def told_together(errors: pl.DataFrame) -> pl.DataFrame:
    """Give ``line, reason, message`` of each row: its first reason, and the messages of all.

    ``errors`` are shaped as ``ERRORS`` and in their order. Of many messages the first are given.
    """
    if not errors["line"].is_duplicated().any():
        return errors.select_seq("line", "reason", "message")
    told = errors.group_by("line", maintain_order=True).agg(
        pl.col("reason").first(),
        pl.col("message").head(FAULTS_TOLD).str.join("; "),
        more=pl.len().cast(pl.Int64) - FAULTS_TOLD,
    )
    more = pl.when(pl.col("more") > 0).then(filled("; and {} more", "more"))
    message = pl.col("message") + more.otherwise(pl.lit(""))
    return told.select_seq("line", "reason", message.alias("message"))


def refusal(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """Say of rows that their payment's state refuses (``refusal``): column, value and message.

    ``payment`` is what the row calls it; the columns have the names of the native dialect.
    """
    reason = pl.col("refusal")
    column = reason.replace_strict(_REFUSED_AT, default="payment", return_dtype=pl.String)
    given = {"amount_minor": "requested_minor", "currency": "currency", "kind": "kind"}
    given["payment"] = "payment" if "payment" in rows.columns else "payment_reference"
    more = ("customer", "sequence_type", "dispute", "arn", "alert_id")
    given |= {name: name for name in more if name in rows.columns}
    value = pl.coalesce(
        pl.when(column == name).then(pl.col(source).cast(pl.String))
        for name, source in given.items()
    )
    told = sentence(column, value, _wrong(rows, reason), pl.lit(""))
    return {"column_name": column, "value": value, "message": told}


def _wrong(rows: pl.DataFrame, reason: pl.Expr) -> pl.Expr:
    """Give a refusal's sentence; of a status that does not allow a row also which it is."""
    wrong = sentence_of(reason)
    if not {"status", "act"} <= set(rows.columns):
        return wrong
    is_told = (reason == Reason.STATUS_NOT_ALLOWED) & pl.col("status").is_not_null()
    told = filled("{} (it is {}; see `paybatch kinds {}`)", wrong, "status", "act")
    return pl.when(is_told).then(told).otherwise(wrong)


def sentence(column: pl.Expr, value: pl.Expr, wrong: pl.Expr, allowed: pl.Expr) -> pl.Expr:
    """Put a message together; ``value`` and ``allowed`` may be null, ``allowed`` empty.

    ``wrong`` is the sentence of the reason.
    """
    given = pl.when(value.is_not_null()).then(filled(" is {}", value)).otherwise(pl.lit(""))
    rest = pl.when(allowed != "").then(filled("; allowed: {}", allowed)).otherwise(pl.lit(""))
    return filled("column {}{}: {}{}", column, given, wrong, rest)


def shown(written: pl.Expr, sensitive: str | None) -> pl.Expr:
    """Show a wrong value so that it helps and gives nothing away.

    Of a number the last four digits are shown if it has the digits of a card number, of anything
    else in a number column no digit; of a secret nothing.
    """
    if sensitive == "secret":
        return pl.when(written.is_not_null()).then(pl.lit("***"))
    short = written.str.slice(0, _VALUE_CHARACTERS_MAX)
    stars = short.str.replace_all(r"\d", "*")
    cut = pl.when(written.str.len_chars() > _VALUE_CHARACTERS_MAX).then(pl.lit("..."))
    if sensitive in {"number", "routing"}:
        last = stars.str.head(-_DIGITS_SHOWN) + short.str.tail(_DIGITS_SHOWN)
        hidden = pl.when(written.str.contains(_CARD_NUMBER)).then(last).otherwise(stars)
        is_known = written.str.contains(ROUTING) if sensitive == "routing" else pl.lit(value=False)
        short = pl.when(is_known).then(short).otherwise(hidden)
    else:
        short = mask_wrong(short)
    return short + cut.otherwise(pl.lit(""))


def _where(layout: Layout, rows: pl.DataFrame, name: str) -> tuple[pl.Expr, pl.Expr]:
    """Give the file's own column and its shown value, for each row."""
    if name == "kind":
        return pl.lit(layout.column_name(name)), shown(pl.col("kind_word"), None)
    group = _GROUPS.get(name, (name,))
    carried = [each for each in group if each in layout.dialect.columns.values()]
    usual = next((each for each in group if layout.place_of(each) is not None), None)
    usual = usual or next(iter(carried), name)
    column: list[pl.Expr] = []
    value: list[pl.Expr] = []
    for each in group:
        if each in rows.columns:
            is_given = pl.col(each).is_not_null()
            field = field_of(each)
            column.append(pl.when(is_given).then(_named(layout, rows, each)))
            value.append(shown(pl.col(each), field.type.sensitive if field else None))
    none = pl.lit(None, pl.String)
    return pl.coalesce(*column, pl.lit(layout.column_name(usual))), pl.coalesce(*value, none)


def _named(layout: Layout, rows: pl.DataFrame, name: str) -> pl.Expr:
    """Name a field's column; a reference may stand in a number's column."""
    own = pl.lit(layout.column_name(name))
    if name != "card_reference" or "written_at" not in rows.columns:
        return own
    names = {each: layout.column_name(each) for each in NUMBERS}
    moved = pl.col("written_at").replace_strict(names, default=None, return_dtype=pl.String)
    return pl.coalesce(moved, own)


def _allowed(layout: Layout, place: Place, fault: Fault) -> pl.Expr:
    """Tell what would be right, where the reason's own sentence does not."""
    field = field_of(fault.column)
    allowed = pl.lit("")
    match fault.reason:
        case reason if reason in _FORMS and field is not None:
            allowed = pl.lit(type_of(layout.dialect, field.name).allowed)
        case Reason.KIND_UNKNOWN:
            allowed = pl.lit(_list(layout.dialect.words.get("kind") or registry.kinds()))
        case Reason.MERCHANT_UNKNOWN:
            allowed = pl.lit(_list(place.merchants))
        case Reason.GATE_UNKNOWN:
            allowed = _gates(place)
        case Reason.CURRENCY_NOT_AT_GATE:
            allowed = pl.col("gate_currencies").list.join(", ")
        case Reason.AMOUNT_NOT_DECIMAL:
            digits = filled("{} digits after the point in {}", "exponent", "currency_code")
            whole = filled("no point in {}", "currency_code")
            allowed = pl.when(pl.col("exponent") == 0).then(whole).otherwise(digits)
    return allowed


def _gates(place: Place) -> pl.Expr:
    """List the gates of each row's merchant."""
    names = {
        each: _list(gate.name for gate in place.gates if gate.merchant_id == each)
        for each in place.merchants.values()
    }
    return pl.col("merchant_id").replace_strict(names, default=None, return_dtype=pl.String)


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:_NAMES_MAX])
