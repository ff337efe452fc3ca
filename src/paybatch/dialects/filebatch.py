"""Filebatch: the CSV upload of the FluidPay family (123checkout and others).

A header row, then sales, authorizations and credits; amounts are whole minor units. The result has
69 columns in the published order, every cell in quotes, one line for each input row in input
order. A row that was refused has an empty id; its reason stands in ``processor_response_text``.

An ``order_id``, which results are joined by, and a ``po_number`` have at most 17 characters, a
``description`` 100. The page says alphanumeric; the signs ``. _ : / # -`` are taken too, for orders
are often numbered with them, and in a description any text.

Source: 123checkout "Batch upload" (request and response format).
"""

from collections.abc import Sequence

import polars as pl

from paybatch.domain import columns, fields
from paybatch.domain.connector import Response
from paybatch.domain.dialect import Dialect
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason
from paybatch.domain.report import cell

_COLUMNS = {
    "transaction_type": "kind",
    "cc_number": "card_number",
    "cc_expiration": "card_expiry",
    "cc_cvc": "card_cvv",
    "ach_account_number": "account_number",
    "ach_routing_number": "routing_number",
    "ach_account_type": "account_type",
    "ach_sec_code": "sec_code",
    "customer_id": "customer",
    "payment_method_type": "means_type",
    "payment_method_id": "means_rank",
    "amount": "amount_minor",
    "base_amount": "base_amount_minor",
    "surcharge": "surcharge_minor",
    "shipping_amount": "shipping_minor",
    "tax_amount": "tax_minor",
    "discount_amount": "discount_minor",
    "surcharge_exempt": "surcharge_exempt",
    "order_id": "reference",
    "description": "description",
    "po_number": "po_number",
    "tax_exempt": "tax_exempt",
    "email_address": "email",
    "email_receipt": "email_receipt",
    "processor_id": "gate",
    **{field.name: field.name for field in columns.contact("billing")},
    **{field.name: field.name for field in columns.contact("shipping")},
}

_RESPONSE_CODES = {
    Response.APPROVED: "100",
    Response.CHALLENGED: "100",
    Response.PARTIALLY_APPROVED: "110",
    Response.DECLINED: "200",
    Response.DO_NOT_HONOR: "201",
    Response.INSUFFICIENT_FUNDS: "202",
    Response.LIMIT_EXCEEDED: "203",
    Response.INVALID_TRANSACTION: "204",
    Response.INVALID_AMOUNT: "220",
    Response.NO_SUCH_ISSUER: "221",
    Response.EXPIRED_CARD: "223",
    Response.INVALID_CVV: "225",
    Response.REFER_TO_ISSUER: "240",
    Response.PICK_UP: "250",
    Response.LOST_CARD: "251",
    Response.STOLEN_CARD: "252",
    Response.STOP_RECURRING: "261",
    Response.DUPLICATE: "301",
    Response.PROCESSOR_ERROR: "400",
    Response.NOT_FOUND: "421",
    Response.NOT_TAKEN: "421",
}
_GATEWAY_DECLINE = "300"
_REASON_CODES = {
    **{reason.value: "220" for reason in Reason if reason.value.startswith("amount_")},
    **{reason.value: "310" for reason in Reason if reason.value.endswith("_listed")},
    Reason.EXPIRY_PAST: "223",
    Reason.EXPIRY_MALFORMED: "223",
    Reason.CVV_MALFORMED: "225",
    Reason.CVV_GONE: "225",
    Reason.KEY_CONFLICT: "301",
    Reason.KEY_RUNNING: "301",
    Reason.NOT_SUPPORTED: "410",
}
_STATUSES = {
    Status.CAPTURED: "pending_settlement",
    Status.CREDITED: "pending_settlement",
    Status.AUTHORIZED: "authorized",
    Status.CHALLENGED: "flagged",
    Status.DECLINED: "declined",
    Status.SETTLED: "settled",
    Status.UNKNOWN: "unknown",
    Status.PENDING: "pending",
}

_approved = pl.col("approved_minor")
_is_final = pl.col("response").is_not_null()
_captured = pl.when(pl.col("status").is_in([Status.CAPTURED, Status.CREDITED]))
_is_bank = pl.col("brand") == "bank"


def _rejected(otherwise: pl.Expr, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("state") == "rejected").then(value).otherwise(otherwise)


def _code() -> pl.Expr:
    answered = pl.col("response").replace_strict(
        _RESPONSE_CODES, default="0", return_dtype=pl.String
    )
    refused = pl.col("reason").replace_strict(
        _REASON_CODES, default=_GATEWAY_DECLINE, return_dtype=pl.String
    )
    return _rejected(answered.fill_null("0"), refused)


def _expiration() -> pl.Expr:
    digits = pl.col("expiry").cast(pl.String).str.zfill(4)
    return digits.str.slice(2, 2) + pl.lit("/") + digits.str.slice(0, 2)


_EMPTY = pl.lit(None, pl.String)
_CONTACT = (
    *("first_name", "last_name", "company", "address_line_1", "address_line_2", "city", "state"),
    *("postal_code", "country", "email", "phone", "fax"),
)
_RESULT: dict[str, pl.Expr] = {
    "id": pl.when(pl.col("state") != "rejected").then(pl.col("payment")),
    "user_name": pl.col("sender"),
    "idempotency_key": _EMPTY,
    "type": pl.coalesce(cell("transaction_type"), "kind"),
    "transaction_source": pl.lit("batch"),
    "ip_address": _EMPTY,
    "amount": pl.col("amount_minor"),
    "amount_authorized": pl.when(_is_final).then(_approved).otherwise(0),
    "amount_captured": _captured.then(_approved).otherwise(0),
    "amount_settled": pl.lit(0),
    "tip": pl.col("tip_minor").fill_null(0),
    "service_fee": pl.lit(0),
    "tax_amount": pl.col("tax_minor").fill_null(0),
    "tax_exempt": cell("tax_exempt").fill_null("false"),
    "shipping_amount": pl.col("shipping_minor").fill_null(0),
    "po_number": cell("po_number"),
    "order_id": cell("order_id"),
    "settlement_batch_id": _EMPTY,
    "referenced_transaction_id": _EMPTY,
    "payment_method": pl.when(_is_bank).then(pl.lit("ach")).otherwise(pl.lit("card")),
    "payment_type": pl.when(_is_bank).then(pl.lit("ach")).otherwise(pl.lit("card")),
    "response": _rejected(pl.col("state"), pl.lit("rejected")),
    "response_code": _code(),
    "status": pl.col("status").replace_strict(_STATUSES, default=None, return_dtype=pl.String),
    "processor_type": pl.col("connector"),
    "processor_id": pl.col("gate"),
    "processor_name": pl.col("gate"),
    "subscription_id": _EMPTY,
    "currency_iso_code": pl.col("currency").str.to_lowercase(),
    "customer_id": cell("customer_id"),
    "email_address": cell("email_address"),
    **{f"billing_{name}": cell(f"billing_{name}") for name in _CONTACT},
    **{f"shipping_{name}": cell(f"shipping_{name}") for name in _CONTACT},
    "created_at": pl.col("accepted_at"),
    "captured_at": _captured.then(pl.col("settled_at")),
    "settled_at": _EMPTY,
    "card_type": pl.when(~_is_bank).then(pl.col("brand")),
    "entry_type": pl.lit("manual"),
    "masked_account": pl.col("masked"),
    "expiration": _expiration(),
    "auth_code": pl.col("approval_code"),
    "processor_response_code": pl.col("processor_code"),
    "processor_response_text": _rejected(pl.col("processor_text"), pl.col("message")),
    "sec_code": pl.col("sec_code"),
    "account_type": pl.col("account_type"),
    "avs_response_code": pl.col("avs_result"),
    "cvv_response_code": pl.col("cvv_result"),
}


def _result(rows: pl.DataFrame, request: Sequence[str]) -> pl.DataFrame:
    """Lay out the 69 columns; a column that the request did not have is empty."""
    absent = [_EMPTY.alias(f"in:{name}") for name in _COLUMNS if name not in request]
    laid_out = [value.cast(pl.String).alias(name) for name, value in _RESULT.items()]
    return rows.with_columns_seq(absent).select_seq(laid_out)


DIALECT = Dialect(
    name="filebatch",
    title="Batch upload of the FluidPay family",
    source="123checkout, Batch upload",
    columns=_COLUMNS,
    required=frozenset({"transaction_type"}),
    marks=frozenset({"transaction_type", "cc_number", "cc_expiration", "base_amount"}),
    words={"kind": {"sale": "sale", "authorize": "authorize", "credit": "credit"}},
    limits={
        "reference": fields.word(17),
        "po_number": fields.word(17),
        "description": fields.text(100),
        "sec_code": fields.choice("WEB", "CCD", "PPD"),
    },
    id_shape="base32_20",
    quote_all=True,
    result=_result,
    result_columns=lambda _: list(_RESULT),
    sample_kinds=frozenset({"sale", "authorize", "credit"}),
)
