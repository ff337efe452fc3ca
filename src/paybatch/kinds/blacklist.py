"""Blacklist: put a card, an e-mail or IP address or a BIN on the list of those that are not served.

When: fraud, or a payer who is not wanted. A payment stands for its card. Later payments that match
are filtered: refused with the reason and never sent. The list holds for the merchant, or for one
gate, every gate of its processor, or the whole platform. A gate whose connector speaks to a fraud
system tells that too; if it declines, ours is left as it is.

Source: ConnPay Blacklist.
"""

from paybatch.domain import columns, lists
from paybatch.domain.connector import Verb
from paybatch.domain.effects import remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.payment import Status

KIND = Kind(
    name="blacklist",
    title="Blacklisting",
    group="Lists",
    verb=Verb.BLACKLIST,
    if_able=True,
    subject=Subject.PAYMENT_OR_MEANS,
    fields=columns.LISTED,
    amount=AmountRule.NONE,
    faults=lists.one_subject(columns.LISTED),
    statuses=lambda _: frozenset(Status),
    refusals=lists.without_number,
    reserves="reserved_refund",
    effects=(lists.listing(is_listed=True), remark()),
    reads=(columns.EMAIL, columns.CUSTOMER_IP, columns.BIN, columns.LEVEL, columns.COMMENT),
    waits_for_all=True,
    opposite="unblacklist",
    permission="list",
    risk=Risk.MARK,
    samples=({"card_number": "6011000990139424"}, {"email": "thief@example.com", "level": "gate"}),
)
