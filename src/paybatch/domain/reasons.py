"""Why we refuse a row: one list, in order of precedence.

A row may be wrong in several ways. All of them are listed with their column and masked value; the
one that stands first in this list is the row's reason. Each sentence says what is allowed.
"""

from enum import StrEnum
from typing import Self

import polars as pl

from paybatch.domain.delimited_blocks import MAX_LINE_BYTES


class Reason(StrEnum):
    """The code of a refusal. Order of definition is order of precedence."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> Self:
        """Make a member that is its code and carries its sentence."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    # The record
    TOO_FEW_FIELDS = "too_few_fields", "the line has fewer fields than the header"
    TOO_MANY_FIELDS = "too_many_fields", "the line has more fields than the header"
    UNBALANCED_QUOTE = (
        "unbalanced_quote",
        "a quote is opened and not closed on its line; a cell may not contain a line end",
    )
    NOT_TEXT = "not_text", "the line holds bytes that are not text in the file's encoding"
    LINE_TOO_LONG = (
        "line_too_long",
        f"the line is longer than {MAX_LINE_BYTES:,} bytes; is a line end missing?",
    )
    CELL_TOO_LONG = "cell_too_long", "the cell is longer than the limit"
    CONTROL_CHARACTER = (
        "control_character",
        "a cell may hold no control characters; save the file as plain text",
    )

    # Who and what
    KIND_MISSING = "kind_missing", "the row names no kind of operation"
    KIND_UNKNOWN = "kind_unknown", "this is not a kind of operation; see `paybatch kinds`"
    MERCHANT_UNKNOWN = "merchant_unknown", "no such merchant, or none that this sender acts for"
    GATE_UNKNOWN = "gate_unknown", "the merchant has no gate of this name"
    GATE_MISSING = "gate_missing", "the row names no gate and the merchant has no default gate"
    NOT_SUPPORTED = "not_supported", "the gate's processor cannot do this kind of operation"

    # Values
    VALUE_MISSING = "value_missing", "this column is required for this kind"
    VALUE_NOT_ALLOWED = (
        "value_not_allowed",
        "this column has no meaning for this kind: leave it empty",
    )
    VALUE_MALFORMED = "value_malformed", "the value is not of the column's form"
    VALUE_TOO_LONG = "value_too_long", "the value is too long for the column"
    VALUE_SPREADSHEET = (
        "value_spreadsheet",
        "a spreadsheet turned the number into scientific notation; format the column as text",
    )
    DAY_MALFORMED = "day_malformed", "write a day as YYYY-MM-DD; 03/04 may mean two days"
    CHOICE_UNKNOWN = "choice_unknown", "the value is not one of those allowed"
    CURRENCY_UNKNOWN = "currency_unknown", "use a currency code of ISO 4217 such as EUR"
    CURRENCY_MISSING = "currency_missing", "the row names no currency and the gate has several"
    CURRENCY_NOT_AT_GATE = "currency_not_at_gate", "the gate does not take this currency"
    AMOUNT_MISSING = "amount_missing", "an amount is required"
    AMOUNT_TWICE = "amount_twice", "give the amount in one column only"
    AMOUNT_MALFORMED = (
        "amount_malformed",
        "use whole minor units, digits only: 100 is 1.00 in a currency of two digits",
    )
    AMOUNT_NOT_DECIMAL = (
        "amount_not_decimal",
        "use digits and a point, with exactly the currency's digits; 1,00 may mean 1.00 or 100",
    )
    AMOUNT_ZERO = "amount_zero", "the amount must be greater than zero"
    AMOUNT_NOT_ZERO = "amount_not_zero", "a verification has no amount, or zero"
    AMOUNT_TOO_LARGE = "amount_too_large", "an amount has at most 12 digits"
    AMOUNT_PARTS = "amount_parts", "surcharge, tax and shipping are more than the amount"
    NUMBER_MALFORMED = "number_malformed", "a card number is 12 to 19 digits, without blanks"
    TEST_VALUE = "test_value", "this is a test number; a live gate takes real ones only"
    NUMBER_CHECK_DIGIT = "number_check_digit", "the card number's check digit is wrong"
    EXPIRY_MALFORMED = "expiry_malformed", "write the expiry as MM/YY, for example 09/29"
    EXPIRY_PAST = "expiry_past", "the card has expired"
    CVV_MALFORMED = "cvv_malformed", "a CVV is three or four digits"
    ACCOUNT_MALFORMED = "account_malformed", "an account number is 4 to 17 digits"
    ROUTING_MALFORMED = "routing_malformed", "a routing number is nine digits"
    ROUTING_CHECK_DIGIT = "routing_check_digit", "the routing number's check digit is wrong"
    IBAN_MALFORMED = "iban_malformed", "an IBAN begins with its country, in capitals without blanks"
    IBAN_CHECK_DIGITS = "iban_check_digits", "the IBAN's check digits are wrong, or its length is"
    CREDITOR_CHECK_DIGITS = "creditor_check_digits", "the creditor identifier's digits are wrong"
    MEANS_MISSING = (
        "means_missing",
        "give a card, a card reference, a bank account, a customer or an identifier to pay with",
    )
    MEANS_SEVERAL = (
        "means_several",
        "give one means only: card, reference, bank account, customer, identifier",
    )
    MEANS_INCOMPLETE = "means_incomplete", "this column is required for the means that was given"
    ZERO_NOT_AT_BRAND = "zero_not_at_brand", "this card brand takes no authorization of zero"
    REFERENCE_NOT_FOUND = "card_reference_unknown", "the card reference is not known here"
    CUSTOMER_UNKNOWN = "customer_unknown", "the merchant has no such customer, or no such means"
    IDENTIFIER_UNKNOWN = (
        "identifier_unknown",
        "the merchant has no card for this identifier; see the kind card_mapping",
    )
    CARD_NEEDED = "card_needed", "this is a bank account: give a card"
    ACCOUNT_NEEDED = "account_needed", "this is a card: give a bank account, or name a mandate"
    IBAN_NEEDED = "iban_needed", "a mandate is for an IBAN: give one, or the reference of one"
    MANDATE_NEEDED = "mandate_needed", "money is taken from an IBAN with a mandate: direct_debit"
    CVV_GONE = "cvv_gone", "the CVV's time is over and the gate requires one; send the row again"

    INSTALMENT_PAIR = (
        "instalment_pair",
        "give instalment_number and instalment_count for the pattern instalment, and only then",
    )
    INSTALMENT_ABOVE = "instalment_above", "the number of an instalment is at most their count"
    SCHEME_ID_MISSING = (
        "scheme_id_missing",
        "a payment that the merchant starts in a series needs the scheme's id of the first one",
    )
    PATTERN_MISSING = "pattern_missing", "name the pattern of a payment that the merchant starts"
    ORDER_NUMBER_MISSING = "order_number_missing", "line items need the order's number, po_number"
    TAX_EXEMPT_DIFFERS = (
        "tax_exempt_differs",
        "a number of tax exemption stands only with tax_exempt true",
    )

    CAPTURE_DAY_ALONE = (
        "capture_day_alone",
        "a capture_day stands only with the capture_mode author_capture or validation",
    )
    CAPTURE_AT_ONCE = (
        "capture_at_once",
        "an authorization is not captured at once: use the kind sale",
    )
    HOLD_NOT_AT_MEANS = (
        "hold_not_at_means",
        "a bank account cannot be held for a later capture",
    )

    RANGE_WRONG = "range_wrong", "give amount_from and amount_to, the first not above the second"
    FINISH_BEFORE_START = "finish_before_start", "the finish is on or after the start"

    SUBJECT_MISSING = "subject_missing", "name a payment, or give one of the columns in its place"
    SUBJECT_SEVERAL = (
        "subject_several",
        "name one thing only: a payment, or what stands in its place",
    )

    # Gates
    GATES_MISSING = "gates_missing", "name the gate, or the processor whose gates are meant"
    GATES_SEVERAL = "gates_several", "name a gate or a processor, not both"
    PROCESSOR_UNKNOWN = "processor_unknown", "the merchant has no gate at this processor"
    GATE_CLOSING = (
        "gate_closing",
        "a close of this gate is under way or was not taken: see to it or unlock the gate",
    )
    GATE_CLOSES = (
        "gate_closes",
        "the gate's day is being closed: send it again in a moment, or unlock a gate that is stuck",
    )
    SUMS_OF_CURRENCIES = (
        "sums_of_currencies",
        "the day has several currencies, which have no common sum: expect counts only",
    )
    DOCUMENT_MISSING = (
        "document_missing",
        "the archive holds no document of this name; write it as it is called there",
    )
    SELECTION_SEVERAL = "selection_several", "choose by payments or by days, not by both"
    DAYS_REVERSED = "days_reversed", "the first day is after the last one"
    DIFFERENCE_UNUSED = (
        "difference_unused",
        "a differing amount is for a payment that is not chosen",
    )
    NOTHING_OPEN = "nothing_open", "nothing of the gate's payments is open for this"
    FILE_NEEDED = "file_needed", "this makes operations of its own: hand it in as a file"
    TOTALS_DIFFER = "totals_differ", "the day has other totals than were expected; nothing moved"

    # Our lists
    NUMBER_LISTED = "number_listed", "the card or account is on a list of those that are not served"
    BIN_LISTED = "bin_listed", "cards that begin so are on a list of those that are not served"
    EMAIL_LISTED = "email_listed", "the e-mail address is on a list of those that are not served"
    IP_LISTED = "ip_listed", "the IP address is on a list of those that are not served"

    # The subject
    # One for ids and references: so nobody learns that an id is another merchant's.
    PAYMENT_UNKNOWN = "payment_unknown", "the merchant has no payment of this id or reference"
    REFERENCE_REJECTED = (
        "reference_rejected",
        "the row above that was to make the payment of this reference is rejected",
    )
    REFERENCE_AMBIGUOUS = "reference_ambiguous", "several payments have this reference: use the id"
    GATE_DIFFERS = "gate_differs", "the payment was made at another gate"
    MANDATE_ENDED = "mandate_ended", "the last debit of the mandate was made: nothing may follow"
    MANDATE_CANCELLED = "mandate_cancelled", "the mandate was cancelled: get a new one"
    SEQUENCE_NOT_ALLOWED = (
        "sequence_not_allowed",
        "a mandate for one debit takes OOFF; one for several FRST first, then RCUR, FNAL as last",
    )
    DISPUTE_UNKNOWN = (
        "dispute_unknown",
        "the payment has no such dispute; `paybatch payment show` lists what it has",
    )
    DISPUTE_DIFFERS = "dispute_differs", "the dispute has another ARN"
    DISPUTE_AMBIGUOUS = (
        "dispute_ambiguous",
        "the payment has several disputes: name one by its id or its ARN",
    )
    ALERT_ANSWERED = (
        "alert_answered",
        "the alert service was told this of the alert before; it is told once",
    )
    CARD_HELD = "card_held", "the customer's wallet has this card already"
    WALLET_FULL = "wallet_full", "a wallet has at most 99 means"
    CURRENCY_DIFFERS = "currency_differs", "the payment is in another currency"
    PAYMENT_IN_DOUBT = "payment_in_doubt", "the payment's outcome is not known yet"
    CHALLENGED = "challenged", "the payment is held by its fraud score: accept or refuse it first"
    CAPTURED_ALREADY = "captured_already", "the gate captures a payment once"
    OTHER_UNDER_WAY = (
        "other_under_way",
        "another operation on it is not known yet, and both cannot be: send this one again then",
    )
    REVERSAL_PREPARED = (
        "reversal_prepared",
        "a reversal of the payment is prepared: commit_reversal or withdraw_reversal comes first",
    )
    NOTHING_PREPARED = "nothing_prepared", "no reversal of the payment is prepared"
    NO_REVERSAL_PENDING = (
        "no_reversal_pending",
        "no reversal of the payment waits for its answer: one that failed is sent anew",
    )
    CANCELLED_ALREADY = (
        "cancelled_already",
        "the payment is cancelled already: a cancelled one cannot be cancelled",
    )
    HOLD_EXPIRED = "hold_expired", "the authorization has expired; `duplicate` asks for a new one"
    NOT_BY_CARD = "not_by_card", "the payment was not made by card: only such authorizations change"
    NOT_A_DEBIT = (
        "not_a_debit",
        "the payment was taken from no bank account; for a card see the kind chargeback",
    )
    TRANSFER_ARRIVED = (
        "transfer_arrived",
        "the transfer's money has moved and is not cancelled: refund a pay-in; a payout is final",
    )
    SETTLED_ALREADY = "settled_already", "the payment is settled: refund it instead"
    NOT_SETTLED_YET = "not_settled_yet", "the gate refunds settled payments only"
    NO_MONEY_AWAITED = (
        "no_money_awaited",
        "no money is awaited: what a card or account holds comes by its capture, a payout goes out",
    )
    RECURRING_OVER = "recurring_over", "the recurring payment has ended: make a new one"
    RECURRING_PAUSED = "recurring_paused", "the recurring payment is paused: resume it first"
    CARD_USED_UP = (
        "card_used_up",
        "the card was declined for good: give another one, or its new expiry",
    )
    NOTHING_TO_COMMIT = (
        "nothing_to_commit",
        "no reversal is prepared: give the amount to reverse at once, or prepare one by `reverse`",
    )
    STATUS_NOT_ALLOWED = "status_not_allowed", "the payment's status does not allow this"
    NOTHING_LEFT = "nothing_left", "nothing of the payment is left for this"
    PARTIAL_NOT_SUPPORTED = "partial_not_supported", "the gate does this for the whole amount only"
    AMOUNT_ABOVE_LEFT = "amount_above_left", "the amount is more than what is left of the payment"

    # The processor's answer
    PARTIAL_NOT_ALLOWED = (
        "partial_not_allowed",
        "the processor approved a part only and the row allows none: the part was reversed",
    )

    # The same again
    KEY_CONFLICT = "key_conflict", "this idempotency key was used before with other values"
    KEY_RUNNING = "key_running", "the operation with this idempotency key is still running"


PRECEDENCE = {reason.value: rank for rank, reason in enumerate(Reason)}


def precedence_of(reason: pl.Expr) -> pl.Expr:
    """Give the rank (Int32, 0 first) of a column of reason codes."""
    return reason.replace_strict(PRECEDENCE, return_dtype=pl.Int32)


def sentence_of(reason: pl.Expr) -> pl.Expr:
    """Give the sentence of a column of reason codes."""
    sentences = {reason.value: reason.sentence for reason in Reason}
    return reason.replace_strict(sentences, default=None, return_dtype=pl.String)
