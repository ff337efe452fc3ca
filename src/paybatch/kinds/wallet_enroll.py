"""Wallet enroll: put a card into a customer's wallet, behind the means that it has.

When: a payer wants to pay with the card again without giving it. The card is the row's, one that we
hold already, or that of an earlier payment. A customer that is not there yet is made. The same card
with the same expiry is refused the second time. The answer tells the rank.

Sources: Sips wallet ``addCard``.
"""

import polars as pl

from paybatch.domain import card_subject, columns, payment
from paybatch.domain.effects import Enroll
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.text import filled

_fields = (*columns.ADDRESS, columns.CUSTOMER, *columns.CARD)

KIND = Kind(
    name="wallet_enroll",
    title="Card for a wallet",
    group="Wallets",
    verb=None,
    subject=Subject.PAYMENT_OR_MEANS,
    fields=_fields,
    required=frozenset({"customer"}),
    amount=AmountRule.NONE,
    faults=card_subject.card_faults(_fields),
    statuses=lambda _: payment.KNOWN,
    refusals=card_subject.card_refusals,
    effects=(
        Enroll(
            customer=pl.col("customer"),
            number_id=card_subject.NUMBER,
            expiry=card_subject.EXPIRY,
        ),
    ),
    reads=(columns.CUSTOMER,),
    tells=filled("the card has rank {}", "rank"),
    waits_for_all=True,
    keeps_lines=True,
    opposite=None,
    undone="a card stays in its wallet",
    permission="wallet",
    risk=Risk.MARK,
    samples=(
        {"customer": "customer-1002", "payment": "order-1001"},
        {"customer": "customer-1002", "card_number": "5555555555554444", "card_expiry": "11/39"},
    ),
)
