"""Credit: give money to a payer without an earlier payment (a stand-alone refund).

When: the first payment is not known here, or was made elsewhere. It needs the full means. Where
the payment is known, a refund is safer: it can never give back more than was taken.

Sources: filebatch ``credit``; Commerce Web Services ``ReturnUnlinked``; OPPWA ``CD``; Sips
``credit``.
"""

import polars as pl

from paybatch.domain import columns, interchange
from paybatch.domain.connector import Verb
from paybatch.domain.effects import NewPayment
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer

_approved = pl.col("approved_minor")

KIND = Kind(
    name="credit",
    title="Credit",
    group="New payments",
    verb=Verb.CREDIT,
    subject=Subject.NEW_PAYMENT,
    fields=(*columns.NEW_PAYMENT, *columns.PURCHASE),
    amount=AmountRule.POSITIVE,
    faults=interchange.PURCHASE_FAULTS,
    effects=(
        NewPayment(
            amounts={"authorized": _approved, "captured": _approved}, is_payout=pl.lit(value=True)
        ),
    ),
    transfers=(Transfer(Account.MERCHANT, Account.RECEIVABLE, _approved),),
    opposite="void",
    undone=(
        "before settlement, where the gate voids what was given (`void_captured`); "
        "afterwards nothing does"
    ),
    permission="credit",
    risk=Risk.GIVES,
    samples=(
        {
            "amount_minor": "700",
            "currency": "USD",
            "card_number": "4111111111111111",
            "card_expiry": "12/39",
            "reference": "credit-3001",
        },
    ),
)
