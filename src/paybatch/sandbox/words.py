"""The words of the wire: what is asked and what is answered, as JSON.

They are the sandbox's own. Who speaks to it knows them from its manual page, not from this file.
"""

from typing import Annotated, Literal

import msgspec

Verb = Literal[
    "sale",
    "authorize",
    "capture",
    "void",
    "refund",
    "credit",
    "verify",
    "debit",
    "adjust",
    "score",
    "close_day",
    "alert",
    "blacklist",
    "unblacklist",
    "prepare_reversal",
    "withdraw_reversal",
]
Status = Literal["approved", "declined", "pending"]
Minor = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]


class Call(msgspec.Struct, frozen=True):
    """What is asked. ``payment`` is the caller's name of what the call makes or acts on."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    verb: Verb
    amount_minor: Minor = 0
    currency: str = ""
    payment: str = ""
    card: str | None = None  # a test number, or a masked one
    cvv: str | None = None
    bank_code: str | None = None
    postal_code: str | None = None
    approval_code: str | None = None  # by voice


class Answer(msgspec.Struct, frozen=True):
    """What is answered; it names the key that it answers."""

    key: str
    status: Status
    code: str
    text: str
    approved_minor: int = 0
    approval_code: str | None = None
    avs: str | None = None
    cvv: str | None = None
    score: int | None = None


read_call = msgspec.json.Decoder(Call).decode
write = msgspec.json.Encoder().encode
