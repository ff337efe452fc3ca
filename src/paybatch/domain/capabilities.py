"""What a gate can do: one typed record, from which the rules of the kinds are computed.

Products differ exactly here: FluidPay refunds settled payments only, OPPWA captured ones; Sips
validates once, OPPWA captures many times.
"""

from pydantic import BaseModel, ConfigDict, Field


class Capabilities(BaseModel):
    """The capabilities of one gate, as they stand in ``gate.capabilities``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    several_captures: bool = Field(
        default=True, description="An authorization may be captured in several parts."
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
    transfer_needs_capture: bool = Field(
        default=False, description="A bank transfer that was received waits for its capture."
    )
    cvv_required: bool = Field(
        default=False, description="A new payment by card number needs its CVV."
    )
    zero_authorization_brands: frozenset[str] = Field(
        default=frozenset({"visa", "mastercard"}),
        description="Brands that take an authorization of zero (CWS: not AmEx, not Discover).",
    )
