"""Figures: what was measured, each with its target where it has one."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Bound = Literal["at least", "at most"]


@dataclass(frozen=True)
class Figure:
    """One measured value.

    ``group`` and ``name`` say what it is; ``target`` is in the same ``unit``, and ``bound`` says
    on which side of it the value has to be.
    """

    group: str
    name: str
    value: float
    unit: str
    target: float | None = None
    bound: Bound = "at least"

    @property
    def of_target(self) -> float | None:
        """The value as a multiple of its target."""
        return None if self.target is None else self.value / self.target

    @property
    def is_reached(self) -> bool | None:
        """Whether the value is on the right side of its target; None = there is none."""
        if self.target is None:
            return None
        return self.value >= self.target if self.bound == "at least" else self.value <= self.target

    def as_object(self) -> dict[str, Any]:
        """Give the figure with its ratio, for programs."""
        return {**asdict(self), "of_target": self.of_target, "is_reached": self.is_reached}


def find(figures: list[Figure], group: str, name: str) -> float | None:
    """Give a measured value; None when that measure was left out."""
    return next((f.value for f in figures if (f.group, f.name) == (group, name)), None)
