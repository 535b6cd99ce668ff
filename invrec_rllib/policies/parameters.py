"""Parameters of policies that can be tuned: named numbers, each with a default by formula and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, TypeVar

from invrec_rllib.errors import InputError

ParametersType = TypeVar("ParametersType", bound="Parameters")


def bounded(default: float, low: float, high: float) -> Any:
    """A field of `Parameters`: its default, and the bounds of what is allowed and searched."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True)
class Parameters:
    """Base of the frozen sets of numbers that a policy is tuned by; fields are made by `bounded`.

    Raises:
        InputError: a number outside its bounds.
    """

    def __post_init__(self) -> None:
        for name, (low, high) in self.bounds().items():
            value = getattr(self, name)
            # Written so that NaN fails.
            if not low <= value <= high:
                raise InputError(f"parameter {name} is {value}, must be from {low:g} to {high:g}")

    @classmethod
    def bounds(cls) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each parameter, in their order."""
        return {entry.name: (entry.metadata["low"], entry.metadata["high"]) for entry in fields(cls)}

    @classmethod
    def defaults(cls) -> dict[str, float]:
        """The values by formula, before any tuning."""
        return {entry.name: float(entry.default) for entry in fields(cls) if entry.default is not MISSING}

    @classmethod
    def from_values(cls: type[ParametersType], values: Mapping[str, Any]) -> ParametersType:
        """Read named numbers; a parameter that is not named keeps its default.

        Raises:
            InputError: an unknown name, a value that is no number, or one outside its bounds.
        """
        known = cls.bounds()
        for name, value in values.items():
            if name not in known:
                raise InputError(f"parameter {name!r} is unknown, must be one of: {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"parameter {name} is {value!r}, must be a number")
        return cls(**{name: float(value) for name, value in values.items()})

    def values(self) -> dict[str, float]:
        """The numbers by name."""
        return asdict(self)
