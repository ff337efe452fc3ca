"""Direct debit: collect an amount from a payer's bank account.

When: the payer has signed a mandate (SEPA), which the row names as its `payment` with the sequence
type: `OOFF` for the one debit of such a mandate; `FRST`, then any number of `RCUR`, then `FNAL` for
several. Or by the account itself (ACH), as a sale takes it. Approved means accepted for collection:
what is due on a later day (`collect_on`) is in collection until `mark_collected`, all else is
captured at once. A `debit_return` tells that it came back. When the last debit of a mandate is
voided, or returned before it is due, the mandate is as it was, from the next file or call on.

Sources: Sips ``directDebitOrder``; EPC016-06 (sequence types); ConnPay ACH sale.
"""

import polars as pl

from paybatch.domain import columns, lists
from paybatch.domain.banks import IBAN_BRAND
from paybatch.domain.connector import Verb
from paybatch.domain.effects import ChangePayment, Fact, NewPayment, Record
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.ledger import Account, Transfer
from paybatch.domain.payment import USABLE_MANDATES
from paybatch.domain.reasons import Reason

_approved, _sequence = pl.col("approved_minor"), pl.col("sequence_type")
_day = pl.col("made_on").str.to_date("%Y-%m-%d")
_is_later = (pl.col("collect_on").cast(pl.Date) > _day).fill_null(value=False)
_now, _later = pl.when(~_is_later).then(_approved), pl.when(_is_later).then(_approved)
_by_mandate, _status, _state = pl.col("payment").is_not_null(), pl.col("status"), pl.col("state")
_found = pl.col("found_brand")
_fits = (
    ((_status == "mandate_once") & (_sequence == "OOFF"))
    | ((_status == "mandate_open") & (_sequence == "FRST"))
    | ((_status == "mandate_running") & _sequence.is_in(["RCUR", "FNAL"]))
)
_is_usable = _status.is_in(sorted(each.value for each in USABLE_MANDATES))
_fields = (
    *(*columns.ADDRESS, *columns.AMOUNTS, columns.PAYMENT, columns.SEQUENCE_TYPE),
    *(columns.COLLECT_ON, columns.ACCOUNT_NUMBER, columns.ROUTING_NUMBER, columns.ACCOUNT_TYPE),
    *(columns.SEC_CODE, columns.CARD_REFERENCE, columns.DESCRIPTION),
)

KIND = Kind(
    name="direct_debit",
    title="Direct debit",
    group="Direct debits",
    verb=Verb.DEBIT,
    subject=Subject.NEW_FROM_PAYMENT_OR_MEANS,
    fields=_fields,
    amount=AmountRule.POSITIVE,
    faults=(
        *lists.one_subject(_fields),
        Fault(Reason.VALUE_MISSING, "sequence_type", _by_mandate & _sequence.is_null()),
        Fault(Reason.VALUE_NOT_ALLOWED, "sequence_type", ~_by_mandate & _sequence.is_not_null()),
        Fault(Reason.MANDATE_NEEDED, "card_reference", _found == IBAN_BRAND),
        Fault(Reason.ACCOUNT_NEEDED, "card_reference", ~_found.is_in(["bank", IBAN_BRAND])),
    ),
    statuses=lambda _: USABLE_MANDATES,
    refusals=lambda _: (
        # Whether the debit under way is its last is not known: it is held until that has landed.
        Fault(Reason.PAYMENT_IN_DOUBT, "payment", pl.col("reserved_capture") > 0),
        Fault(Reason.MANDATE_ENDED, "payment", _status == "mandate_ended"),
        Fault(Reason.MANDATE_CANCELLED, "payment", _status == "mandate_cancelled"),
        Fault(Reason.SEQUENCE_NOT_ALLOWED, "sequence_type", _is_usable & ~_fits),
    ),
    effects=(
        NewPayment(
            state=pl.when(_is_later).then(pl.lit("in_collection")).otherwise(pl.lit("approved")),
            amounts={"authorized": _approved, "captured": _now.otherwise(0)},
        ),
        ChangePayment(
            # Only from the state that it was debited in: one that was cancelled meanwhile stays so.
            state=pl.when((_sequence == "FRST") & (_state == "mandate_open"))
            .then(pl.lit("mandate_running"))
            .when(
                ((_sequence == "OOFF") & (_state == "mandate_once"))
                | ((_sequence == "FNAL") & (_state == "mandate_running"))
            )
            .then(pl.lit("mandate_ended"))
        ),
        Record(
            fact=Fact.DEBIT,
            values={
                "mandate_id": pl.when(_sequence.is_not_null()).then("source_id"),
                "sequence_type": _sequence,
                "collect_on": pl.col("collect_on"),
            },
        ),
    ),
    reads=(columns.SEQUENCE_TYPE, columns.COLLECT_ON),
    allows_more=True,
    transfers=(
        Transfer(Account.IN_COLLECTION, Account.MERCHANT, _later),
        Transfer(Account.RECEIVABLE, Account.MERCHANT, _now),
    ),
    opposite="reverse",
    undone="voided before settlement, refunded after it",
    permission="sale",
    risk=Risk.TAKES,
    samples=(
        {
            "payment": "mandate-7101",
            "sequence_type": "FRST",
            "amount_minor": "4900",
            "currency": "USD",
            "reference": "debit-7201",
        },
        {
            "amount_minor": "9900",
            "currency": "USD",
            "collect_on": "2039-12-01",
            "account_number": "1234567890",
            "routing_number": "021000021",
            "account_type": "checking",
            "sec_code": "WEB",
            "reference": "debit-7202",
        },
    ),
)
