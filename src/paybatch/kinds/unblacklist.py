"""Unblacklist: take a card, an e-mail or IP address or a BIN off the list again.

When: it was put there by mistake, or its time is over. It is taken off the level that the row
names; what is listed at another level stays there.

Source: ConnPay Blacklist; the way back is our own.
"""

from paybatch.domain import columns, lists
from paybatch.domain.connector import Verb
from paybatch.domain.effects import remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.payment import Status

KIND = Kind(
    name="unblacklist",
    title="Taking off the blacklist",
    group="Lists",
    verb=Verb.UNBLACKLIST,
    if_able=True,
    subject=Subject.PAYMENT_OR_MEANS,
    fields=columns.LISTED,
    amount=AmountRule.NONE,
    faults=lists.one_subject(columns.LISTED),
    statuses=lambda _: frozenset(Status),
    refusals=lists.without_number,
    reserves="reserved_refund",
    effects=(lists.listing(is_listed=False), remark()),
    reads=(columns.EMAIL, columns.CUSTOMER_IP, columns.BIN, columns.LEVEL, columns.COMMENT),
    waits_for_all=True,
    opposite="blacklist",
    permission="list",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"}, {"bin": "400000"}),
)
