"""How fast a part moves per update of the learner, whatever its clock and gating, and how that ends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from invrec_rllib.timescales.asymptotics import Tail
from invrec_rllib.timescales.base import Schedule
from invrec_rllib.timescales.parts import Part
from invrec_rllib.timescales.values import count, number

Judged: TypeAlias = Literal["symbolic", "numeric"]

# Numeric verdicts: values per stretch of the run, see `_fall`.
_POINTS = 64
# A ratio that falls like 1 / log n falls like n^-0.07 around n = 10^6; a constant one does not fall.
_LEAST_FALL = 0.05
# The offset of 1 / (1 + n / n_0) keeps the measured exponent below its limit of 1, rounding aside.
_LARGEST_POWER = 1.01


@dataclass(frozen=True)
class Run:
    """Length of a run, and what one update of the learner takes.

    Args:
        num_updates: at least 1.
        gradient_steps: per update, above 0.
        env_steps: per update, above 0.
    """

    num_updates: int
    gradient_steps: float = 1.0
    env_steps: float = 1.0

    def __post_init__(self) -> None:
        checked = {
            "num_updates": count("num_updates", self.num_updates),
            "gradient_steps": number("gradient_steps_per_update", self.gradient_steps, above=0),
            "env_steps": number("env_steps_per_update", self.env_steps, above=0),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Pace:
    """A step size per update: one that is taken every k-th update counts for a k-th of it.

    Args:
        schedule: by position of the part's clock.
        advance: of the position from one step of the part to its next.
        every: updates from one step of the part to its next [k].
    """

    schedule: Schedule
    advance: float
    every: int

    def at(self, update: float) -> float:
        """Step size per update, in the update with this number, counted from 0."""
        return self.schedule(self.advance * math.floor(update / self.every)) / self.every

    def tail(self) -> Tail | None:
        """Asymptotic form in the number of updates; None where it is not known."""
        tail = self.schedule.tail()
        return tail and tail.at_speed(self.advance / self.every).times(1 / self.every)


def step_pace(part: Part, run: Run) -> Pace:
    """Pace of a part's step size."""
    return Pace(part.schedule, _advance(part, run), part.update_every)


def drift_pace(part: Part, run: Run) -> Pace | None:
    """Pace at which a part's budget lets its policy move; None without a budget."""
    if part.drift is None:
        return None
    return Pace(_Movement(part.drift.target), _advance(part, run), part.update_every)


def slowness(part: Part) -> tuple[float, ...]:
    """Sort key of parts from fast to slow as they stand far out, beyond any run; those that stop come last.

    Schedules whose form is not known count as constants, and all clocks as equally fast.
    """
    pace = Pace(part.schedule, 1.0, part.update_every)
    tail = pace.tail() or Tail(scale=pace.at(0))
    return (tail.scale == 0, tail.rate, tail.power, tail.log_power, -tail.scale, -pace.at(0))


def _advance(part: Part, run: Run) -> float:
    if part.clock == "env_steps":
        return run.env_steps * part.update_every
    return run.gradient_steps if part.clock == "gradient_steps" else 1.0


@dataclass(frozen=True)
class _Movement(Schedule):
    """Square root of a KL divergence, which for small steps is in proportion to their size."""

    divergence: Schedule

    def at(self, n: float) -> float:
        return math.sqrt(self.divergence(n))

    def tail(self) -> Tail | None:
        tail = self.divergence.tail()
        return tail and tail.root()


def robbins_monro(pace: Pace, run: Run) -> tuple[bool, bool, Judged]:
    """Whether step sizes sum to infinity and their squares do not, and how that was found."""
    tail = pace.tail()
    if tail is not None:
        return tail.sum_diverges, tail.squares_converge, "symbolic"
    power = _fall([pace], run)
    return power <= _LARGEST_POWER, power > 0.5, "numeric"


def ratio_limit(*, slow: Pace, fast: Pace, run: Run) -> tuple[float | None, bool, Judged]:
    """Limit of the ratio slow / fast if known, whether it tends to 0, and how that was found."""
    slow_tail, fast_tail = slow.tail(), fast.tail()
    if slow_tail is not None and fast_tail is not None:
        limit = slow_tail.ratio_limit(fast_tail)
        return limit, limit == 0, "symbolic"
    return None, _fall([slow, fast], run) > _LEAST_FALL, "numeric"


def ratio(top: float, bottom: float) -> float:
    """Quotient; infinite or nan where the lower number is 0."""
    if bottom == 0:
        return math.nan if top == 0 else math.inf
    return top / bottom


def _fall(paces: list[Pace], run: Run) -> float:
    """Exponent p at which a step size, or the ratio of two, falls like n^-p over the last half of a run.

    Means over stretches, not single values: torch's schedulers go in steps, and some go in cycles.
    """
    end = run.num_updates

    def mean(start: float, stop: float) -> float:
        updates = [start + (stop - start) * (index + 0.5) / _POINTS for index in range(_POINTS)]
        sums = [sum(pace.at(update) for update in updates) for pace in paces]
        return ratio(sums[0], sums[1]) if len(sums) == 2 else sums[0]

    before, after = mean(end / 4, end / 2), mean(end / 2, end)
    if after == 0:
        return math.inf
    return math.log2(ratio(before, after)) if 0 < before < math.inf and after < math.inf else -math.inf
