"""A world varied in one respect, for sensitivity: what a factor means, and what stays in proportion."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.derived import organic_demand
from invrec_rllib.scenario.files import build_scenario
from invrec_rllib.scenario.lifts import with_lift
from invrec_rllib.scenario.schema import Scenario

# Cost of overflow where a world has none, as a share of the mean price: that of the preset `capacity`.
_OVERFLOW_SHARE = 0.075


class Factor(NamedTuple):
    """One respect in which worlds differ.

    Attributes:
        label: of an axis, with its unit.
        levels: that are tried by default.
        value: where a world stands.
        vary: the world at a level.
    """

    label: str
    levels: tuple[float, ...]
    value: Callable[[Scenario], float]
    vary: Callable[[Scenario, float], Scenario]


def vary(scenario: Scenario, factor: str, value: float) -> Scenario:
    """The world at a level of a factor, named after both; all else as it is, or in proportion.

    Args:
        scenario: the base.
        factor: a name in `FACTORS`.
        value: the level.

    Raises:
        InputError: no such factor; the message lists them.
        ScenarioError: the level makes no valid world.
    """
    if factor not in FACTORS:
        raise InputError(f"factor {factor!r} is unknown, must be one of: {', '.join(FACTORS)}")
    varied = FACTORS[factor].vary(scenario, value)
    return varied.model_copy(update={"name": f"{scenario.name}.{factor}"})


def _changed(scenario: Scenario, section: str, **fields: Any) -> Scenario:
    data = scenario.model_dump(mode="json")
    data[section] = {**data[section], **fields}
    return build_scenario(data, source=f"{scenario.name} with {', '.join(fields)} changed")


def _field(
    section: str, field: str
) -> tuple[Callable[[Scenario], float], Callable[[Scenario, float], Scenario]]:
    """Value and variation of a single number of the schema."""
    return (
        lambda scenario: float(getattr(getattr(scenario, section), field)),
        lambda scenario, value: _changed(scenario, section, **{field: value}),
    )


def _with_longer_lead_times(scenario: Scenario, periods: float) -> Scenario:
    """So many periods added to every lead time; the pipeline brings organic demand in each that is new."""
    if periods < 0 or periods != int(periods):
        raise InputError(f"lead_time adds {periods:g} periods, must be a whole number of at least 0")
    products, added = scenario.products, int(periods)
    organic = np.rint(organic_demand(scenario)).astype(int).tolist()
    return _changed(
        scenario,
        "products",
        lead_time=[lead + added for lead in products.lead_time],
        initial_pipeline=[
            [*pipeline, *[units] * added]
            for pipeline, units in zip(products.initial_pipeline, organic, strict=True)
        ],
    )


def _lift_odds(scenario: Scenario) -> float:
    """Factor on the odds of purchase at full exposure, the geometric mean over visitors."""
    return math.exp(float(np.average(scenario.segments.lift, weights=scenario.segments.traffic)))


def _with_lift_odds(scenario: Scenario, odds: float) -> Scenario:
    if not odds >= 1.0:
        raise InputError(f"lift multiplies the odds by {odds:g}, must be at least 1")
    return with_lift(scenario, math.log(odds))


def _with_margins(scenario: Scenario, factor: float) -> Scenario:
    """Margins multiplied; holding cost and salvage keep their share of the unit cost, prices stay."""
    products = scenario.products
    costs = [p - factor * (p - c) for p, c in zip(products.price, products.unit_cost, strict=True)]
    ratios = [new / old if old else 1.0 for new, old in zip(costs, products.unit_cost, strict=True)]

    def scaled(values: tuple[float, ...]) -> list[float]:
        return [value * ratio for value, ratio in zip(values, ratios, strict=True)]

    return _changed(
        scenario,
        "products",
        unit_cost=costs,
        holding_cost=scaled(products.holding_cost),
        salvage_value=scaled(products.salvage_value),
    )


def _storage_periods(scenario: Scenario) -> float:
    capacity = scenario.supply.capacity
    return math.inf if capacity is None else capacity / float(organic_demand(scenario).sum())


def _with_storage(scenario: Scenario, periods: float) -> Scenario:
    """Shared storage for so many periods of organic demand; infinite: no limit."""
    if math.isinf(periods):
        return _changed(scenario, "supply", capacity=None, overflow_cost=0.0)
    overflow = scenario.supply.overflow_cost or _OVERFLOW_SHARE * float(np.mean(scenario.products.price))
    units = periods * float(organic_demand(scenario).sum())
    return _changed(scenario, "supply", capacity=units, overflow_cost=overflow)


FACTORS: dict[str, Factor] = {
    "lead_time": Factor(
        "lead time, periods added", (0, 1, 2, 4), lambda scenario: 0.0, _with_longer_lead_times
    ),
    "lift": Factor("lift, factor on odds", (1, 1.5, 2.5, 4), _lift_odds, _with_lift_odds),
    "taste_noise": Factor("taste noise per period", (0, 0.15, 0.3, 0.45), *_field("tastes", "noise")),
    "demand_noise": Factor("demand noise (cv)", (0, 0.3, 0.6, 1), *_field("demand", "noise_cv")),
    "substitution": Factor("substitution, share", (0, 0.3, 0.6), *_field("demand", "substitution")),
    "margin": Factor("margin, times the base's", (0.5, 0.75, 1, 1.25), lambda scenario: 1.0, _with_margins),
    "capacity": Factor("storage, periods of demand", (1, 1.5, 2, math.inf), _storage_periods, _with_storage),
}
"""By name: lead time, lift, taste noise, demand noise, substitution, margin, storage."""
