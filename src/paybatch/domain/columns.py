"""The engine's own columns, each declared once; kinds pick theirs from here.

Their names are those of the native dialect. Other dialects give them other names.
"""

from paybatch.domain import fields
from paybatch.domain.fields import Field
from paybatch.domain.line_items import LINE_ITEMS_JSON
from paybatch.domain.reasons import Reason
from paybatch.domain.selection import DIFFERING_AMOUNTS, PAYMENT_NAMES

KIND = Field(name="kind", type=fields.word(40), title="What to do; see `paybatch kinds`")
MERCHANT = Field(name="merchant", type=fields.word(64), title="Whose money it is")
GATE = Field(name="gate", type=fields.word(64), title="The merchant's account at a processor")
REFERENCE = Field(name="reference", type=fields.name(64), title="Your own name for this row")
IDEMPOTENCY_KEY = Field(
    name="idempotency_key", type=fields.name(128), title="The same key is never done twice"
)

AMOUNT_MINOR = Field(
    name="amount_minor", type=fields.MINOR_UNITS, title="Amount in minor units: 100 is 1.00"
)
AMOUNT = Field(name="amount", type=fields.DECIMAL_AMOUNT, title="Amount with a decimal point: 1.00")
BASE_AMOUNT_MINOR = Field(
    name="base_amount_minor",
    type=fields.MINOR_UNITS,
    title="Amount before surcharge and tax, which are added",
)
CURRENCY = Field(name="currency", type=fields.CURRENCY, title="ISO 4217 code; default: the gate's")
SURCHARGE = Field(
    name="surcharge_minor", type=fields.MINOR_UNITS, title="Surcharge, part of the amount"
)
TAX = Field(name="tax_minor", type=fields.MINOR_UNITS, title="Tax, part of the amount")
TIP = Field(name="tip_minor", type=fields.MINOR_UNITS, title="Tip, part of the amount")
SHIPPING = Field(
    name="shipping_minor", type=fields.MINOR_UNITS, title="Shipping, part of the amount"
)
DISCOUNT = Field(
    name="discount_minor", type=fields.MINOR_UNITS, title="Discount, already taken off the amount"
)
TAX_EXEMPT = Field(
    name="tax_exempt", type=fields.TRUE_OR_FALSE, title="true: no tax is added to a base amount"
)
SURCHARGE_EXEMPT = Field(
    name="surcharge_exempt",
    type=fields.TRUE_OR_FALSE,
    title="true: no surcharge is added to a base amount",
)

CARD_NUMBER = Field(name="card_number", type=fields.CARD_NUMBER, title="Card number")
CARD_EXPIRY = Field(name="card_expiry", type=fields.EXPIRY, title="Expiry of the card, MM/YY")
CARD_CVV = Field(
    name="card_cvv", type=fields.CVV, title="Card verification value; never kept after sending"
)
CARD_REFERENCE = Field(
    name="card_reference", type=fields.word(80), title="A card or account that we already hold"
)
ACCOUNT_NUMBER = Field(
    name="account_number", type=fields.ACCOUNT_NUMBER, title="Bank account number (ACH)"
)
ROUTING_NUMBER = Field(
    name="routing_number", type=fields.ROUTING_NUMBER, title="Bank routing number (ACH)"
)
ACCOUNT_TYPE = Field(
    name="account_type", type=fields.choice("checking", "savings"), title="Type of the account"
)
SEC_CODE = Field(
    name="sec_code", type=fields.choice("WEB", "CCD", "PPD", "TEL"), title="ACH entry class"
)
IBAN = Field(name="iban", type=fields.IBAN, title="The payer's bank account (SEPA)")
BIC = Field(name="bic", type=fields.BIC, title="The payer's bank")
CREDITOR_ID = Field(
    name="creditor_id", type=fields.CREDITOR_ID, title="Who may collect: SEPA creditor identifier"
)
MANDATE_TYPE = Field(
    name="mandate_type",
    type=fields.choice("OOFF", "RCUR"),
    title="Whether a mandate is for one debit or for several; default: RCUR",
)
SIGNED_ON = Field(name="signed_on", type=fields.DAY, title="Day of the signature, YYYY-MM-DD")
SEQUENCE_TYPE = Field(
    name="sequence_type",
    type=fields.choice("OOFF", "FRST", "RCUR", "FNAL"),
    title="Which debit of its mandate it is: the only, the first, a later or the last one",
)
COLLECT_ON = Field(
    name="collect_on", type=fields.DAY, title="Day on which a debit is due; default: at once"
)
CUSTOMER = Field(
    name="customer", type=fields.word(64, "._:/#^"), title="A customer whose means pays"
)
MEANS_RANK = Field(
    name="means_rank", type=fields.whole_number(1, 99), title="Which of its means, 1 is the first"
)
MEANS_TYPE = Field(
    name="means_type", type=fields.choice("card", "ach"), title="Kind of the customer's means"
)
IDENTIFIER_TYPE = Field(
    name="identifier_type",
    type=fields.choice("phone", "email", "address", "handle", "other"),
    title="What the identifier is",
)
IDENTIFIER = Field(
    name="identifier",
    type=fields.name(254),
    title="What a card is known by: a phone number, an e-mail address ...; see card_mapping",
)

PAYMENT = Field(
    name="payment",
    type=fields.name(64),
    title="The payment to act on: its id, or the reference of the row that made it",
)
SOURCE_MERCHANT = Field(
    name="source_merchant",
    type=fields.word(64),
    title="Whose payment it is, where not the row's own merchant's",
)
FINAL = Field(
    name="final", type=fields.TRUE_OR_FALSE, title="true: the last capture, the rest is released"
)
DESCRIPTION = Field(name="description", type=fields.text(255), title="What it is for")
EMAIL = Field(name="email", type=fields.EMAIL, title="E-mail address to note with the payment")
EMAIL_RECEIPT = Field(
    name="email_receipt", type=fields.TRUE_OR_FALSE, title="true: a receipt is wanted"
)
PO_NUMBER = Field(name="po_number", type=fields.text(17), title="Purchase order number")
COMMENT = Field(name="comment", type=fields.text(1_000), title="Words to keep with the payment")
DIRECTION = Field(
    name="direction", type=fields.choice("up", "down"), title="Whether the amount is added or taken"
)
CUSTOMER_IP = Field(
    name="customer_ip", type=fields.IP_ADDRESS, title="IP address of the payer, IPv4 or IPv6"
)
BIN = Field(name="bin", type=fields.BIN, title="First six digits of cards")
LEVEL = Field(
    name="level",
    type=fields.choice("merchant", "gate", "processor", "platform"),
    title="Where the list holds; default: for the merchant",
)
STAGE = Field(
    name="stage",
    type=fields.choice(
        *("inquiry", "retrieval", "alert", "first_chargeback", "second_chargeback"),
        *("pre_arbitration", "arbitration", "represented", "won", "lost"),
    ),
    title="How far the dispute is",
)
DOCUMENT = Field(
    name="document",
    type=fields.text(255),
    title="The document: its name in the archive beside the file, or where it is kept",
)
ALERT_ID = Field(name="alert_id", type=fields.word(64), title="The alert service's own id")
ALERT_OUTCOME = Field(
    name="alert_outcome",
    type=fields.choice(
        *("stopped", "partially_stopped", "previously_cancelled", "missed", "notfound"),
        *("account_suspended", "other"),
    ),
    title="What became of the order that the alert is about",
)
RETURN_CODE = Field(
    name="return_code", type=fields.word(8), title="Why a debit came back, such as R01 or AC04"
)
TRANSFER_DIRECTION = Field(
    name="transfer_direction",
    type=fields.choice("in", "out"),
    title="Whether the money comes in or goes out; default: in",
)
BANK_REFERENCE = Field(
    name="bank_reference", type=fields.name(64), title="The bank's reference of the transfer"
)
DISPUTE_ID = Field(
    name="dispute",
    type=fields.word(64),
    title="The dispute: your or the scheme's id of it; default: the only one of the payment",
)
ARN = Field(name="arn", type=fields.word(32), title="Acquirer's reference number of the dispute")
REASON_CODE = Field(
    name="reason_code", type=fields.word(16), title="The scheme's reason code of the dispute"
)
HAPPENED_ON = Field(name="happened_on", type=fields.DAY, title="Day of the event, YYYY-MM-DD")
DUE_ON = Field(name="due_on", type=fields.DAY, title="Day by which an answer is due, YYYY-MM-DD")

PROCESSOR = Field(
    name="processor", type=fields.word(64), title="Every gate of the merchant at this processor"
)
SINCE_ON = Field(
    name="since_on", type=fields.DAY, title="Only payments of this business day or a later one"
)
UNTIL_ON = Field(
    name="until_on", type=fields.DAY, title="Only payments of this business day or an earlier one"
)
PAYMENTS = Field(
    name="payments",
    type=PAYMENT_NAMES,
    title="Only these payments: ids or references with | between them",
)
DIFFERENCES = Field(
    name="differences",
    type=DIFFERING_AMOUNTS,
    title="Other amounts than all that is left: payment=amount_minor with | between them",
)
EXPECTED_SALE_COUNT = Field(
    name="expected_sale_count", type=fields.COUNT, title="Control total: how many sales there are"
)
EXPECTED_SALE = Field(
    name="expected_sale_minor", type=fields.MINOR_UNITS, title="Control total: what they sum to"
)
EXPECTED_REFUND_COUNT = Field(
    name="expected_refund_count", type=fields.COUNT, title="Control total: how many refunds"
)
EXPECTED_REFUND = Field(
    name="expected_refund_minor", type=fields.MINOR_UNITS, title="Control total: what they sum to"
)
INITIATOR = Field(
    name="initiator",
    type=fields.choice("customer", "merchant"),
    title="Who starts the payment; default: the customer",
)
PATTERN = Field(
    name="pattern",
    type=fields.choice("one_shot", "recurring", "instalment", "deferred", "multiple"),
    title="The series that it belongs to; default: one_shot",
)
INSTALMENT_NUMBER = Field(
    name="instalment_number", type=fields.whole_number(1, 99), title="Which instalment, from 1"
)
INSTALMENT_COUNT = Field(
    name="instalment_count", type=fields.whole_number(1, 99), title="Of how many instalments"
)
SCHEME_TRANSACTION_ID = Field(
    name="scheme_transaction_id",
    type=fields.word(64),
    title="The card scheme's id of the first payment of the series",
)
VOICE_APPROVAL_CODE = Field(
    name="voice_approval_code",
    type=fields.FieldType(
        name="approval code",
        allowed="at most six letters and digits",
        faults=(
            (Reason.VALUE_MALFORMED, lambda column: ~column.str.contains("^[0-9A-Za-z]{1,6}$")),
        ),
    ),
    title="Code that the issuer gave by telephone: it forces the authorization",
)
PARTIAL_APPROVAL = Field(
    name="partial_approval",
    type=fields.choice("allowed", "not_allowed"),
    title="not_allowed: what is approved in part only is reversed and declined; default: allowed",
)
FORCE = Field(
    name="force",
    type=fields.TRUE_OR_FALSE,
    title="true: it is done with us even when the processor declines",
)
CAPTURE_MODE = Field(
    name="capture_mode",
    type=fields.choice("author_capture", "validation", "immediate"),
    title="When it is captured: on its day, by a `capture`, or at once",
)
CAPTURE_DAY = Field(
    name="capture_day",
    type=fields.whole_number(0, 99),
    title="Days until its capture; with validation: days in which it may be captured",
)
CUSTOMER_CODE = Field(name="customer_code", type=fields.text(25), title="The buyer's own code")
COMMODITY_CODE = Field(
    name="commodity_code", type=fields.word(15), title="What kind of goods, for the whole order"
)
DUTY = Field(name="duty_minor", type=fields.MINOR_UNITS, title="Duty, part of the amount")
ORDER_DATE = Field(name="order_date", type=fields.DAY, title="Day of the order, YYYY-MM-DD")
REQUESTER_NAME = Field(
    name="requester_name", type=fields.text(64), title="Who ordered at the buyer's"
)
SHIP_FROM_POSTAL_CODE = Field(
    name="ship_from_postal_code", type=fields.text(16), title="Where the goods are sent from"
)
TAX_EXEMPT_NUMBER = Field(
    name="tax_exempt_number", type=fields.word(32), title="The buyer's number of tax exemption"
)
LINE_ITEMS = Field(
    name="line_items",
    type=LINE_ITEMS_JSON,
    title="Level 3: the lines of the invoice, as JSON",
)

_CONTACT = {
    "first_name": 64,
    "last_name": 64,
    "company": 100,
    "address_line_1": 100,
    "address_line_2": 100,
    "city": 64,
    "state": 64,
    "postal_code": 16,
    "country": 64,
    "phone": 32,
    "fax": 32,
    "email": 254,
}


def contact(prefix: str) -> tuple[Field, ...]:
    """Give the twelve fields of a person's address: ``billing_first_name`` and so on."""
    return tuple(
        Field(
            name=f"{prefix}_{name}",
            type=fields.text(characters),
            title=f"{prefix.capitalize()} {name.replace('_', ' ')}",
        )
        for name, characters in _CONTACT.items()
    )


ADDRESS = (KIND, MERCHANT, GATE, REFERENCE, IDEMPOTENCY_KEY)
AMOUNTS = (AMOUNT_MINOR, AMOUNT, CURRENCY)
PARTS = (BASE_AMOUNT_MINOR, SURCHARGE, TAX, TIP, SHIPPING, DISCOUNT, TAX_EXEMPT, SURCHARGE_EXEMPT)
MEANS = (
    CARD_NUMBER,
    CARD_EXPIRY,
    CARD_CVV,
    CARD_REFERENCE,
    ACCOUNT_NUMBER,
    ROUTING_NUMBER,
    ACCOUNT_TYPE,
    SEC_CODE,
    CUSTOMER,
    MEANS_RANK,
    MEANS_TYPE,
    IDENTIFIER_TYPE,
    IDENTIFIER,
)
WALLET = (CUSTOMER, MEANS_RANK, MEANS_TYPE, CARD_CVV)
DETAILS = (
    DESCRIPTION,
    EMAIL,
    CUSTOMER_IP,
    EMAIL_RECEIPT,
    PO_NUMBER,
    *contact("billing"),
    *contact("shipping"),
)
NEW_PAYMENT = (*ADDRESS, *AMOUNTS, *PARTS, *MEANS, *DETAILS)
WALLET_PAYMENT = (*ADDRESS, *AMOUNTS, *PARTS, *WALLET, *DETAILS)
SERIES = (INITIATOR, PATTERN, INSTALMENT_NUMBER, INSTALMENT_COUNT, SCHEME_TRANSACTION_ID)
PURCHASE = (
    *(CUSTOMER_CODE, COMMODITY_CODE, DUTY, ORDER_DATE, REQUESTER_NAME, SHIP_FROM_POSTAL_CODE),
    *(TAX_EXEMPT_NUMBER, LINE_ITEMS),
)
TIMING = (CAPTURE_MODE, CAPTURE_DAY)
# Kept for whoever wants them; most files have none, and then they cost nothing.
RARE = (*SERIES, *PURCHASE, *TIMING, VOICE_APPROVAL_CODE, PARTIAL_APPROVAL)
TAKING = (*NEW_PAYMENT, *RARE)
FOLLOW_UP = (*ADDRESS, *AMOUNTS, PAYMENT, DESCRIPTION)
MARK = (*ADDRESS, PAYMENT, COMMENT)
DISPUTE = (DISPUTE_ID, ARN, REASON_CODE, HAPPENED_ON, DUE_ON, COMMENT)
SELECTION = (PAYMENTS, DIFFERENCES, SINCE_ON, UNTIL_ON)
CONTROL_TOTALS = (*(EXPECTED_SALE_COUNT, EXPECTED_SALE, EXPECTED_REFUND_COUNT, EXPECTED_REFUND),)
CARD = (PAYMENT, CARD_NUMBER, CARD_EXPIRY, CARD_REFERENCE)
LISTED = (*MARK, CARD_NUMBER, CARD_REFERENCE, EMAIL, CUSTOMER_IP, BIN, LEVEL)
