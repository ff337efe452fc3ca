"""Retry reversal: have the pending reversal of a payment looked up now, and sent again if need be.

When: a void, a refund or a step of a reversal in two stages got no answer, and nobody wants to
wait for the schedule. It is looked up by its key at once; where the processor does not know the
key and takes the same key twice without harm, it is sent again with it. So is it at a processor
that cannot be asked, but knows keys. At one with neither it waits for a person (`paybatch unknown
decide`), and so the retry is ``failed`` and says so. What else is unknown of the payment is left
alone; `query_status` asks about all of it.

The result is that of the retry: its message tells what became of the reversal. One that was
declined, or had no effect, is over: send a new `reverse`, `void` or `refund`. Where nothing is
pending the row is refused; processors that answer at once leave nothing pending.

Sources: ConnPay Retry Pending Reversals.
"""

from paybatch.domain import columns, reversals
from paybatch.domain.effects import remark
from paybatch.domain.kind import AmountRule, Fault, Kind, Risk, Subject
from paybatch.domain.payment import Status
from paybatch.domain.reasons import Reason

KIND = Kind(
    name="retry_reversal",
    title="Retry of a pending reversal",
    group="Follow-ups",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset(Status),
    refusals=lambda _: (Fault(Reason.NO_REVERSAL_PENDING, "payment", ~reversals.under_way()),),
    asks=True,
    retries=True,
    effects=(remark(),),
    reads=(columns.COMMENT,),
    opposite=None,
    permission="refund",
    risk=Risk.GIVES,
    samples=({"payment": "order-1001"},),
)
