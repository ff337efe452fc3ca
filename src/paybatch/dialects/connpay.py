"""Connpay: a CSV of order ids for the batch operations of ConnPay (Payneteasy's white labels).

One operation for the whole file (``--kind reversal``), or one for each row in a column
``operation``. Words are ConnPay's (``reversal``, ``add_comment``, ``mark_sent``); our own names of
kinds are understood too. ``order_id`` names the payment: by the ``paynet-order-id`` of a result, by
our own id, or by the merchant's own order id (``client_orderid``). The ids of one file may belong
to several merchants of the sender. A file may hold nothing but ``order_id``: without an amount all
that is left is meant. Amounts are major units with a dot and all the currency's digits (10.50).

ConnPay publishes the operations, not the layouts of their files; the columns are inferred from its
API and screens, and ours to decide. Sales name their means by ``card-ref-id``; ``card-expiry``
(MM/YY) goes with ``credit-card-number``. ``endpoint_id`` is the gate. A file that closes days names
it or a ``processor_id``, with control totals (``sale_count``, ``sale_minor``, ``refund_count``,
``refund_minor``) and a ``request_id`` (the same one is done once). Card mappings name the card by
an order or by itself. ``status`` is kept with the row and given back, and nothing follows from it:
a dispute goes on by its ``stage``, and ``dispute_id`` or ``arn`` names it.

Of recurring payments ConnPay publishes card, payer and amounts (``rp_card_type``, ``amount-from``
...); when they are due and end is ours to name. ``order_id`` is then the order whose card is
charged, or the recurring payment that is changed or charged.

The result is the input without numbers and CVVs, with the outcome behind it: ``result_status`` in
ConnPay's words (approved, declined, filtered, error, processing, unknown), ``result_outcome`` and
``result_reason`` in ours, ``result_message``, ``paynet-order-id`` (the payment) and
``serial-number`` (this operation). They have names of their own, for ``status`` and ``outcome`` are
columns of requests, and are passed over when a result is sent in again.

Sources: ConnPay manager manual, Tools, Batch operations; Payneteasy API commands (statuses).
"""

from collections.abc import Sequence

import polars as pl

from paybatch.domain.connector import Response
from paybatch.domain.dialect import Dialect
from paybatch.domain.reasons import Reason
from paybatch.domain.report import cell

_COLUMNS = {
    "operation": "kind",
    "order_id": "payment",
    "client_orderid": "reference",
    "endpoint_id": "gate",
    "processor_id": "processor",
    "merchant_login": "merchant",
    "amount": "amount",
    "currency": "currency",
    "final": "final",
    "comment": "comment",
    "order_desc": "description",
    "date": "happened_on",
    "due_date": "due_on",
    "reason_code": "reason_code",
    "arn": "arn",
    "stage": "stage",
    "status": "",
    "document": "document",
    "alert_id": "alert_id",
    "outcome": "alert_outcome",
    "bank_reference": "bank_reference",
    "card-ref-id": "card_reference",
    "credit-card-number": "card_number",
    "card-expiry": "card_expiry",
    "cvv2": "card_cvv",
    "email": "email",
    "ipaddress": "customer_ip",
    "bin": "bin",
    "level": "level",
    "rp_card_type": "card_side",
    "amount-from": "amount_from",
    "amount-to": "amount_to",
    "amount-sequence": "amount_sequence",
    "period": "period",
    "every": "every",
    "start_date": "start_on",
    "finish_date": "finish_on",
    "finish_count": "finish_count",
    "attempts": "attempts",
    "action": "action",
    "scheme_transaction_id": "scheme_transaction_id",
    "first-name": "billing_first_name",
    "last-name": "billing_last_name",
    "address1": "billing_address_line_1",
    "city": "billing_city",
    "state": "billing_state",
    "zip-code": "billing_postal_code",
    "country": "billing_country",
    "phone": "billing_phone",
    "identifier_type": "identifier_type",
    "identifier": "identifier",
    "dispute_id": "dispute",
    "sale_count": "expected_sale_count",
    "sale_minor": "expected_sale_minor",
    "refund_count": "expected_refund_count",
    "refund_minor": "expected_refund_minor",
    "request_id": "idempotency_key",
}

_WORDS = {  # ours: ConnPay's, that of the samples first
    "sale": "sale sale_with_card_reference_id",
    "authorize": "preauth",
    "verify": "account_verification",
    "capture": "capture",
    "void": "cancel",
    "reverse": "reversal",
    "commit_reversal": "commit_reversal",
    "retry_reversal": "retry_pending_reversals retry_reversal",
    "refund": "refund",
    "chargeback": "chargeback",
    "chargeback_reversal": "dispute",
    "chargeback_info": "upload_chargebacks_info",
    "retrieval": "retrieval",
    "alert_update": "ethoca_alerts_update",
    "fraud": "fraud",
    "blacklist": "blacklist",
    "comment": "add_comment add_comment_to_transactions",
    "resend_callback": "resend_callbacks",
    "scoring": "scoring",
    "query_status": "query_status query_status_of_transactions",
    "mark_sent": "mark_sent pipo_mark_sent",
    "mark_received": "mark_received pipo_mark_received",
    "recurring_create": "create_recurring_payments",
    "recurring_update": "update_recurring_payments",
    "recurring_charge": "process_recurring_payments process_recurring_payment",
    "card_mapping": "add_card_mappings",
    "close_day": "close_day close_day_for_selected_gates",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_OWN = ("unblacklist", "transfer_create", "prepare_reversal", "withdraw_reversal")
_OURS = {kind: kind for kind in (*_WORDS, *_OWN)}

_STATUSES = {
    "approved": "approved",
    "declined": "declined",
    "rejected": "error",
    "failed": "error",
    "cancelled": "error",
    "queued": "processing",
    "sending": "processing",
}
_LISTED = [Reason.NUMBER_LISTED, Reason.BIN_LISTED, Reason.EMAIL_LISTED, Reason.IP_LISTED]


def _status() -> pl.Expr:
    """Give ConnPay's word for how an operation stands; what its fraud score holds goes on."""
    state, reason, response = pl.col("state"), pl.col("reason"), pl.col("response")
    return (
        pl.when((state == "rejected") & reason.is_in([each.value for each in _LISTED]))
        .then(pl.lit("filtered"))
        .when((state == "approved") & (response == Response.CHALLENGED.value))
        .then(pl.lit("processing"))
        .otherwise(state.replace_strict(_STATUSES, default="unknown", return_dtype=pl.String))
    )


_not_approved = pl.when(pl.col("state") != "approved")
_RESULT = {
    "result_status": _status(),
    "result_outcome": pl.col("state"),
    "result_reason": pl.col("reason"),
    "result_message": pl.coalesce("message", _not_approved.then(pl.col("processor_text"))),
    "paynet-order-id": pl.col("payment"),
    "serial-number": pl.col("operation"),
    "approval-code": pl.col("approval_code"),
}


def _given(request: Sequence[str]) -> list[str]:
    """Give the request's own columns, without those of an earlier result."""
    return [name for name in request if name not in _RESULT]


def _result(rows: pl.DataFrame, request: Sequence[str]) -> pl.DataFrame:
    kept = [cell(name).alias(name) for name in _given(request)]
    return rows.select_seq(*kept, *(value.alias(name) for name, value in _RESULT.items()))


def _card(number: str, reference: str, operation: str = "sale") -> dict[str, str]:
    means = {"card_number": number, "card_expiry": "12/39"}
    return {"kind": operation, "reference": reference, "amount_minor": "1250", **means}


def _on(payment: str, kind: str, **more: str) -> dict[str, str]:
    return {"kind": kind, "payment": payment, **more}


_SAMPLES = (
    *(_card("4111111111111111", f"order-{number}") for number in (1, 2, 3)),
    _card("5555555555554444", "order-4", "authorize"),
    _card("5555555555554444", "order-5", "authorize"),
    {
        **_on("order-1", "recurring_create", reference="recurring-1", amount_minor="1990"),
        "card_side": "SRC",
        "period": "month",
        "start_on": "2039-01-31",
        "finish_count": "12",
    },
    _on("recurring-1", "recurring_charge", reference="charge-1", amount_minor="500"),
    _on("recurring-1", "recurring_update", amount_from="15.00", amount_to="19.90", currency="USD"),
    _on("recurring-1", "recurring_update", action="stop"),
    {"kind": "transfer_create", "reference": "order-6", "amount_minor": "80000"},
    _on("order-1", "reverse", amount_minor="250", comment="one article came back"),
    _on("order-1", "commit_reversal"),
    _on("order-1", "comment", comment="the payer called"),
    _on("order-2", "chargeback", reason_code="10.4", happened_on="2026-11-20", arn="74537604221"),
    _on("order-2", "chargeback_info", stage="inquiry", due_on="2026-12-15"),
    _on("order-2", "chargeback_reversal", comment="won"),
    _on("order-3", "retrieval", reason_code="30", document="ticket-3.pdf"),
    _on("order-3", "alert_update", alert_id="EA-78", alert_outcome="stopped"),
    _on("order-3", "fraud", comment="the holder denies it"),
    _on("order-3", "scoring"),
    _on("order-3", "resend_callback"),
    _on("order-3", "query_status"),
    _on("order-4", "capture", amount_minor="1000"),
    _on("order-5", "void"),
    _on("order-6", "mark_sent", bank_reference="F7-2211"),
    _on("order-6", "mark_received"),
    _on("order-1", "card_mapping", identifier_type="phone", identifier="+44 20 7946 0018"),
    {
        "kind": "card_mapping",
        "identifier_type": "email",
        "identifier": "ada@example.com",
        "card_number": "5555555555554444",
        "card_expiry": "12/39",
    },
    _on("order-3", "blacklist", comment="see the fraud mark"),
    _on("order-3", "unblacklist", comment="a mistake"),
    {"kind": "close_day", "processor": "sandbox", "idempotency_key": "day-1"},
)

DIALECT = Dialect(
    name="connpay",
    title="Order ids for ConnPay's batch operations",
    source="ConnPay manager manual, Batch operations; the columns are ours",
    columns=_COLUMNS | dict.fromkeys(_RESULT, ""),
    required=frozenset(),
    marks=frozenset({"order_id", "client_orderid", "endpoint_id", "processor_id", "card-ref-id"}),
    words={"kind": _KINDS | {name: name for name in _OURS if name not in _KINDS}},
    id_shape="base32_20",
    quote_all=False,
    result=_result,
    result_columns=lambda request: [*_given(request), *_RESULT],
    sample_kinds=frozenset(_KINDS.values()),
    samples=tuple({"currency": "USD", **row} if "amount_minor" in row else row for row in _SAMPLES),
)
