"""From text to typed values: what the checks and the engine work with.

Adds to a table of text fields: ``merchant_id, gate_id, currency_code, requested_minor, expiry,
brand, masked, expiry_month`` and the typed parts of the amount. Where a text is wrong the typed
value is null, and the check says so.
"""

from functools import cache

import polars as pl

from paybatch import registry
from paybatch.domain import cards, fields, money
from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.columns import NEW_PAYMENT, RARE
from paybatch.domain.few import FEW_ROWS, chosen, distinct, nulls, without
from paybatch.domain.masking import mask_account, mask_number, masked_cells
from paybatch.flow.describe import FIELDS
from paybatch.flow.engine import Engine
from paybatch.flow.place import Place

PARTS = ("surcharge_minor", "tax_minor", "tip_minor", "shipping_minor", "discount_minor")
_CONTACT = ("billing_", "shipping_")
_RARE = frozenset(field.name for field in RARE)
NEEDED = (
    *(field.name for field in NEW_PAYMENT if not field.name.startswith(_CONTACT)),
    *("shipping_minor", "payment", "final", "iban"),
)
NAMES = ("reference", "idempotency_key", "payment", "identifier")
_CODES = ("account_type", "sec_code", "routing_number")
_NAME_CHARACTERS_MAX = 128
_MARK_CHARACTERS = 16


def typed(place: Place, texts: pl.DataFrame) -> pl.DataFrame:
    """Add the typed values; fields that a rule may name are null where the file has none.

    ``texts`` come with ``payment_id`` and ``owner_id`` (`owners.find_owners`).
    """
    has_rare = not _RARE.isdisjoint(texts.columns)
    needed = _needed(frozenset(distinct(texts["kind"])), has_rare=has_rare)
    absent = [name for name in needed if name not in texts.columns]
    frame = _placed(place, texts.hstack(nulls(absent, pl.String(), texts.height)))
    frame = _with_gates(place, frame)
    given = frozenset(name for name in _WEIGHED if frame[name].count())
    frame = frame.hstack([*_unread(given, frame.height), *_brands(given, frame)])
    frame = frame.with_columns_seq(_read(given))
    exponents = money.exponents_of(frame["currency_code"]).alias("exponent")
    return frame.hstack([exponents]).with_columns_seq(_requested(given))


@cache
def _needed(kinds: frozenset[str], *, has_rare: bool) -> tuple[str, ...]:
    """Name the columns that rules of these kinds may name."""
    own = [field.name for name in sorted(kinds) for field in registry.kinds()[name].fields]
    few = [name for name in own if not name.startswith(_CONTACT)]
    few = few if has_rare else [name for name in few if name not in _RARE]
    return tuple(dict.fromkeys([*NEEDED, *few]))


_AMOUNTS = ("amount_minor", "amount", "base_amount_minor")
_NUMBERS = frozenset({"card_number", "account_number", "iban"})
_WEIGHED = (*_AMOUNTS, *PARTS, *_NUMBERS, "card_expiry", "final")
_TYPES = {
    **{name: (f"{name}_value", pl.Int64()) for name in PARTS},
    "card_expiry": ("expiry", pl.Int16()),
    "final": ("final_value", pl.Boolean()),
}


def _unread(given: frozenset[str], height: int) -> list[pl.Series]:
    """Give the typed columns of what no row carries: nulls."""
    absent = [each for name, each in _TYPES.items() if name not in given]
    columns = [column for name, kind in absent for column in nulls([name], kind, height)]
    return columns if given & _NUMBERS else [*columns, *nulls(["masked"], pl.String(), height)]


@cache
def _read(given: frozenset[str]) -> list[pl.Expr]:
    """Read every value that stands in one column; ``given`` columns have any."""
    found = [_part(name, given).alias(f"{name}_value") for name in PARTS if name in given]
    found.append(pl.coalesce("currency", "gate_currency").alias("currency_code"))
    if "card_expiry" in given:
        found.append(fields.EXPIRY.read(pl.col("card_expiry")).alias("expiry"))
    if "final" in given:
        found.append((pl.col("final") == "true").alias("final_value"))
    if given & _NUMBERS:
        found.append(_masked(given).alias("masked"))
    return found


def _brands(given: frozenset[str], frame: pl.DataFrame) -> list[pl.Series]:
    """Give the brand of each number; that of an account is ``bank``."""
    (brands,) = nulls(["brand"], pl.String(), frame.height)
    if "card_number" in given:
        brands = cards.brands_of(frame["card_number"])
    if "account_number" in given:
        is_card = brands.is_not_null() | frame["account_number"].is_null()
        brands = brands.zip_with(is_card, pl.Series(["bank"]))
    if "iban" in given:
        is_other = brands.is_not_null() | frame["iban"].is_null()
        brands = brands.zip_with(is_other, pl.Series([IBAN_BRAND]))
    return [brands.alias("brand")]


def harmless(engine: Engine, values: pl.DataFrame) -> pl.DataFrame:
    """Make what is stored of the rows safe to keep, also of the wrong ones (``reason``).

    No name shows a card number. Of wrong rows names are cut, and codes that are not of their form
    and currencies that do not exist go: anything may have been typed there.
    """
    kept = {name: kept_names(engine, values[name]) for name in NAMES if values[name].count()}
    values = values.with_columns_seq(**kept) if kept else values
    bad = pl.col("reason").is_not_null()
    if values["reason"].null_count() == values.height:
        return values
    values = values.with_columns_seq(
        currency_code=pl.when(pl.col("exponent").is_not_null()).then("currency_code")
    )
    wrong = {
        name: pl.any_horizontal(test(pl.col(name)) for _, test in FIELDS[name].type.faults)
        for name in _CODES
    }
    return values.with_columns_seq(
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
    masked = masked_cells(names)
    if masked is names:
        return names
    places = (masked != names).fill_null(value=False).arg_true()
    if places.is_empty():
        return names
    marks = engine.keys.values_hashes(names.gather(places)).str.head(_MARK_CHARACTERS)
    return names.scatter(places, masked.gather(places) + "#" + marks)


def _minor(name: str) -> pl.Expr:
    return fields.MINOR_UNITS.read(pl.col(name))


def _placed(place: Place, frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``merchant_id`` and ``gate_id``; null where a name is unknown, 0 = the payment's gate."""
    merchants = _merchants(place, frame)
    gates = chosen(merchants, place.default_gates, pl.Int32())
    if frame["payment"].count():
        acts = frame["payment"].is_not_null() & ~frame["kind"].is_in(_making_kinds())
        gates = gates.zip_with(~acts.fill_null(value=False), pl.Series([0], dtype=pl.Int32))
    frame = frame.hstack([merchants, gates.alias("gate_id")])
    if frame["gate"].null_count() == frame.height:
        return frame
    if frame.height <= FEW_ROWS:
        rows = zip(merchants.to_list(), frame["gate"].to_list(), gates.to_list(), strict=True)
        known = place.gates_by_name
        found = [own if name is None else known.get((of, name)) for of, name, own in rows]
        return without(frame, "gate_id").hstack([pl.Series("gate_id", found, dtype=pl.Int32)])
    joined = frame.join(
        place.gate_names,
        left_on=["merchant_id", "gate"],
        right_on=["merchant_id", "gate_name"],
        how="left",
        maintain_order="left",
    )
    named_gate = pl.when(pl.col("gate").is_null()).then("gate_id").otherwise("named_gate_id")
    return without(joined.with_columns_seq(gate_id=named_gate), "named_gate_id")


def _merchants(place: Place, frame: pl.DataFrame) -> pl.Series:
    """Give each row's merchant: the one it names, its payment's, its gate's, or the batch's."""
    found = pl.Series([place.merchant_id], dtype=pl.Int32)
    if len(place.merchants) > 1:
        if frame["gate"].count():
            given = chosen(frame["gate"], place.gate_merchants, pl.Int32())
            found = given.zip_with(given.is_not_null(), found)
        if frame["owner_id"].count():
            found = frame["owner_id"].zip_with(frame["owner_id"].is_not_null(), found)
    named = chosen(frame["merchant"], place.merchants, pl.Int32())
    return named.zip_with(frame["merchant"].is_not_null(), found).alias("merchant_id")


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
        added = [pl.col(f"{name}_value").fill_null(0) for name in _EXEMPTIONS]
        found.append(_minor("base_amount_minor") + pl.sum_horizontal(added))
    return pl.coalesce(found).alias("requested_minor")


# What a base amount grows by, and the column that says that it does not.
_EXEMPTIONS = {"surcharge_minor": "surcharge_exempt", "tax_minor": "tax_exempt"}


def _part(name: str, given: frozenset[str]) -> pl.Expr:
    """Read a part of the amount; one that a base amount is exempt of is none."""
    if name not in _EXEMPTIONS or "base_amount_minor" not in given:
        return _minor(name)
    exempt = pl.col("base_amount_minor").is_not_null() & (pl.col(_EXEMPTIONS[name]) == "true")
    return pl.when(exempt.fill_null(value=False)).then(0).otherwise(_minor(name))


def _masked(given: frozenset[str]) -> pl.Expr:
    masks = {"card_number": mask_number, "account_number": mask_account, "iban": mask_account}
    return pl.coalesce(mask(pl.col(name)) for name, mask in masks.items() if name in given)
