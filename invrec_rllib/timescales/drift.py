"""Adaptive step sizes: what a policy's updates may change about its behaviour is held to a budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from invrec_rllib.errors import InputError
from invrec_rllib.timescales.base import Schedule, ScheduleLike, schedule_from_data
from invrec_rllib.timescales.values import known_keys, number

# A single measurement is noisy, and 0 says little: one update at most doubles the factor, or takes nine tenths.
MOST_RISE = math.log(2.0)
MOST_FALL = math.log(10.0)


@dataclass(frozen=True)
class DriftBudget:
    """How far one update may move a policy, and how the step size follows.

    The step size is the part's schedule times a factor, which `DriftController` steers. Budgets are timescales
    themselves: for small steps the KL divergence goes with the step's square, so budgets that fall like n^-2p
    make policies move at n^-p, whatever their networks and optimizers are.

    Args:
        target: mean KL divergence between the policies before and after one update in nats, a schedule in units
            of the part's clock; a number or any data of a schedule is accepted.
        rate: share of the (logarithmic) error that one update corrects, above 0 and at most 1. Small is steady, 1 is
            right at once if the measurement is exact.
        low: least factor, above 0 and at most 1.
        high: largest factor, at least 1.
    """

    target: Schedule
    rate: float = 0.3
    low: float = 0.1
    high: float = 10.0

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {"target": schedule_from_data(self.target, where="target")}
        for name in ("rate", "low", "high"):
            checked[name] = number(name, getattr(self, name), above=0)
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        if self.rate > 1:
            raise InputError(f"rate = {self.rate:g} must be above 0 and at most 1")
        if not self.low <= 1 <= self.high:
            raise InputError(f"low = {self.low:g} and high = {self.high:g} must lie on either side of 1")

    def to_data(self) -> dict[str, Any]:
        """Plain data from which `drift_from_data` makes an equal budget."""
        return {"target": self.target.to_data(), "rate": self.rate, "low": self.low, "high": self.high}


DriftLike: TypeAlias = DriftBudget | ScheduleLike


def drift_from_data(data: DriftLike, *, where: str = "drift") -> DriftBudget:
    """Make a budget from a mapping of its fields, or from its target alone in any form of a schedule.

    Raises:
        InputError: naming the field, its value and what is allowed.
    """
    if isinstance(data, DriftBudget):
        return data
    try:
        if isinstance(data, Mapping) and "kind" not in data:
            names = [field.name for field in fields(DriftBudget)]
            known_keys("a drift budget", data, required=["target"], allowed=names)
            return DriftBudget(**data)
        return DriftBudget(schedule_from_data(data, where="target"))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


@dataclass(frozen=True)
class DriftController:
    """Steers the factor of a step size so that the measured KL meets its target; pure, the factor is the state.

    Near the optimum of a smooth loss the KL of one update is proportional to the square of its step size. So the
    controller corrects the factor's logarithm by `rate` times half the logarithm of target over measured KL: the
    error shrinks by 1 - rate per update. Rises and falls per update are bounded, and falls may be faster.
    """

    budget: DriftBudget

    def update(self, factor: float, measured_kl: float, target: float) -> float:
        """Next factor.

        Args:
            factor: present one, above 0; it starts at 1.
            measured_kl: KL divergence of the last update that the factor took part in, in nats. At most 0 (nothing
                moved, or noise hides it): the factor rises at its bounded pace. Not finite: it falls at its own.
            target: the budget at present, in nats; 0 wants no movement.

        Returns:
            The factor within ``[low, high]`` of the budget.

        Raises:
            InputError: the factor is not above 0, or the target below 0.
        """
        factor = number("factor", factor, above=0)
        target = number("target", target, least=0)
        change = self.budget.rate * max(-MOST_FALL, min(MOST_RISE, _error(measured_kl, target)))
        return max(self.budget.low, min(self.budget.high, factor * math.exp(change)))


def _error(measured_kl: float, target: float) -> float:
    """Logarithm of the factor by which the step size misses the budget."""
    if not math.isfinite(measured_kl) or target == 0:
        return -math.inf
    if measured_kl <= 0:
        return math.inf
    return (math.log(target) - math.log(measured_kl)) / 2
