"""The contract of a connector: how we speak to a processor.

A connector is one module in ``paybatch.connectors`` with one constant ``CONNECTOR``. Its ``send``
takes a table of calls and yields tables of replies as they come; it may run an event loop inside
itself and nobody outside sees it.

Calls (one row each): ``operation`` Int64, ``key`` String (stable for ever), ``verb``, ``mode``
(the gate's: ``test`` or ``live``), ``amount_minor`` Int64, ``currency``, ``brand``, ``masked``,
``expiry`` Int16 (YYMM), ``cvv``, ``number`` (only if ``needs_number``), ``test_value`` String
(which of the connector's test values the number is, in test mode only), ``bank_code``,
``account_type``, ``sec_code``, ``payment_test_value``, the columns named in ``wants``, and
``setting_NAME`` String for each of its ``settings`` (all calls of one ``send`` are for one gate).
Connectors that are not inline find ``payment_key`` String too, the key of the call that made the
payment that this one acts on, and ``send_before_epoch`` Float64: a call that has not left by then
must not leave any more. A call to close a day has ``amount_minor`` (the sum of
sales), ``sale_count``, ``refund_count`` and ``refund_minor``, all Int64, and no means.

Replies: ``operation`` Int64, ``result`` (see `Result`), ``approved_minor`` Int64, ``response``
(see `Response`), ``processor_code``, ``processor_text``, ``approval_code``, ``avs_result``,
``cvv_result``, ``score`` Int32, ``scheme_transaction_id`` (the card scheme's id of the payment,
which later payments of its series name), ``retry_after_seconds`` Int32. A connector may leave out
the last three. Every call has exactly one, and no approval is of more than was asked for; replies
that say otherwise are refused as a whole, and nothing of them is stored.

A call whose time was over is answered ``unknown``, by the connector itself, and so is every call
that may have had an effect: the connection ended, the answer was an error or not about our key
(response ``no_answer``), or it is done later (``pending``). A call that surely had none because it
was never taken (the connection was not made, or the processor was too busy) is ``failed`` with the
response ``not_taken``: it may be sent again with the same key, after ``retry_after_seconds`` where
the processor said so. What is unknown is asked about with ``look_up``, which takes the same calls
and answers as ``send`` does: what became of each key, ``failed`` with the response ``not_found``
where the processor does not know it, ``unknown`` where it did not say.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import polars as pl


class Verb(StrEnum):
    """What a processor can be asked to do."""

    SALE = "sale"
    AUTHORIZE = "authorize"
    CAPTURE = "capture"  # of more than is held at gates that allow it: authorize the rest with it
    VOID = "void"
    REFUND = "refund"
    CREDIT = "credit"
    VERIFY = "verify"
    DEBIT = "debit"  # collect from a bank account
    ADJUST = "adjust"
    SCORE = "score"  # how risky a card is, 0 to 100
    CLOSE_DAY = "close_day"  # end the day of a gate, with its totals in one currency
    ALERT = "alert"  # tell the alert service what became of an alert
    BLACKLIST = "blacklist"  # put a card, an address or a BIN on the list of a fraud system
    UNBLACKLIST = "unblacklist"  # take it off
    PREPARE_REVERSAL = "prepare_reversal"  # get ready for a void or a refund, which completes it
    WITHDRAW_REVERSAL = "withdraw_reversal"  # what was prepared is not to be completed


# What undoes a payment, or a part of it, or is a step of that.
REVERSING = frozenset({Verb.VOID, Verb.REFUND, Verb.PREPARE_REVERSAL, Verb.WITHDRAW_REVERSAL})
LOOK_UP = "look_up"  # in place of a verb: by us, never told to a connector as one


class Result(StrEnum):
    """What became of a call."""

    APPROVED = "approved"
    DECLINED = "declined"
    FAILED = "failed"  # known to have had no effect
    UNKNOWN = "unknown"  # the effect is not known
    SENDING = "sending"  # by us: it goes out as soon as the claim is committed
    REJECTED = "rejected"  # by us: it was never sent; no connector answers so


class Response(StrEnum):
    """Why a processor answered as it did, in the words that all connectors share."""

    APPROVED = "approved"
    # Of a sale or an authorization: approved, and held by its fraud score until a person decides.
    # Of anything else it is an approval as any other: what was given away cannot be held.
    CHALLENGED = "challenged"
    PARTIALLY_APPROVED = "partially_approved"
    DECLINED = "declined"
    DO_NOT_HONOR = "do_not_honor"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT_EXCEEDED = "limit_exceeded"
    INVALID_TRANSACTION = "invalid_transaction"
    INVALID_AMOUNT = "invalid_amount"
    NO_SUCH_ISSUER = "no_such_issuer"
    EXPIRED_CARD = "expired_card"
    INVALID_CVV = "invalid_cvv"
    REFER_TO_ISSUER = "refer_to_issuer"
    PICK_UP = "pick_up"
    LOST_CARD = "lost_card"
    STOLEN_CARD = "stolen_card"
    STOP_RECURRING = "stop_recurring"
    DUPLICATE = "duplicate"
    PROCESSOR_ERROR = "processor_error"
    NOT_FOUND = "not_found"  # a look-up: the processor does not know the key
    NOT_TAKEN = "not_taken"  # it never reached the processor, or it was too busy: send it again
    NO_ANSWER = "no_answer"  # unknown: nothing came that could be believed
    PENDING = "pending"  # unknown: the processor does it later


AWAITED = frozenset({Result.UNKNOWN.value, Result.SENDING.value})  # it has no outcome yet

REPLY_SCHEMA = pl.Schema(
    {
        "operation": pl.Int64,
        "result": pl.String,
        "approved_minor": pl.Int64,
        "response": pl.String,
        "processor_code": pl.String,
        "processor_text": pl.String,
        "approval_code": pl.String,
        "avs_result": pl.String,
        "cvv_result": pl.String,
        "score": pl.Int32,
        "scheme_transaction_id": pl.String,
    }
)
MAY_LACK = ("score", "scheme_transaction_id")  # of a table of replies
OPTIONAL = pl.Schema({"retry_after_seconds": pl.Int32})  # columns that a reply may have beside

# What a processor's settlement file lists: a line for each effect that moved money, by our key.
SETTLED_SCHEMA = pl.Schema(
    {"key": pl.String, "verb": pl.String, "currency": pl.String, "amount_minor": pl.Int64}
)

Send = Callable[[pl.DataFrame], Iterator[pl.DataFrame]]
ReadSettlement = Callable[[Path], pl.LazyFrame]


@dataclass(frozen=True, slots=True)
class Returned:
    """When a debit comes back in test mode, and why.

    Attributes:
        after_days: How many days after it was made.
        code: The bank's return code, such as ``R01``.
    """

    after_days: int
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """What a connector says of itself.

    Attributes:
        name: The module's name; the word in a gate's settings.
        title: The name for people.
        inline: No outside effect: claim, send and settle share one transaction.
        idempotent: Re-sending a key is safe.
        needs_number: Numbers are decrypted for it; only then.
        verbs: What it can do.
        wants: Details of the row that it is given, by field name (``billing_postal_code``).
        test_values: Numbers that nobody has -> their meaning. They skip check-digit rules on gates
            in test mode, and no live gate takes them.
        triggers: What else makes it answer otherwise in test mode: column -> value -> meaning.
        returns: Routing numbers among the test values whose debits come back by themselves, in test
            mode only: the clock makes their returns.
        settings: What a gate must tell it, such as the processor's address -> its meaning.
        calls_per_second: How many calls its processor takes from all gates; None = no limit.
        calls_in_flight: How many calls may be under way at once.
        claim_rows: How many calls are claimed at once, so many at most are in doubt after a crash.
        timeout_seconds: How long it waits for an answer before it says ``unknown``.
        send: Calls -> replies, as they come.
        look_up: Calls -> what became of their keys; None = the processor cannot be asked.
        read_settlement: The processor's settlement file -> its lines (``SETTLED_SCHEMA``, lazily);
            None = it gives none. What cannot be read is an error of polars.
        document: The manual page; the registry fills in the module's docstring.
    """

    name: str
    title: str
    inline: bool
    idempotent: bool
    needs_number: bool = False
    verbs: frozenset[Verb]
    wants: frozenset[str] = frozenset()
    test_values: Mapping[str, str] = field(default_factory=dict)
    triggers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    returns: Mapping[str, Returned] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    calls_per_second: float | None = None
    calls_in_flight: int = 1
    claim_rows: int = 2_000
    timeout_seconds: float = 30.0
    send: Send
    look_up: Send | None = None
    read_settlement: ReadSettlement | None = None
    document: str = field(default="", compare=False)


def not_installed(name: str) -> Connector:
    """Give what stands for a connector that a gate names and nobody installed: it has no verbs."""
    return Connector(
        name=name,
        title="not installed",
        inline=True,
        idempotent=False,
        verbs=frozenset(),
        send=lambda _: iter(()),
    )
