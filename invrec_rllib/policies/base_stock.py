"""Order up to a textbook level: newsvendor on the demand forecast over the lead time."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params


def protected_season(params: Params, period: int) -> FloatArray:
    """Sum of season factors over the periods that an order placed now must cover, (N,).

    These are the lead time and the review period, cut at the horizon: demand after it is worth nothing.
    """
    review = params.scenario.supply.review_periods
    cumulative = np.concatenate(([0.0], np.cumsum(params.season)))
    end = np.minimum(period + params.lead_time + review, params.num_periods)
    total: FloatArray = cumulative[end] - cumulative[period]
    return total


def critical_ratio(params: Params, period: int) -> FloatArray:
    """Share of demand paths worth covering, (N,): underage (p - c + b) over underage plus overage.

    A leftover unit costs holding, and at the horizon also what it lost in value (c - salvage).
    """
    underage = params.price[period] - params.unit_cost + params.stockout_penalty
    last_cover = period + params.lead_time + params.scenario.supply.review_periods >= params.num_periods
    overage = params.holding_cost + np.where(last_cover, params.unit_cost - params.salvage_value, 0.0)
    ratio = np.maximum(underage, 0.0) / np.maximum(np.maximum(underage, 0.0) + overage, 1e-9)
    bounded: FloatArray = np.clip(ratio, 0.001, 0.999)
    return bounded


def order_up_to_level(view: View) -> FloatArray:
    """Textbook order-up-to level, units, (B, N): mean plus z standard deviations of the protected demand.

    z is the normal quantile of the newsvendor's critical ratio; forecast errors of the protected periods are
    taken as independent. With 1 period of review it covers lead time + 1 periods.
    """
    params, period = view.params, view.state.period
    season = protected_season(params, period)
    z = ndtri(critical_ratio(params, period))
    level: FloatArray = view.forecast * season + z * view.forecast_sd * np.sqrt(season)
    return np.maximum(level, 0.0)


def order_towards(view: View, level: FloatArray) -> IntArray:
    """Whole units that lift the inventory position to a level, within the supplier's limit; (B, N).

    0 outside review periods, and where the order could not arrive before the horizon.
    """
    params, period = view.params, view.state.period
    if period % params.scenario.supply.review_periods:
        return np.zeros(level.shape, dtype=np.int64)
    wanted = np.rint(level).astype(np.int64) - view.state.inventory_position
    wanted = np.where(period + params.lead_time < params.num_periods, wanted, 0)
    order: IntArray = np.clip(wanted, 0, params.max_order)
    return order
