"""Lists of those that are not served: what stands on them, and how rows name it.

A number of the vault, an e-mail or IP address, or the first digits of cards; for a merchant, one of
its gates, every gate of a processor, or the platform.
"""

from collections.abc import Iterable

import polars as pl

from paybatch.domain.capabilities import Capabilities
from paybatch.domain.effects import Fact, Record
from paybatch.domain.fields import Field
from paybatch.domain.kind import Fault
from paybatch.domain.reasons import Reason

_SUBJECTS = ("payment", "card_number", "card_reference", "email", "customer_ip", "bin")
_LEVEL = pl.col("level").fill_null("merchant")
_NUMBER = pl.coalesce("payment_number_id", "number_id")
# What is looked at in a new payment -> its column there, and why it is refused.
LISTED: dict[str, tuple[str, Reason]] = {
    "number": ("number_id", Reason.NUMBER_LISTED),
    "bin": ("card_bin", Reason.BIN_LISTED),
    "email": ("email", Reason.EMAIL_LISTED),
    "ip": ("customer_ip", Reason.IP_LISTED),
}


def one_subject(fields: Iterable[Field]) -> tuple[Fault, ...]:
    """Give the faults of rows that do not name exactly one thing, by the columns of a kind."""
    names = {field.name for field in fields}
    given = [pl.col(name).is_not_null().cast(pl.Int8) for name in _SUBJECTS if name in names]
    count = pl.sum_horizontal(given)
    return (
        Fault(Reason.SUBJECT_MISSING, "payment", count == 0),
        Fault(Reason.SUBJECT_SEVERAL, "payment", count > 1),
    )


def without_number(_: Capabilities) -> tuple[Fault, ...]:
    """Give the refusal of payments that have no card or account, such as a bank transfer."""
    return (Fault(Reason.MEANS_MISSING, "payment", pl.col("payment_number_id").is_null()),)


def listing(*, is_listed: bool) -> Record:
    """Give the effect that puts what a row names on its list, or takes it off."""
    email, address = pl.col("email").str.to_lowercase(), pl.col("customer_ip")
    named = {"bin": pl.col("bin"), "email": email, "ip": address, "number": _NUMBER}
    what = pl.coalesce(
        *(pl.when(value.is_not_null()).then(pl.lit(name)) for name, value in named.items())
    )
    gate = pl.when(_LEVEL == "gate").then(pl.col("gate_id").cast(pl.String))
    processor = pl.when(_LEVEL == "processor").then(pl.col("connector"))
    return Record(
        fact=Fact.LISTING,
        values={
            "level": _LEVEL,
            "place": pl.coalesce(gate, processor, pl.lit("*")),
            "what": what,
            "value": pl.coalesce(*named.values()),
            "is_listed": pl.lit(is_listed),
        },
    )
