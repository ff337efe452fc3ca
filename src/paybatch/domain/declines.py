"""Declines: which may be asked again, and which must not.

A soft decline may end otherwise on another day. A hard one never does as long as the card is the
same. A stop code about the card (it is lost or stolen) is hard; one about the agreement (the payer
took it back) ends the agreement, whatever the card.

Sources: Visa, excessive reattempts (category 1: never approve; category 2: cannot approve now);
Mastercard merchant advice codes (03 do not try again, 21 stop recurring); FluidPay response codes
251, 252 and 261.
"""

import polars as pl

from paybatch.domain.connector import Response

SOFT = frozenset(
    {
        Response.DECLINED,
        Response.DO_NOT_HONOR,
        Response.INSUFFICIENT_FUNDS,
        Response.LIMIT_EXCEEDED,
        Response.REFER_TO_ISSUER,
        Response.PROCESSOR_ERROR,
    }
)
STOPS_AGREEMENT = frozenset({Response.STOP_RECURRING})
STOPS_CARD = frozenset({Response.LOST_CARD, Response.STOLEN_CARD, Response.PICK_UP})
HARD = (
    frozenset(Response)
    - SOFT
    - STOPS_AGREEMENT
    - {Response.APPROVED, Response.PARTIALLY_APPROVED, Response.CHALLENGED}
)


def is_soft(response: pl.Expr) -> pl.Expr:
    """Tell which responses may be another one tomorrow."""
    return _is_one_of(response, SOFT)


def is_hard(response: pl.Expr) -> pl.Expr:
    """Tell which responses this card will get again."""
    return _is_one_of(response, HARD)


def stops_agreement(response: pl.Expr) -> pl.Expr:
    """Tell which responses forbid to charge this payer again."""
    return _is_one_of(response, STOPS_AGREEMENT)


def _is_one_of(response: pl.Expr, some: frozenset[Response]) -> pl.Expr:
    return response.is_in(sorted(each.value for each in some)).fill_null(value=False)
