"""How a step size behaves far out, and what follows for stochastic approximation."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Leading term of a step size, ``scale * exp(-rate n) / (n^power * log(n)^log_power)`` for large n.

    Args:
        scale: constant in front; 0 says that the step size is 0 from some n on.
        rate: of geometric decay; 0 for every step size that falls like a power or slower.
        power: exponent of n.
        log_power: exponent of log n.
    """

    scale: float
    rate: float = 0.0
    power: float = 0.0
    log_power: float = 0.0

    @property
    def sum_diverges(self) -> bool:
        """Whether the step sizes sum to infinity: iterates can reach any point."""
        slow = self.power < 1 or (self.power == 1 and self.log_power <= 1)
        return self.scale > 0 and self.rate == 0 and slow

    @property
    def squares_converge(self) -> bool:
        """Whether the squares have a finite sum: the noise of the iterates dies out."""
        fast = 2 * self.power > 1 or (2 * self.power == 1 and 2 * self.log_power > 1)
        return self.scale == 0 or self.rate > 0 or fast

    def at_speed(self, speed: float) -> Tail:
        """Form of a(speed * n) where this is the form of a(n): another unit of the clock."""
        return Tail(
            scale=self.scale / speed**self.power,
            rate=self.rate * speed,
            power=self.power,
            log_power=self.log_power,
        )

    def times(self, factor: float) -> Tail:
        """Form of factor * a(n)."""
        return Tail(scale=self.scale * factor, rate=self.rate, power=self.power, log_power=self.log_power)

    def root(self) -> Tail:
        """Form of the square root."""
        return Tail(
            scale=math.sqrt(self.scale),
            rate=self.rate / 2,
            power=self.power / 2,
            log_power=self.log_power / 2,
        )

    def ratio_limit(self, other: Tail) -> float:
        """Limit of this step size over the other: 0, a positive number, infinity; nan if both end at 0."""
        if self.scale == 0 or other.scale == 0:
            if self.scale == other.scale:
                return math.nan
            return 0.0 if self.scale == 0 else math.inf
        pace = (self.rate, self.power, self.log_power)
        other_pace = (other.rate, other.power, other.log_power)
        if pace == other_pace:
            return self.scale / other.scale
        return 0.0 if pace > other_pace else math.inf

    def __str__(self) -> str:
        if self.scale == 0:
            return "0"
        factors = []
        if self.power:
            factors.append("n" if self.power == 1 else f"n^{self.power:g}")
        if self.log_power:
            factors.append("log n" if self.log_power == 1 else f"(log n)^{self.log_power:g}")
        top = f"{self.scale:.3g}" + (f" exp(-{self.rate:.3g} n)" if self.rate else "")
        if not factors:
            return top
        return f"{top} / " + (factors[0] if len(factors) == 1 else f"({' '.join(factors)})")
