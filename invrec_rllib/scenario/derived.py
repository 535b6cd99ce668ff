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
    return _demand(scenario, np.asarray(scenario.segments.affinity))


def price_factor(scenario: Scenario) -> FloatArray | None:
    """Demand at the prices of the path over demand at base prices, at exposure K/N and long-run affinities.

    It holds the prices of all products: a rival's promotion lowers a product's factor.

    Returns:
        Shape (T, N), > 0; None where prices do not move demand.
    """
    path, elasticity = scenario.demand.price_path, scenario.segments.price_elasticity
    if path is None or elasticity is None:
        return None
    log_ratio = np.log(np.asarray(path) / np.asarray(scenario.products.price))
    lowered = np.asarray(scenario.segments.affinity) - np.asarray(elasticity)[:, None] * log_ratio[:, None, :]
    factor: FloatArray = _demand(scenario, lowered) / organic_demand(scenario)
    return factor


def _demand(scenario: Scenario, affinity: FloatArray) -> FloatArray:
    """Mean demand at log-attractions (..., M, N), exposure K/N and season 1; (..., N)."""
    segments = scenario.segments
    exposure = scenario.recommendation.slots / scenario.products.count
    lift = np.asarray(segments.lift)[:, None]
    if scenario.demand.lift_form == "linear":
        attraction = np.exp(affinity) * (1.0 + np.expm1(lift) * exposure)
    else:
        attraction = np.exp(affinity + lift * exposure)
    choice = attraction / (1.0 + attraction.sum(axis=-1, keepdims=True))
    demand: FloatArray = np.asarray(segments.traffic) @ choice
    return demand


def organic_margin(scenario: Scenario) -> float:
    """Gross margin per period if organic demand were always met, money per period."""
    margin = np.asarray(scenario.products.price) - np.asarray(scenario.products.unit_cost)
    return float(np.sum(np.maximum(margin, 0.0) * organic_demand(scenario)))


def reward_scale(scenario: Scenario) -> float:
    """Money that makes a reward of 1: as the scenario states it, else its organic margin per period."""
    return scenario.reward_scale or organic_margin(scenario) or 1.0
