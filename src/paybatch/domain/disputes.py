"""Disputes: what stands between a payer and a payment, and which one a row means.

A dispute belongs to a payment and has an id there: the one that the row which opened it gave, else
its ARN, else a number. A row names it by that id or by an ARN that it has; one that names none
means the only one.
"""

from dataclasses import dataclass, field

from paybatch.domain.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class InDispute:
    """How a kind takes part in the disputes of its payment.

    Attributes:
        by: Its column that gives the id of the dispute.
        opens: Whether a row may open one; else it must mean one that has money in dispute.
        adds: What its amount adds to the money in dispute: 1, -1 or 0 times it.
        once: Its column of which a dispute takes each value once, at most; None = any number.
    """

    by: str = "dispute"
    opens: bool = True
    adds: int = 0
    once: str | None = None


@dataclass(slots=True)
class Dispute:
    """A dispute as it stands: its id, its ARNs and what is in dispute (minor units)."""

    id: str
    arns: set[str] = field(default_factory=set)
    open_minor: int = 0


def meant(
    disputes: list[Dispute], named: str | None, arn: str | None, *, opens: bool
) -> Dispute | Reason:
    """Give the dispute of a payment that a row means; a new one where the row opens it.

    ``named`` is the id that the row gives, ``arn`` the acquirer's reference number. The first news
    of an ARN belongs to the only dispute that has none.
    """
    if named is not None:
        found = next((each for each in disputes if named == each.id), None)
        found = found or next((each for each in disputes if named in each.arns), None)
        if found is not None and arn and found.arns and arn not in found.arns:
            return Reason.DISPUTE_DIFFERS
        return found or (Dispute(named) if opens else Reason.DISPUTE_UNKNOWN)
    if arn is not None:
        found = next((each for each in disputes if arn in each.arns), None)
        without = [each for each in disputes if not each.arns]
        if found is None and len(without) == len(disputes) == 1:
            found = without[0]
        return found or (Dispute(arn) if opens else Reason.DISPUTE_UNKNOWN)
    open_ones = disputes if opens else [each for each in disputes if each.open_minor > 0]
    if len(open_ones) > 1:
        return Reason.DISPUTE_AMBIGUOUS
    if open_ones:
        return open_ones[0]
    return Dispute("1") if opens else Reason.DISPUTE_UNKNOWN
