"""Terms: the columns of recurring payments, when and how much they charge."""

from paybatch.domain import fields
from paybatch.domain.columns import (
    AMOUNTS,
    CUSTOMER_IP,
    DETAILS,
    EMAIL,
    FOLLOW_UP,
    SCHEME_TRANSACTION_ID,
)
from paybatch.domain.fields import Field

CARD_SIDE = Field(
    name="card_side",
    type=fields.choice("SRC", "DST"),
    title="SRC: the card is charged, DST: it is paid; default: SRC",
)
AMOUNT_FROM = Field(
    name="amount_from",
    type=fields.DECIMAL_AMOUNT,
    title="Each charge is a random amount from this one on: 1.00",
)
AMOUNT_TO = Field(name="amount_to", type=fields.DECIMAL_AMOUNT, title="... up to this one: 9.99")
AMOUNT_SEQUENCE = Field(
    name="amount_sequence",
    type=fields.AMOUNT_LIST,
    title="The amounts of the charges, one after the other: 5.00;5.00;2.50",
)
PERIOD = Field(
    name="period",
    type=fields.choice("day", "week", "month", "year"),
    title="The time from one due date to the next",
)
EVERY = Field(name="every", type=fields.whole_number(1, 99), title="Of so many periods; default: 1")
START_ON = Field(name="start_on", type=fields.DAY, title="First due date; default: today")
FINISH_ON = Field(name="finish_on", type=fields.DAY, title="No due date is later, YYYY-MM-DD")
FINISH_COUNT = Field(
    name="finish_count",
    type=fields.whole_number(1, 999),
    title="It ends when so many due dates were charged, or tried in vain",
)
ATTEMPTS = Field(
    name="attempts",
    type=fields.whole_number(1, 15),
    title="How often a charge is tried, a day after the other; default: 3",
)
ATTEMPT = Field(
    name="attempt",
    type=fields.choice(*(str(number) for number in range(1, 16))),
    title="Which attempt of its due date a charge is; the clock says so",
)
RECURRING_ACTION = Field(
    name="action",
    type=fields.choice("pause", "resume", "stop", "finish"),
    title="What becomes of the recurring payment",
)
_PAYER_NAMES = frozenset(
    f"billing_{name}"
    for name in (
        *("first_name", "last_name", "address_line_1", "city", "state", "postal_code", "country"),
        "phone",
    )
)
AMOUNT_TERMS = (*AMOUNTS, AMOUNT_FROM, AMOUNT_TO, AMOUNT_SEQUENCE)
PAYER = (EMAIL, CUSTOMER_IP, *(each for each in DETAILS if each.name in _PAYER_NAMES))
RECURRING_CHARGE = (*(*FOLLOW_UP, SCHEME_TRANSACTION_ID, ATTEMPT, *PAYER),)
