"""What follows from a scenario: organic demand, organic margin, the reward scale. Never inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.scenario.schema import Scenario

FloatArray = NDArray[np.float64]


def organic_demand(scenario: Scenario) -> FloatArray:
    """Mean demand per product and period under uniform exposure K/N, long-run affinities and season 1.

    Returns:
        Units per period, shape (N,).
    """
    segments = scenario.segments
    affinity = np.asarray(segments.affinity)
    exposure = scenario.recommendation.slots / scenario.products.count
    lift = np.asarray(segments.lift)[:, None]
    if scenario.demand.lift_form == "linear":
        attraction = np.exp(affinity) * (1.0 + np.expm1(lift) * exposure)
    else:
        attraction = np.exp(affinity + lift * exposure)
    choice = attraction / (1.0 + attraction.sum(axis=1, keepdims=True))
    demand: FloatArray = np.asarray(segments.traffic) @ choice
    return demand


def organic_margin(scenario: Scenario) -> float:
    """Gross margin per period if organic demand were always met, money per period."""
    margin = np.asarray(scenario.products.price) - np.asarray(scenario.products.unit_cost)
    return float(np.sum(np.maximum(margin, 0.0) * organic_demand(scenario)))


def reward_scale(scenario: Scenario) -> float:
    """Money that makes a reward of 1: as the scenario states it, else its organic margin per period."""
    return scenario.reward_scale or organic_margin(scenario) or 1.0
