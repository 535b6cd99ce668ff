"""Order rules of the inventory literature, by formula, with factors that can be tuned.

All build on the textbook's order-up-to level (`base_stock.order_up_to_level`), so that season, announced prices,
shared storage and the horizon are treated alike. A survey: Bijvank and Vis (2011), "Lost-sales inventory theory: a
review".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from invrec_rllib.policies.base_stock import order_towards, order_up_to_level
from invrec_rllib.policies.parameters import Parameters, bounded
from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params

_DENSITY_AT_0 = 1.0 / np.sqrt(2.0 * np.pi)


@dataclass(frozen=True)
class OrderParameters(Parameters):
    """What an order rule is tuned by; the defaults are the textbook's base-stock.

    Attributes:
        mean_factor: multiplies the mean of the protected demand.
        safety_factor: multiplies its standard deviation.
        capacity_factor: share of the shared storage that the expected stock may fill.
        projection: 0: base-stock on the inventory position; 1: on the projected inventory level, in which units
            that stockouts will lose before the order arrives are not ordered again.
        cap_tightness: inverse of the largest order in periods of the demand forecast for its arrival; 0: no cap.
    """

    mean_factor: float = bounded(1.0, 0.2, 4.0)
    safety_factor: float = bounded(1.0, 0.0, 4.0)
    capacity_factor: float = bounded(1.0, 0.3, 3.0)
    projection: float = bounded(0.0, 0.0, 1.0)
    cap_tightness: float = bounded(0.0, 0.0, 1.5)


def tuned_order(view: View, parameters: OrderParameters) -> IntArray:
    """Orders of the family that `OrderParameters` spans: base-stock, projected inventory level, both capped."""
    level = order_up_to_level(
        view,
        mean_factor=parameters.mean_factor,
        safety_factor=parameters.safety_factor,
        capacity_factor=parameters.capacity_factor,
    )
    if parameters.projection > 0.0:
        level = level - parameters.projection * expected_lost_before_arrival(view)
    order = order_towards(view, level)
    if parameters.cap_tightness > 0.0:
        order = np.minimum(order, _whole(order_cap(view, cap_periods=1.0 / parameters.cap_tightness)))
    return order


def capped_base_stock_order(view: View, *, cap_periods: float = 1.3) -> IntArray:
    """Base-stock whose orders are at most some periods of the demand forecast for their arrival, (B, N).

    With lost sales the cap keeps a base-stock from ordering again and again what stockouts have already lost:
    Johansen and Thorstenson (2008); asymptotically optimal and near the optimum in tests: Xin (2021),
    "Understanding the performance of capped base-stock policies in lost-sales inventory models". Without a cap
    it is the base-stock. The default leaves 30 % above the mean to recover with.

    Args:
        view: what is known.
        cap_periods: largest order in periods of forecast demand (of review periods, where R > 1), >= 0.
    """
    order = order_towards(view, order_up_to_level(view))
    return np.minimum(order, _whole(order_cap(view, cap_periods=cap_periods)))


def projected_inventory_order(view: View) -> IntArray:
    """Orders that lift the inventory projected for their arrival to a level, (B, N).

    The projected inventory level policy of van Jaarsveld and Arts (2024): the order makes up the difference
    between a level U and the expected stock on hand when it arrives, given stock and pipeline now. U is the
    textbook level less the mean demand of the lead time, so that the policy equals the base-stock where no
    sales are lost.
    """
    return order_towards(view, order_up_to_level(view) - expected_lost_before_arrival(view))


def min_max_order(view: View) -> IntArray:
    """(s, S): when the inventory position is below s, order up to S, (B, N).

    s is the textbook's order-up-to level, S lies the economic order quantity sqrt(2 k d / h) above it (Harris
    1913, Scarf 1960), but no more than the demand that is left until the horizon. With no fixed order cost
    [k] both are one, and the rule is the base-stock.
    """
    params, period = view.params, view.state.period
    reorder_point = order_up_to_level(view)
    rate = view.forecast * params.demand_factor[period]
    quantity = np.sqrt(2.0 * params.order_cost * rate / np.maximum(params.holding_cost, 1e-9))
    left = view.forecast * params.demand_factor[period:].sum(axis=0)
    order = order_towards(view, reorder_point + np.minimum(quantity, left))
    order[view.state.inventory_position >= np.rint(reorder_point)] = 0
    return order


def constant_quantity(params: Params) -> FloatArray:
    """Units per order that a constant-order policy buys by formula, (N,), not rounded.

    With lost sales and long lead times the best constant order is nearly optimal (Reiman 2004; Goldberg, Katz-
    Rogozhnikov, Lu, Sharma and Squillante 2016). Stock is then a queue fed by r and drained by demand of mean
    d and variance v, whose mean is at most v / (2 (d - r)) (Kingman 1962), and d - r is lost per period.
    The sum of holding cost h v / (2 (d - r)) and underage (p - c + b) (d - r) is least at
    r = d - sqrt(h v / (2 (p - c + b))). Demand is organic, at its mean over the season.
    """
    review = params.scenario.supply.review_periods
    mean = params.organic_demand * params.demand_factor.mean(axis=0) * review
    variance = mean + (params.scenario.demand.noise_cv**2) * mean**2 / review
    underage = np.maximum(params.price.mean(axis=0) - params.unit_cost + params.stockout_penalty, 1e-9)
    lost = np.sqrt(params.holding_cost * review * variance / (2.0 * underage))
    order: FloatArray = np.maximum(mean - lost, 0.0)
    return order


def constant_order(view: View) -> IntArray:
    """The constant order of this period, (B, N): fractions of a unit are ordered every so many periods."""
    params, period = view.params, view.state.period
    review = params.scenario.supply.review_periods
    if period % review:
        return np.zeros(view.forecast.shape, dtype=np.int64)
    count, quantity = period // review, constant_quantity(params)
    units = np.floor((count + 1) * quantity) - np.floor(count * quantity)
    units = np.where(period + params.lead_time < params.num_periods, units, 0.0)
    order = np.minimum(units.astype(np.int64), params.max_order)
    return np.tile(order, (view.state.num_episodes, 1))


def order_cap(view: View, *, cap_periods: float) -> FloatArray:
    """Largest order of a capped rule: so many periods of the demand forecast at arrival, units, (B, N)."""
    params = view.params
    arrival = np.minimum(view.state.period + params.lead_time, params.num_periods - 1)
    rate = view.forecast * params.product_demand_factor[arrival, np.arange(params.num_products)]
    cap: FloatArray = cap_periods * params.scenario.supply.review_periods * rate
    return cap


def expected_lost_before_arrival(view: View) -> FloatArray:
    """Expected units of demand that stockouts lose before an order placed now arrives, units, (B, N).

    Stock is projected period by period: demand, normal by the forecast, is taken from it, what would fall below
    0 is lost, and the pipeline's deliveries are added. Mean and variance of what is left are those of a normal
    variable cut at 0. Delays count with the certain lead time. 0 where unmet demand waits.
    """
    params, state = view.params, view.state
    lost = np.zeros(view.forecast.shape)
    if params.waits:
        return lost
    mean, variance = state.on_hand.astype(np.float64), np.zeros(view.forecast.shape)
    last = params.num_periods - state.period
    for lag in range(min(int(params.lead_time.max()), last)):
        waiting = params.lead_time > lag
        here = params.product_demand_factor[state.period + lag]
        left = mean - view.forecast * here
        total = variance + view.forecast_sd**2 * here
        kept, kept_variance = _cut_at_zero(left, total)
        lost += np.where(waiting, kept - left, 0.0)
        mean = kept + state.on_order[:, :, lag]
        variance = kept_variance
    return lost


def _cut_at_zero(mean: FloatArray, variance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of max(X, 0), X normal."""
    deviation = np.sqrt(np.maximum(variance, 1e-12))
    z = mean / deviation
    above, density = ndtr(z), _DENSITY_AT_0 * np.exp(-0.5 * z * z)
    kept = mean * above + deviation * density
    square = (mean**2 + deviation**2) * above + mean * deviation * density
    return kept, np.maximum(square - kept**2, 0.0)


def _whole(units: FloatArray) -> IntArray:
    return np.rint(np.minimum(units, 1e12)).astype(np.int64)
