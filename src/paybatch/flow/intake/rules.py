"""The rules of a row's own values, as faults over whole columns.

The faults are made once for a set of kinds and columns and kept: making expressions costs more
than a table of one row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from paybatch import registry
from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.dialect import Dialect
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.money import AMOUNT_DIGITS_MAX
from paybatch.domain.reasons import Reason
from paybatch.flow.describe import AMOUNT_COLUMNS, FIELDS, MEANS_COLUMNS, type_of
from paybatch.flow.intake.known import Known, Test, both, either, negated
from paybatch.flow.intake.values import PARTS

_EVERY_ROW = pl.col("line").is_not_null()


@dataclass(frozen=True)
class _Table:
    """What the rules need to know of a table: its kinds, what its file carries, its columns."""

    dialect: Dialect
    kinds: tuple[Kind, ...]
    present: frozenset[str]
    known: Known
    month: int

    def given(self, name: str) -> Test:
        return self.known.given(name)

    def missing(self, name: str) -> Test:
        return negated(self.known.given(name))

    def is_one_of(self, kinds: list[Kind]) -> Test:
        """Tell where a row's kind is one of these."""
        if not kinds:
            return False
        if len(kinds) == len(self.kinds) and "kind" in self.known.full:
            return True
        return pl.col("kind").is_in([kind.name for kind in kinds])

    @property
    def pays(self) -> Test:
        return self.is_one_of([kind for kind in self.kinds if kind.pays])

    @property
    def may_pay(self) -> Test:
        either_way = Subject.NEW_FROM_PAYMENT_OR_MEANS
        return self.is_one_of([kind for kind in self.kinds if kind.subject is either_way])


def _fault(reason: Reason, column: str, *tests: Test) -> Iterator[Fault]:
    """Give the fault of rows for which all tests hold; none if there can be no such row."""
    fails = both(*tests)
    if fails is not False:
        yield Fault(reason, column, _EVERY_ROW if fails is True else fails)


def _identity_faults(table: _Table) -> Iterator[Fault]:
    gate_needed = both(table.given("merchant_id"), table.missing("gate_id"))
    yield from _fault(Reason.KIND_MISSING, "kind", table.missing("kind_word"))
    yield from _fault(Reason.KIND_UNKNOWN, "kind", table.given("kind_word"), table.missing("kind"))
    yield from _fault(Reason.MERCHANT_UNKNOWN, "merchant", table.missing("merchant_id"))
    yield from _fault(Reason.GATE_UNKNOWN, "gate", gate_needed, table.given("gate"))
    yield from _fault(Reason.GATE_MISSING, "gate", gate_needed, table.missing("gate"))


def _type_faults(table: _Table) -> Iterator[Fault]:
    """A fault for every way in which the text of a column can be wrong; the first one counts."""
    for name in sorted((table.present & FIELDS.keys()) - {"kind"}):
        earlier: pl.Expr | None = None
        for reason, test in type_of(table.dialect, name).faults:
            fails = test(pl.col(name))
            yield Fault(reason, name, fails if earlier is None else fails & ~earlier)
            earlier = fails if earlier is None else earlier | fails


def _presence_faults(table: _Table) -> Iterator[Fault]:
    """Which columns a kind needs and which it does not take; and what it says of itself."""
    for kind in table.kinds:
        own = table.is_one_of([kind])
        taken = {field.name for field in kind.fields}
        for name in sorted(kind.required):
            yield from _fault(Reason.VALUE_MISSING, name, own, table.missing(name))
        for name in sorted((table.present & FIELDS.keys()) - taken):
            yield from _fault(Reason.VALUE_NOT_ALLOWED, name, own, table.given(name))
        for each in kind.faults:
            if each.about and table.present.isdisjoint(each.about):
                continue
            yield from _fault(each.reason, each.column, own, each.fails)


def _currency_faults(table: _Table) -> Iterator[Fault]:
    code, named = pl.col("currency_code"), table.given("currency")
    at_gate = pl.col("gate_currencies").list.contains(code)
    yield from _fault(
        Reason.CURRENCY_UNKNOWN,
        "currency",
        *(named, table.missing("exponent"), code.str.contains("^[A-Z]{3}$")),
    )
    yield from _fault(
        Reason.CURRENCY_MISSING,
        "currency",
        either(table.pays, table.given("amount"), both(table.may_pay, table.missing("payment"))),
        *(table.missing("currency_code"), table.given("gate_id")),
    )
    yield from _fault(
        Reason.CURRENCY_NOT_AT_GATE, "currency", named, table.given("exponent"), ~at_gate
    )


def _amount_faults(table: _Table) -> Iterator[Fault]:
    amount, decimal = pl.col("requested_minor"), pl.col("amount")
    wanted = {
        rule: table.is_one_of([kind for kind in table.kinds if kind.amount is rule])
        for rule in AmountRule
    }
    several = table.known.several_of(AMOUNT_COLUMNS)
    some = either(
        *(wanted[each] for each in (AmountRule.POSITIVE, AmountRule.LEFT, AmountRule.TERMS))
    )
    none = table.known.none_of(AMOUNT_COLUMNS)
    yield from _fault(Reason.AMOUNT_MISSING, "amount_minor", wanted[AmountRule.POSITIVE], none)
    yield from _fault(Reason.AMOUNT_TWICE, "amount_minor", several)
    yield from _fault(
        Reason.AMOUNT_NOT_DECIMAL,
        "amount",
        *(table.given("amount"), negated(several), table.given("exponent")),
        *(table.missing("requested_minor"), decimal.str.contains(r"^[0-9]+(?:\.[0-9]+)?$")),
        decimal.str.len_chars() <= AMOUNT_DIGITS_MAX + 1,
    )
    yield from _fault(Reason.AMOUNT_ZERO, "amount_minor", some, amount == 0)
    yield from _fault(Reason.AMOUNT_NOT_ZERO, "amount_minor", wanted[AmountRule.ZERO], amount > 0)
    yield from _fault(Reason.AMOUNT_TOO_LARGE, "amount_minor", amount > 10**AMOUNT_DIGITS_MAX - 1)
    parts = [f"{name}_value" for name in PARTS[:4]]
    total = pl.sum_horizontal(pl.col(name).fill_null(0) for name in parts)
    has_parts = negated(table.known.none_of(parts))
    yield from _fault(Reason.AMOUNT_PARTS, "amount_minor", has_parts, total > amount)


def _means_faults(table: _Table) -> Iterator[Fault]:
    pays = table.pays
    card = both(pays, table.given("card_number"))
    account = both(either(pays, table.may_pay), table.given("account_number"))
    means, expiry = table.known, pl.col("expiry")
    strict = pl.col("cvv_required").fill_null(value=False)
    free = [each for each in table.kinds if each.pays and each.takes_expiry]  # of all means
    none = both(table.is_one_of(free), means.none_of(MEANS_COLUMNS))
    yield from _fault(Reason.MEANS_MISSING, "card_number", none)
    yield from _fault(Reason.MEANS_SEVERAL, "card_number", pays, means.several_of(MEANS_COLUMNS))
    yield from _fault(Reason.MEANS_INCOMPLETE, "card_expiry", card, table.missing("card_expiry"))
    yield from _fault(Reason.MEANS_INCOMPLETE, "card_cvv", card, table.missing("card_cvv"), strict)
    by_name = both(pays, table.given("found_brand"), pl.col("found_brand") != "bank")
    for name in ("routing_number", "account_type", "sec_code"):
        yield from _fault(Reason.MEANS_INCOMPLETE, name, account, table.missing(name))
        is_card = either(card, by_name)
        alone = table.missing("account_number")  # else the two numbers are told
        yield from _fault(Reason.MEANS_SEVERAL, name, is_card, alone, table.given(name))
    yield from _fault(Reason.MEANS_SEVERAL, "card_cvv", account, table.given("card_cvv"))
    which = both(pays, either(table.given("means_rank"), table.given("means_type")))
    yield from _fault(Reason.MEANS_INCOMPLETE, "customer", which, table.missing("customer"))
    takes = [each for each in table.kinds if each.pays and each.risk is Risk.TAKES]
    found = both(table.is_one_of(takes), table.given("found_brand"))
    needs = both(found, pl.col("found_brand") == IBAN_BRAND)
    yield from _fault(Reason.MANDATE_NEEDED, "card_number", needs)
    named = both(pays, table.given("identifier"), table.missing("identifier_type"))
    yield from _fault(Reason.MEANS_INCOMPLETE, "identifier_type", named)
    dated = table.is_one_of([each for each in table.kinds if each.pays or each.takes_expiry])
    yield from _fault(
        Reason.EXPIRY_PAST, "card_expiry", dated, table.given("expiry"), expiry < table.month
    )


# What was found out about each row beside these rules: a Boolean column for each.
MARKS = (
    (Reason.TEST_VALUE, "card_number", "number_is_test"),
    (Reason.TEST_VALUE, "routing_number", "routing_is_test"),
    (Reason.NUMBER_CHECK_DIGIT, "card_number", "number_fails"),
    (Reason.ROUTING_CHECK_DIGIT, "routing_number", "routing_fails"),
    (Reason.REFERENCE_NOT_FOUND, "card_reference", "card_reference_unknown"),
    (Reason.CUSTOMER_UNKNOWN, "customer", "customer_unknown"),
    (Reason.IDENTIFIER_UNKNOWN, "identifier", "identifier_unknown"),
    (Reason.NOT_SUPPORTED, "kind", "verb_missing"),
)


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
def ruled(
    kind_names: frozenset[str],
    present: frozenset[str],
    known: Known,
    marks: frozenset[str],
    month: int,
    *,
    dialect: str,
) -> Ruled:
    """Give the rules for rows of these kinds in this dialect.

    ``present`` names the columns of the file that carry any value, ``known`` tells of all columns;
    ``marks`` those of ``MARKS`` that any row has; ``month`` is the oldest good expiry (YYMM).
    """
    kinds = tuple(registry.kinds()[name] for name in sorted(kind_names))
    table = _Table(registry.dialects()[dialect], kinds, present, known, month)
    faults = (
        *_identity_faults(table),
        *_type_faults(table),
        *_presence_faults(table),
        *_currency_faults(table),
        *_amount_faults(table),
        *_means_faults(table),
        *(Fault(reason, column, pl.col(mark)) for reason, column, mark in MARKS if mark in marks),
    )
    flags = tuple(
        each.fails.fill_null(value=False).alias(str(place)) for place, each in enumerate(faults)
    )
    return Ruled(faults, flags)
