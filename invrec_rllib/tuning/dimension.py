"""One searched key of a sweep: its values in Ray Tune's words, and what they set."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

OPTIONS = ("grid", "choice")
"""Kinds that list their values."""
RANGES = {
    "uniform": 2,
    "quniform": 3,
    "loguniform": 2,
    "qloguniform": 3,
    "randint": 2,
    "qrandint": 3,
    "lograndint": 2,
}
"""Kinds that draw from a range, with how many numbers describe it: low, high and, with q, the step."""
WHOLE = ("randint", "qrandint", "lograndint")
_ABOVE_ZERO = ("loguniform", "qloguniform", "lograndint")


class Dimension(BaseModel):
    """How a key is searched: exactly one of Tune's functions, with its arguments.

    `grid` and `choice` take a list of values; or a mapping of labels to settings, where the key stands for several
    settings at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    grid: JsonValue = Field(default=None, description="Every one of these values.")
    choice: JsonValue = Field(default=None, description="One of these values, drawn.")
    uniform: JsonValue = Field(default=None, description="[low, high], drawn evenly.")
    quniform: JsonValue = Field(default=None, description="[low, high, step], drawn evenly.")
    loguniform: JsonValue = Field(
        default=None, description="[low, high], drawn evenly on a logarithmic scale."
    )
    qloguniform: JsonValue = Field(default=None, description="[low, high, step], on a logarithmic scale.")
    randint: JsonValue = Field(default=None, description="[low, high], whole numbers, high excluded.")
    qrandint: JsonValue = Field(default=None, description="[low, high, step], whole numbers, high included.")
    lograndint: JsonValue = Field(
        default=None, description="[low, high], whole numbers on a logarithmic scale, high excluded."
    )

    def fault(self) -> str | None:
        """What is wrong with it, in words; None where nothing is."""
        kinds = sorted(self.model_fields_set)
        if len(kinds) != 1:
            return f"needs exactly one of {', '.join((*OPTIONS, *RANGES))}, got {', '.join(kinds) or 'none'}"
        return self._fault_of_options() if self.kind in OPTIONS else self._fault_of_range()

    @property
    def kind(self) -> str:
        """Name of Tune's function."""
        (kind,) = self.model_fields_set
        return kind

    @property
    def arguments(self) -> Any:
        """Of Tune's function: values, or what describes the range."""
        return getattr(self, self.kind)

    @property
    def sets(self) -> dict[str, dict[str, Any]] | None:
        """Label -> settings; None where values are those of the setting that the key names."""
        return self.arguments if isinstance(self.arguments, dict) else None

    @property
    def values(self) -> list[Any] | None:
        """What it can be, labels included; None for a range."""
        return list(self.arguments) if self.kind in OPTIONS else None

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest value of a range."""
        low, high = self.arguments[:2]
        return low, high - 1 if self.kind in ("randint", "lograndint") else high

    @property
    def is_log(self) -> bool:
        """Whether its range is drawn on a logarithmic scale."""
        return self.kind in _ABOVE_ZERO

    def corners(self) -> list[Any]:
        """Values at which a fault would show: all of them, or the ends of the range."""
        return self.values if self.values is not None else list(dict.fromkeys(self.limits))

    def settings(self, key: str, value: Any) -> dict[str, Any]:
        """What a value sets."""
        return {key: value} if self.sets is None else self.sets[value]

    def within(self, value: Any) -> Any:
        """A number moved into the range, whole where the range is of whole numbers."""
        if self.values is not None:
            return value
        low, high = self.limits
        moved = min(max(value, low), high)
        return round(moved) if self.kind in WHOLE else moved

    def _fault_of_options(self) -> str | None:
        given = self.arguments
        if not isinstance(given, list | dict) or not given:
            return f"{self.kind} must be a list of values, or a mapping of labels to settings, got {given!r}"
        if isinstance(given, dict):
            plain = [
                label for label, changes in given.items() if not isinstance(changes, dict) or not changes
            ]
            return (
                f"{self.kind}.{plain[0]}: must be a mapping of settings, got {given[plain[0]]!r}"
                if plain
                else None
            )
        repeated = [value for place, value in enumerate(given) if value in given[:place]]
        return f"{self.kind} must list each value once, got {repeated[0]!r} again" if repeated else None

    def _fault_of_range(self) -> str | None:
        given, count = self.arguments, RANGES[self.kind]
        form = "[low, high]" if count == 2 else "[low, high, step]"
        numbers = isinstance(given, list) and all(
            isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
            for number in given
        )
        if not numbers or len(given) != count:
            return f"{self.kind} must be {form}, all of them numbers, got {given!r}"
        if self.kind in WHOLE and not all(isinstance(number, int) for number in given):
            return f"{self.kind} must be {form} of whole numbers, got {given!r}"
        if given[0] >= given[1]:
            return f"{self.kind}: low = {given[0]} must be below high = {given[1]}"
        if self.kind in _ABOVE_ZERO and given[0] <= 0:
            return f"{self.kind}: low = {given[0]} must be above 0"
        if count == 3 and given[2] <= 0:
            return f"{self.kind}: step = {given[2]} must be above 0"
        if count == 3 and not all(math.isclose(end / given[2], round(end / given[2])) for end in given[:2]):
            return (
                f"{self.kind}: low = {given[0]} and high = {given[1]} must be multiples of step = {given[2]}"
            )
        return None
