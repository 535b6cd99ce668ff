"""What customers want: multinomial logit choice and the demand it draws."""

from __future__ import annotations

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.poisson import poisson_quantile
from invrec_rllib.sim.randomness import PeriodDraws


def attraction(params: Params, affinity: FloatArray, exposure: FloatArray, *, period: int) -> FloatArray:
    """Attraction of every product for every segment [w], against 1 for buying nothing.

    Args:
        params: the world.
        affinity: log-attraction [a], (..., M, N).
        exposure: in [0, 1], (..., M, N).
        period: t, for the price path.

    Returns:
        (..., M, N), > 0: `exp(a + beta e)`, or `exp(a) (1 + (exp(beta) - 1) e)` in the linear form, times
        `(p_t / p)^-eta`.
    """
    linear = params.scenario.demand.lift_form == "linear"
    weight: FloatArray = affinity.copy() if linear else params.lift * exposure
    if not linear:
        weight += affinity
    if params.log_price_ratio is not None:
        weight -= params.log_price_ratio[period]
    np.exp(weight, out=weight)
    if linear:
        weight *= 1.0 + np.expm1(params.lift) * exposure
    return weight


def purchase_probability(weight: FloatArray) -> FloatArray:
    """Probability that a visitor asks for each product [P], (..., M, N); the rest buy nothing."""
    probability: FloatArray = weight / (1.0 + weight.sum(axis=-1, keepdims=True))
    return probability


def mean_demand(params: Params, affinity: FloatArray, exposure: FloatArray, *, period: int) -> FloatArray:
    """Mean demand per segment and product, units per period, (..., M, N); arguments as `attraction`."""
    return _mean_demand(params, attraction(params, affinity, exposure, period=period), period=period)


def _mean_demand(params: Params, weight: FloatArray, *, period: int) -> FloatArray:
    visitors = params.traffic * params.season[period]
    rate = visitors[:, None] / (1.0 + weight.sum(axis=-1, keepdims=True))
    return weight * rate


def draw_clicks(params: Params, weight: FloatArray, draws: PeriodDraws, *, period: int) -> IntArray:
    """Demand drawn per segment and product [D], units, (B, M, N): Poisson, over-dispersed by the noise."""
    mean = _mean_demand(params, weight, period=period)
    if draws.noise is not None:
        mean *= draws.noise[:, None, :]
    return poisson_quantile(mean, draws.demand)
