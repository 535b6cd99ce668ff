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
    # In C order whatever the arguments' layout, so that sums over products round alike.
    weight: FloatArray
    if params.scenario.demand.lift_form == "linear":
        weight = np.exp(_log_price_effect(params, affinity, period=period), order="C")
        weight *= 1.0 + np.expm1(params.lift) * exposure
        return weight
    weight = np.multiply(params.lift, exposure, order="C")
    weight += _log_price_effect(params, affinity, period=period)
    np.exp(weight, out=weight)
    return weight


def _log_price_effect(params: Params, affinity: FloatArray, *, period: int) -> FloatArray:
    if params.log_price_ratio is None:
        return affinity
    lowered: FloatArray = affinity - params.log_price_ratio[period]
    return lowered


def _total(weight: FloatArray) -> FloatArray:
    # Faster than `sum` on short rows, and alike for every row.
    total: FloatArray = np.einsum("...n->...", weight)[..., None]
    return total


def purchase_probability(weight: FloatArray) -> FloatArray:
    """Probability that a visitor asks for each product [P], (..., M, N); the rest buy nothing."""
    probability: FloatArray = weight / (1.0 + _total(weight))
    return probability


def mean_demand(params: Params, affinity: FloatArray, exposure: FloatArray, *, period: int) -> FloatArray:
    """Mean demand per segment and product, units per period, (..., M, N); arguments as `attraction`."""
    return _mean_demand(params, attraction(params, affinity, exposure, period=period), period=period)


def _mean_demand(params: Params, weight: FloatArray, *, period: int) -> FloatArray:
    mean: FloatArray = weight * (params.visitors[period] / (1.0 + _total(weight)))
    return mean


def draw_clicks(params: Params, weight: FloatArray, draws: PeriodDraws, *, period: int) -> IntArray:
    """Demand drawn per segment and product [D], units, (B, M, N): Poisson, over-dispersed by the noise."""
    mean = _mean_demand(params, weight, period=period)
    if draws.noise is not None:
        mean *= draws.noise[:, None, :]
    return poisson_quantile(mean, draws.demand)
