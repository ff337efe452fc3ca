"""The rules of a row's own values, as faults over whole columns.

The faults are made once for a set of kinds and columns and kept: making expressions costs more
than a table of one row.
"""

from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from paybatch import registry
from paybatch.domain.kind import AmountRule, Fault, Kind
from paybatch.domain.money import AMOUNT_DIGITS_MAX
from paybatch.domain.reasons import Reason
from paybatch.flow.describe import AMOUNT_COLUMNS, FIELDS, MEANS_COLUMNS
from paybatch.flow.values import PARTS


def _given(name: str) -> pl.Expr:
    return pl.col(name).is_not_null()


def _is_one_of(kinds: list[Kind]) -> pl.Expr:
    return pl.col("kind").is_in([kind.name for kind in kinds])


def _type_faults(present: frozenset[str]) -> list[Fault]:
    """A fault for every way in which the text of a column can be wrong; the first one counts."""
    found = []
    for name in sorted(present & FIELDS.keys()):
        earlier: pl.Expr | None = None
        for reason, test in FIELDS[name].type.faults:
            fails = test(pl.col(name))
            found.append(Fault(reason, name, fails if earlier is None else fails & ~earlier))
            earlier = fails if earlier is None else earlier | fails
    return found


def _identity_faults() -> list[Fault]:
    unknown_merchant = pl.col("merchant_id").is_null()
    gate_needed = ~unknown_merchant & pl.col("gate_id").is_null()
    return [
        Fault(Reason.KIND_MISSING, "kind", pl.col("kind_word").is_null()),
        Fault(Reason.KIND_UNKNOWN, "kind", _given("kind_word") & pl.col("kind").is_null()),
        Fault(Reason.MERCHANT_UNKNOWN, "merchant", unknown_merchant),
        Fault(Reason.GATE_UNKNOWN, "gate", gate_needed & _given("gate")),
        Fault(Reason.GATE_MISSING, "gate", gate_needed & ~_given("gate")),
    ]


def _presence_faults(kinds: list[Kind], present: frozenset[str]) -> list[Fault]:
    """Which columns a kind needs and which it does not take."""
    found = []
    for kind in kinds:
        own = pl.col("kind") == kind.name
        taken = {field.name for field in kind.fields}
        found += [Fault(Reason.VALUE_MISSING, name, own & ~_given(name)) for name in kind.required]
        found += [
            Fault(Reason.VALUE_NOT_ALLOWED, name, own & _given(name))
            for name in sorted((present & FIELDS.keys()) - taken)
        ]
        found += [Fault(each.reason, each.column, own & each.fails) for each in kind.faults]
    return found


def _currency_faults(kinds: list[Kind]) -> list[Fault]:
    code, paying = pl.col("currency_code"), _is_one_of([kind for kind in kinds if kind.pays])
    at_gate = pl.col("gate_currencies").list.contains(code)
    unknown = _given("currency") & pl.col("exponent").is_null() & code.str.contains("^[A-Z]{3}$")
    return [
        Fault(Reason.CURRENCY_UNKNOWN, "currency", unknown),
        Fault(
            Reason.CURRENCY_MISSING,
            "currency",
            (paying | _given("amount")) & code.is_null() & _given("gate_id"),
        ),
        Fault(
            Reason.CURRENCY_NOT_AT_GATE,
            "currency",
            _given("currency") & pl.col("exponent").is_not_null() & ~at_gate,
        ),
    ]


def _amount_faults(kinds: list[Kind]) -> list[Fault]:
    given = pl.sum_horizontal(_given(name).cast(pl.Int8) for name in AMOUNT_COLUMNS)
    amount, exponent = pl.col("requested_minor"), pl.col("exponent")
    positive = _is_one_of([kind for kind in kinds if kind.amount is AmountRule.POSITIVE])
    left = _is_one_of([kind for kind in kinds if kind.amount is AmountRule.LEFT])
    zero = _is_one_of([kind for kind in kinds if kind.amount is AmountRule.ZERO])
    decimal = pl.col("amount")
    digits_differ = (
        decimal.str.contains(r"^[0-9]+(?:\.[0-9]+)?$")
        & (decimal.str.len_chars() <= AMOUNT_DIGITS_MAX + 1)
        & exponent.is_not_null()
        & amount.is_null()
    )
    parts = pl.sum_horizontal(pl.col(f"{name}_value").fill_null(0) for name in PARTS[:4])
    return [
        Fault(Reason.AMOUNT_MISSING, "amount_minor", positive & (given == 0)),
        Fault(Reason.AMOUNT_TWICE, "amount_minor", given > 1),
        Fault(Reason.AMOUNT_NOT_DECIMAL, "amount", digits_differ & (given == 1)),
        Fault(Reason.AMOUNT_ZERO, "amount_minor", (positive | left) & (amount == 0)),
        Fault(Reason.AMOUNT_NOT_ZERO, "amount_minor", zero & (amount > 0)),
        Fault(Reason.AMOUNT_TOO_LARGE, "amount_minor", amount > 10**AMOUNT_DIGITS_MAX - 1),
        Fault(Reason.AMOUNT_PARTS, "amount_minor", parts > amount),
    ]


def _means_faults(kinds: list[Kind], month: int) -> list[Fault]:
    paying = _is_one_of([kind for kind in kinds if kind.pays])
    given = pl.sum_horizontal(_given(name).cast(pl.Int8) for name in MEANS_COLUMNS)
    card, account = paying & _given("card_number"), paying & _given("account_number")
    incomplete = [
        Fault(Reason.MEANS_INCOMPLETE, name, account & ~_given(name))
        for name in ("routing_number", "account_type", "sec_code")
    ]
    return [
        Fault(Reason.MEANS_MISSING, "card_number", paying & (given == 0)),
        Fault(Reason.MEANS_SEVERAL, "card_number", paying & (given > 1)),
        Fault(Reason.MEANS_INCOMPLETE, "card_expiry", card & ~_given("card_expiry")),
        Fault(
            Reason.MEANS_INCOMPLETE,
            "card_cvv",
            card & pl.col("cvv_required").fill_null(value=False) & ~_given("card_cvv"),
        ),
        *incomplete,
        Fault(Reason.EXPIRY_PAST, "card_expiry", paying & (pl.col("expiry") < month)),
        Fault(Reason.NUMBER_CHECK_DIGIT, "card_number", pl.col("number_fails")),
        Fault(Reason.ROUTING_CHECK_DIGIT, "routing_number", pl.col("routing_fails")),
        Fault(Reason.REFERENCE_NOT_FOUND, "card_reference", pl.col("card_reference_unknown")),
        Fault(Reason.CUSTOMER_UNKNOWN, "customer", pl.col("customer_unknown")),
        Fault(Reason.NOT_SUPPORTED, "kind", pl.col("verb_missing")),
    ]


@dataclass(frozen=True)
class Ruled:
    """The rules for a set of kinds and columns: the faults, and expressions made from them.

    Attributes:
        faults: Everything that can be wrong with a row.
        flags: A column for each fault, named after its place.
    """

    faults: tuple[Fault, ...]
    flags: tuple[pl.Expr, ...]


@lru_cache(maxsize=256)
def ruled(kind_names: frozenset[str], present: frozenset[str], month: int) -> Ruled:
    """Give the rules for rows of these kinds.

    ``present`` names the columns that carry any value; ``month`` is now, as YYMM.
    """
    kinds = [registry.kinds()[name] for name in sorted(kind_names)]
    found = [
        *_identity_faults(),
        *_type_faults(present),
        *_presence_faults(kinds, present),
        *_currency_faults(kinds),
        *_amount_faults(kinds),
        *_means_faults(kinds, month),
    ]
    always = {"kind", "merchant", "gate", "card_number", "card_expiry", "currency", "amount_minor"}
    needed = always | {"card_cvv", "routing_number", "account_type", "sec_code"}
    needed |= {name for kind in kinds for name in kind.required}
    faults = tuple(each for each in found if each.column in present | needed)
    flags = tuple(
        each.fails.fill_null(value=False).alias(str(place)) for place, each in enumerate(faults)
    )
    return Ruled(faults, flags)
