"""From text to typed values: what the checks and the engine work with.

Adds to a table of text fields: ``merchant_id, gate_id, currency_code, requested_minor, expiry,
brand, masked, expiry_month`` and the typed parts of the amount. Where a text is wrong the typed
value is null, and the check says so.
"""

from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain import cards, fields, money
from paybatch.domain.choose import choose
from paybatch.domain.columns import NEW_PAYMENT
from paybatch.domain.masking import mask_account, mask_cells, mask_number
from paybatch.flow.describe import FIELDS
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place

PARTS = ("surcharge_minor", "tax_minor", "tip_minor", "shipping_minor", "discount_minor")
NEEDED = (
    *(field.name for field in NEW_PAYMENT if not field.name.startswith(("billing", "shipping_"))),
    *("shipping_minor", "payment", "final"),
)
NAMES = ("reference", "idempotency_key", "payment")
_CODES = ("account_type", "sec_code", "routing_number")
_NAME_CHARACTERS_MAX = 128
_MARK_CHARACTERS = 16


def typed(place: Place, texts: pl.DataFrame) -> pl.DataFrame:
    """Add the typed values; fields that a rule may name are null where the file has none."""
    absent = [pl.lit(None, pl.String).alias(name) for name in NEEDED if name not in texts.columns]
    frame = _placed(place, texts.with_columns(absent))
    frame = _with_gates(place, frame)
    given = frozenset(name for name in _WEIGHED if frame[name].count())
    return frame.with_columns(_read(given)).with_columns(_requested(given))


_AMOUNTS = ("amount_minor", "amount", "base_amount_minor")
_WEIGHED = (*_AMOUNTS, *PARTS, "card_number", "account_number", "card_expiry", "final")


@cache
def _read(given: frozenset[str]) -> list[pl.Expr]:
    """Read every value that stands in one column; ``given`` columns have any."""
    currency = pl.coalesce("currency", "gate_currency")
    nothing = pl.lit(None, pl.String)
    numbers = bool(given & {"card_number", "account_number"})
    expiry = fields.EXPIRY.read(pl.col("card_expiry")) if "card_expiry" in given else None
    final = (pl.col("final") == "true") if "final" in given else pl.lit(None, pl.Boolean)
    return [
        *(
            (_minor(name) if name in given else pl.lit(None, pl.Int64)).alias(f"{name}_value")
            for name in PARTS
        ),
        currency.alias("currency_code"),
        money.exponent_of(currency).alias("exponent"),
        (pl.lit(None, pl.Int16) if expiry is None else expiry).alias("expiry"),
        final.alias("final_value"),
        (_brand() if numbers else nothing).alias("brand"),
        (_masked() if numbers else nothing).alias("masked"),
    ]


def harmless(engine: Engine, values: pl.DataFrame) -> pl.DataFrame:
    """Make what is stored of the rows safe to keep, also of the wrong ones (``reason``).

    No name shows a card number. Of wrong rows names are cut, and codes that are not of their form
    and currencies that do not exist go: anything may have been typed there.
    """
    values = values.with_columns(kept_names(engine, values[name]) for name in NAMES)
    bad = pl.col("reason").is_not_null()
    if values["reason"].null_count() == values.height:
        return values
    values = values.with_columns(
        currency_code=pl.when(pl.col("exponent").is_not_null()).then("currency_code")
    )
    wrong = {
        name: pl.any_horizontal(test(pl.col(name)) for _, test in FIELDS[name].type.faults)
        for name in _CODES
    }
    return values.with_columns(
        *(pl.when(~(bad & fails)).then(name).alias(name) for name, fails in wrong.items()),
        *(
            pl.when(bad).then(pl.col(name).str.slice(0, _NAME_CHARACTERS_MAX)).otherwise(name)
            for name in NAMES
        ),
    )


def kept_names(engine: Engine, names: pl.Series) -> pl.Series:
    """Hide card numbers in names that identify (references, keys), so that two stay two.

    A name that had to be masked gets a keyed mark of the whole: ``411111******1111#9f...``.
    """
    if not names.count():
        return names
    masked = names.to_frame().select(mask_cells(pl.col(names.name))).to_series()
    places = (masked != names).fill_null(value=False).arg_true()
    if places.is_empty():
        return names
    marks = engine.keys.values_hashes(names.gather(places)).str.head(_MARK_CHARACTERS)
    return names.scatter(places, masked.gather(places) + "#" + marks)


def _minor(name: str) -> pl.Expr:
    return fields.MINOR_UNITS.read(pl.col(name))


def _placed(place: Place, frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``merchant_id`` and ``gate_id``; null where a name is unknown, 0 = the payment's gate."""
    named = choose(pl.col("merchant"), place.merchants, pl.Int32)
    merchant = pl.when(pl.col("merchant").is_null()).then(pl.lit(place.merchant_id, pl.Int32))
    frame = frame.with_columns(merchant_id=merchant.otherwise(named))
    default = choose(pl.col("merchant_id"), place.default_gates, pl.Int32)
    acts = pl.col("payment").is_not_null() & ~pl.col("kind").is_in(_making_kinds())
    unnamed = pl.when(acts).then(0).otherwise(default)
    if frame["gate"].null_count() == frame.height:
        return frame.with_columns(gate_id=unnamed)
    joined = frame.join(
        place.gate_names,
        left_on=["merchant_id", "gate"],
        right_on=["merchant_id", "gate_name"],
        how="left",
        maintain_order="left",
    )
    gate = pl.when(pl.col("gate").is_null()).then(unnamed).otherwise(pl.col("named_gate_id"))
    return joined.with_columns(gate_id=gate).drop("named_gate_id")


def _with_gates(place: Place, frame: pl.DataFrame) -> pl.DataFrame:
    """Add what the checks need of each row's gate."""
    if frame.height == 1:  # a join costs more than the rest of one row's reading
        own = place.gate_rows.get(frame["gate_id"].item(), place.no_gate)
        return frame.hstack(own.get_columns())
    return frame.join(place.gate_table, on="gate_id", how="left", maintain_order="left")


@cache
def _making_kinds() -> list[str]:
    return [kind.name for kind in registry.kinds().values() if kind.pays]


@cache
def _requested(given: frozenset[str]) -> pl.Expr:
    """Give the amount in minor units, from whichever column carries it."""
    found: list[pl.Expr] = [pl.lit(None, pl.Int64)]
    if "amount_minor" in given:
        found.insert(0, _minor("amount_minor"))
    if "amount" in given:
        found.append(money.minor_from_decimal(pl.col("amount"), pl.col("exponent")))
    if "base_amount_minor" in given:
        found.append(_minor("base_amount_minor") + _surcharge() + _tax())
    return pl.coalesce(found).alias("requested_minor")


def _surcharge() -> pl.Expr:
    exempt = (pl.col("surcharge_exempt") == "true").fill_null(value=False)
    return pl.when(exempt).then(0).otherwise(pl.col("surcharge_minor_value").fill_null(0))


def _tax() -> pl.Expr:
    exempt = (pl.col("tax_exempt") == "true").fill_null(value=False)
    return pl.when(exempt).then(0).otherwise(pl.col("tax_minor_value").fill_null(0))


def _brand() -> pl.Expr:
    bank = pl.when(pl.col("account_number").is_not_null()).then(pl.lit("bank"))
    card = pl.col("card_number")
    told = pl.when(card.str.contains("^[0-9]{6}")).then(cards.brand_of(card))
    return pl.coalesce(told, bank)


def _masked() -> pl.Expr:
    card, account = pl.col("card_number"), pl.col("account_number")
    return pl.coalesce(mask_number(card), mask_account(account))
