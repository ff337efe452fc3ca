"""Interchange: what a scheme wants to know of a payment beside its amount; rules for new payments.

Who starts it, which series it belongs to and the first payment of that, an approval by telephone,
and what a purchasing card's owner is told (level 2 and 3).

Sources: Commerce Web Services InterchangeData, Level2Data and LineItemDetail; Sips paymentPattern
(RECURRING_1 is by the customer, RECURRING_N by the merchant).
"""

import polars as pl

from paybatch.domain.capabilities import Capabilities
from paybatch.domain.kind import Fault
from paybatch.domain.reasons import Reason

_PATTERN = pl.col("pattern")
_BY_MERCHANT = pl.col("initiator") == "merchant"
_NUMBER = pl.col("instalment_number").cast(pl.Int16, strict=False)
_COUNT = pl.col("instalment_count").cast(pl.Int16, strict=False)
_HAS_NUMBER, _HAS_COUNT = _NUMBER.is_not_null(), _COUNT.is_not_null()
_IS_INSTALMENT = (_PATTERN == "instalment").fill_null(value=False)
# The first of a series is started by the customer, so what the merchant starts is a later one;
# but instalment 1 may be charged by the merchant when an order is shipped.
_IS_LATER = _BY_MERCHANT & (
    _PATTERN.is_in(["recurring", "multiple"]) | (_IS_INSTALMENT & (_NUMBER > 1))
)
_DUTY = pl.col("duty_minor").cast(pl.Int64, strict=False)

_NO_SCHEME_ID = _IS_LATER & pl.col("scheme_transaction_id").is_null()
CHAINED_FAULTS = (
    Fault(
        Reason.INSTALMENT_PAIR,
        "instalment_number",
        (_HAS_NUMBER != _HAS_COUNT) | (_IS_INSTALMENT != _HAS_NUMBER),
        about=("instalment_number", "instalment_count", "pattern"),
    ),
    Fault(
        Reason.INSTALMENT_ABOVE,
        "instalment_number",
        _NUMBER > _COUNT,
        about=("instalment_number",),
    ),
    Fault(
        Reason.PATTERN_MISSING,
        "pattern",
        _BY_MERCHANT & _PATTERN.is_null(),
        about=("initiator",),
    ),
)
# A payment from an earlier one has that one's id, which is known only then: `no_scheme_id`.
SERIES_FAULTS = (
    *CHAINED_FAULTS,
    Fault(Reason.SCHEME_ID_MISSING, "scheme_transaction_id", _NO_SCHEME_ID, about=("initiator",)),
)
PURCHASE_FAULTS = (
    Fault(
        Reason.AMOUNT_PARTS,
        "duty_minor",
        pl.col("requested_minor") < _DUTY,
        about=("duty_minor",),
    ),
    Fault(
        Reason.TAX_EXEMPT_DIFFERS,
        "tax_exempt_number",
        pl.col("tax_exempt_number").is_not_null()
        & ~(pl.col("tax_exempt") == "true").fill_null(value=False),
        about=("tax_exempt_number",),
    ),
    Fault(
        Reason.ORDER_NUMBER_MISSING,
        "po_number",
        pl.col("line_items").is_not_null() & pl.col("po_number").is_null(),
        about=("line_items",),
    ),
)
# Only the issuer of a card gives approvals by telephone.
_VOICE_FAULT = Fault(
    Reason.VALUE_NOT_ALLOWED,
    "voice_approval_code",
    pl.col("voice_approval_code").is_not_null() & (pl.col("brand") == "bank"),
    about=("voice_approval_code",),
)
FAULTS = (*SERIES_FAULTS, *PURCHASE_FAULTS, _VOICE_FAULT)


def no_scheme_id(_: Capabilities) -> tuple[Fault, ...]:
    """Give the refusal of rows of a series that have no scheme's id, nor has their source."""
    return (Fault(Reason.SCHEME_ID_MISSING, "scheme_transaction_id", _NO_SCHEME_ID),)
