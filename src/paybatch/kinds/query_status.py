"""Query status: ask the processor what became of a payment, whatever its state.

When: somebody wants to be sure, or does not want to wait until what is unknown is asked about by
itself. Everything that is unknown of the payment (the call that made it, captures, refunds) is
looked up by its key and settled, as the schedule would do it later; then the processor is asked
about the payment itself, and what it says stands in the result. The message tells the payment's
status after the look-up. Money moves only where an unknown call turns out to have been done. With a
processor that answers at once nothing is ever unknown: the result tells the status as it stands.

A processor that gives no clear answer makes the query ``failed``; what was unknown stays so.

Sources: ConnPay Query Status Of Transactions.
"""

from paybatch.domain import columns, payment
from paybatch.domain.effects import remark
from paybatch.domain.kind import AmountRule, Kind, Risk, Subject
from paybatch.domain.payment import Status
from paybatch.domain.text import filled

KIND = Kind(
    name="query_status",
    title="Query status",
    group="Marks",
    verb=None,
    subject=Subject.PAYMENT,
    fields=columns.MARK,
    required=frozenset({"payment"}),
    amount=AmountRule.NONE,
    statuses=lambda _: frozenset(Status),
    asks=True,
    effects=(remark(),),
    reads=(columns.COMMENT,),
    tells=filled("the payment is {}", payment.status()),
    opposite=None,
    permission="mark",
    risk=Risk.MARK,
    samples=({"payment": "order-1001"},),
)
