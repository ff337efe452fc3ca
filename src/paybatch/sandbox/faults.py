"""What goes wrong between two machines: drawn by seed and rate, or told to happen next."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import msgspec


class Fault(StrEnum):
    """What goes wrong with one request."""

    TIMEOUT_BEFORE = "timeout_before"  # nothing is done, nothing is answered
    TIMEOUT_AFTER = "timeout_after"  # it is done, nothing is answered
    DROP_BEFORE = "drop_before"  # nothing is done, the connection ends without an answer
    DROP_AFTER = "drop_after"  # it is done, the connection ends in mid-answer
    ERROR_500 = "error_500"  # done or not, as a coin falls
    ERROR_502 = "error_502"  # done or not, as a coin falls
    BUSY = "busy"  # 429 with Retry-After; nothing is done
    MALFORMED = "malformed"  # it is done, the answer is cut, is no JSON or names another key
    DUPLICATE = "duplicate"  # it is done, the answer comes twice
    LATE = "late"  # it is done, the answer comes late
    STUCK = "stuck"  # it is done late; until then nobody knows of it
    PENDING = "pending"  # it is answered as pending and done later, with a callback
    REFUSE = "refuse"  # it is done and answered; then no connection is taken for a while


Rate = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Control(msgspec.Struct, forbid_unknown_fields=True):
    """How the sandbox behaves; a part of it may be told while it runs."""

    rates: dict[Fault, Rate] | msgspec.UnsetType = msgspec.UNSET  # they add up
    next: dict[Fault, int] | msgspec.UnsetType = msgspec.UNSET  # so many of the next calls
    latency_ms: float | msgspec.UnsetType = msgspec.UNSET
    jitter_ms: float | msgspec.UnsetType = msgspec.UNSET  # up to so much more
    late_seconds: float | msgspec.UnsetType = msgspec.UNSET
    hold_seconds: float | msgspec.UnsetType = msgspec.UNSET  # of a connection without an answer
    settle_seconds: float | msgspec.UnsetType = msgspec.UNSET
    retry_after_seconds: int | msgspec.UnsetType = msgspec.UNSET
    refuse_seconds: float | msgspec.UnsetType = msgspec.UNSET
    refuse: bool | msgspec.UnsetType = msgspec.UNSET  # begin to refuse connections now
    idempotency: bool | msgspec.UnsetType = msgspec.UNSET
    look_up: bool | msgspec.UnsetType = msgspec.UNSET
    callback_url: str | msgspec.UnsetType = msgspec.UNSET


@dataclass
class Faults:
    """Draws a fault for each request; the same seed and keys draw the same ones."""

    seed: int = 0
    rates: dict[Fault, float] = field(default_factory=dict)
    next: Counter[Fault] = field(default_factory=Counter)
    injected: Counter[Fault] = field(default_factory=Counter)
    _hit: Counter[str] = field(default_factory=Counter)

    def of(self, name: str, *, is_call: bool = True) -> tuple[Fault | None, float, bool]:
        """Draw for a request: what goes wrong, a share of the jitter, and how a coin falls."""
        share, spot, coin = self._drawn(name)
        fault = None
        if self.next and is_call:
            fault = next(iter(self.next))
            self.next[fault] -= 1
            self.next = +self.next
        elif self.rates:
            fault = self._at(spot)
        if fault is not None:
            self.injected[fault] += 1
            self._hit[name] += 1  # a request that is sent again draws anew
        return fault, share, coin

    def _drawn(self, name: str) -> tuple[float, float, bool]:
        text = f"{self.seed}/{name}/{self._hit.get(name, 0)}".encode()
        drawn = int.from_bytes(hashlib.blake2b(text, digest_size=12).digest(), "big")
        spot, rest = drawn >> 48, drawn & (2**48 - 1)
        return (rest >> 1) / 2**47, spot / 2**48, bool(rest & 1)

    def _at(self, spot: float) -> Fault | None:
        for fault, rate in self.rates.items():
            if spot < rate:
                return fault
            spot -= rate
        return None
