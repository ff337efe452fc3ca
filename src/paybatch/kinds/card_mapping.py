"""Card mapping: an identifier (a phone number, an e-mail address ...) that stands for a card.

When: a payer is to be debited by what he is known by, without a card number. A row maps one
identifier; several rows may map several to one card. The newest mapping of an identifier holds. A
sale, an authorization or a credit may then give the identifier in place of a card. Mappings are
looked at when a file is read: what a row of the same file maps, the next file can use.

Source: ConnPay Add Card Mappings.
"""

import polars as pl

from paybatch.domain import card_subject, columns, identifiers, payment
from paybatch.domain.effects import Fact, Record
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject

_fields = (*columns.ADDRESS, columns.IDENTIFIER_TYPE, columns.IDENTIFIER, *columns.CARD)

KIND = Kind(
    name="card_mapping",
    title="Identifier of a card",
    group="Wallets",
    verb=None,
    subject=Subject.PAYMENT_OR_MEANS,
    fields=_fields,
    required=frozenset({"identifier_type", "identifier"}),
    amount=AmountRule.NONE,
    faults=card_subject.card_faults(_fields),
    statuses=lambda _: payment.KNOWN,
    refusals=card_subject.card_refusals,
    effects=(
        Record(
            fact=Fact.CARD_NAME,
            values={
                "name_type": pl.col("identifier_type"),
                "name": identifiers.normal(),
                "number_id": card_subject.NUMBER,
                "expiry": card_subject.EXPIRY,
            },
        ),
    ),
    reads=(columns.IDENTIFIER_TYPE, columns.IDENTIFIER),
    waits_for_all=True,
    keeps_lines=True,
    opposite=None,
    permission="wallet",
    risk=Risk.MARK,
    samples=(
        {"identifier_type": "email", "identifier": "ada@example.com", "payment": "order-1001"},
        {
            "identifier_type": "phone",
            "identifier": "+44 20 7946 0018",
            "card_number": "5555555555554444",
            "card_expiry": "11/39",
        },
    ),
)
