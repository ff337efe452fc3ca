"""What a gate can do: one typed record, from which the rules of the kinds are computed.

Products differ exactly here: FluidPay refunds settled payments only, OPPWA captured ones; Sips
validates once, OPPWA captures many times.
"""

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

_DAYS = re.compile(r"([a-z]+):([1-9][0-9]{0,2})")
_DAYS_OF_OTHERS = 28
_LIMIT = re.compile(r"no|yes|[1-9][0-9]{0,2}")


class Capabilities(BaseModel):
    """The capabilities of one gate, as they stand in ``gate.capabilities``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    several_captures: bool = Field(
        default=True, description="An authorization may be captured in several parts."
    )
    over_capture: str = Field(
        default="no",
        description=(
            "A capture may go above the authorization: no, yes, or by so many percent; what is "
            "above is authorized with it."
        ),
    )
    partial_void: bool = Field(
        default=True, description="A part of a payment may be voided before settlement."
    )
    void_captured: bool = Field(
        default=True, description="What is captured and not settled may be voided."
    )
    refund_before_settlement: bool = Field(
        default=True, description="What is captured may be refunded before it is settled."
    )
    refund_excess_percent: int = Field(
        default=0, ge=0, le=100, description="A refund may go over the captured amount by this."
    )
    two_stage_reversal: bool = Field(
        default=False,
        description="A `reverse` only prepares; `commit_reversal` completes what is prepared.",
    )
    terminal_capture: bool = Field(
        default=False,
        description="We keep the batch: `capture_all` sends what was captured and open returns.",
    )
    transfer_needs_capture: bool = Field(
        default=False, description="A bank transfer that was received waits for its capture."
    )
    cvv_required: bool = Field(
        default=False, description="A new payment by card number needs its CVV."
    )
    no_reversal_brands: frozenset[str] = Field(
        default=frozenset({"amex"}),
        description="Brands whose authorization cannot be reversed: a void closes it with us.",
    )
    hold_days: frozenset[str] = Field(
        default=frozenset({"amex:30", "maestro:7", "other:28"}),
        description="How many days a hold lasts, as brand:days; `other` is for all that are left.",
    )
    zero_authorization_brands: frozenset[str] = Field(
        default=frozenset({"visa", "mastercard"}),
        description="Brands that take an authorization of zero (CWS: not AmEx, not Discover).",
    )

    @field_validator("over_capture", mode="before")
    @classmethod
    def _is_limit(cls, told: object) -> str:
        if not _LIMIT.fullmatch(str(told)):
            raise ValueError("write no, yes, or a percent from 1 to 999")
        return str(told)

    calls_per_second: float = Field(
        default=0, ge=0, le=100_000, description="How many calls it takes; 0 = no limit."
    )

    @field_validator("hold_days")
    @classmethod
    def _are_days(cls, told: frozenset[str]) -> frozenset[str]:
        brands = [each.partition(":")[0] for each in told]
        if not all(map(_DAYS.fullmatch, told)) or len(set(brands)) < len(brands):
            raise ValueError("write each brand once, as brand:days, from 1 to 999 days")
        return told

    @property
    def over_capture_percent(self) -> int | None:
        """By how many percent a capture may go above the authorization; None = by any amount."""
        if self.over_capture == "yes":
            return None
        return 0 if self.over_capture == "no" else int(self.over_capture)

    @property
    def days_by_brand(self) -> dict[str, int]:
        """How many days a hold lasts, by brand; ``other`` is always there."""
        told = {
            brand: int(days) for brand, _, days in (each.partition(":") for each in self.hold_days)
        }
        return {"other": _DAYS_OF_OTHERS, **told}
