"""Whom to show what: slates filled by a score, from popularity to this period's best expected revenue."""

from __future__ import annotations

import math

import numpy as np

from invrec_rllib.policies.base_stock import order_up_to_level, protected_season
from invrec_rllib.policies.view import View
from invrec_rllib.sim.choice import attraction, purchase_probability
from invrec_rllib.sim.params import FloatArray, Params

# The fixed point below is met after 2 or 3 rounds; each round can only raise the revenue.
_REVENUE_ROUNDS = 5


def fill_slots(score: FloatArray, slots: float) -> FloatArray:
    """Full exposure for the best scores, the fraction that remains for the next; nothing for a score <= 0.

    Args:
        score: higher is better, (..., N).
        slots: exposure budget [K], 0 < K <= N; 2.5 slots expose two products fully and a third by half.

    Returns:
        Exposure in [0, 1], (..., N), at most K in sum over the last axis.
    """
    num_products = score.shape[-1]
    count = min(math.ceil(slots), num_products)
    rows = score.reshape(-1, num_products)
    row = np.arange(len(rows))[:, None]
    best = np.argpartition(-rows, count - 1, axis=1)[:, :count]
    share: FloatArray | float = 1.0
    if slots < count:
        # Only where the last product gets a fraction does it matter which one is last.
        best = best[row, np.argsort(-rows[row, best], axis=1, kind="stable")]
        share = np.clip(slots - np.arange(count), 0.0, 1.0)
    exposure = np.zeros(rows.shape)
    exposure[row, best] = np.where(rows[row, best] > 0.0, share, 0.0)
    return exposure.reshape(score.shape)


def value_maximising_slates(
    params: Params, scores: FloatArray, *, value: FloatArray, period: int
) -> FloatArray:
    """Slates of the largest expected value of this period's demand, per segment; stock is not considered.

    With exposed and unexposed attractions `w'` and `w` the value of a visitor under slate S is the ratio
    `(sum_i w_i v_i + sum_S (w'_i - w_i) v_i) / (1 + sum_i w_i + sum_S (w'_i - w_i))`. A slate is best if it
    holds the K largest `(w'_i - w_i) (v_i - V)` above 0, where V is its own value (Dinkelbach 1967), so V is
    iterated to that fixed point. Whole slots are exact; a fraction of one goes to the next product in line.

    Args:
        params: the world.
        scores: log-attraction, (B, M, N).
        value: of one unit asked for, money, (N,) or (B, N).
        period: t, for prices and season.

    Returns:
        Exposure, (B, M, N). Products whose exposure would gain less than it costs get none.
    """
    unexposed = attraction(params, scores, np.zeros(scores.shape), period=period)
    gained = attraction(params, scores, np.ones(scores.shape), period=period) - unexposed
    worth = np.broadcast_to(value, (len(scores), params.num_products))[:, None, :]
    base_value, base_weight = (unexposed * worth).sum(axis=2), 1.0 + unexposed.sum(axis=2)
    visitor_value, weight = base_value / base_weight, base_weight
    rent = params.scenario.recommendation.exposure_cost
    visitors = np.maximum(params.traffic * params.season[period], 1e-9)[:, None]
    exposure = np.zeros(scores.shape)
    for _ in range(_REVENUE_ROUNDS):
        gain = gained * (worth - visitor_value[:, :, None]) * visitors / weight[:, :, None]
        before, exposure = exposure, fill_slots(gain - rent, params.slots)
        if np.array_equal(before, exposure):
            break
        shown = gained * exposure
        weight = base_weight + shown.sum(axis=2)
        visitor_value = (base_value + (shown * worth).sum(axis=2)) / weight
    return exposure


def revenue_greedy_slates(view: View) -> FloatArray:
    """Each segment's slate of the largest expected revenue of this period's demand, (B, M, N)."""
    period = view.state.period
    return value_maximising_slates(view.params, view.scores, value=view.params.price[period], period=period)


def margin_greedy_slates(view: View) -> FloatArray:
    """Each segment's slate of the largest expected margin (p - c) of this period's demand, (B, M, N)."""
    period = view.state.period
    value = view.params.price[period] - view.params.unit_cost
    return value_maximising_slates(view.params, view.scores, value=value, period=period)


def inventory_balancing_slates(view: View) -> FloatArray:
    """Slates of the largest revenue at prices marked down as stock is used up, (B, M, N).

    The exponential penalty of Golrezaei, Nazerzadeh and Rusmevichientong (2014), "Real-time optimization of
    personalized assortments": a product with a share x of its stock left counts as its price times
    `(1 - exp(-x)) / (1 - exp(-1))`. They sell a stock that is given once. Here it is replenished, so x is the
    stock on hand over what the textbook level leaves on the shelf after receipt: the level less the mean
    demand of the lead time, at most 1. Their guarantee for adversarial arrivals does not carry over.
    """
    params, period = view.params, view.state.period
    level = order_up_to_level(view)
    covered = np.maximum(protected_season(params, period), 1e-9)
    season = np.broadcast_to(params.demand_factor[period], covered.shape)
    before_receipt = np.maximum(covered - params.scenario.supply.review_periods * season, 0.0)
    full = np.maximum(level - view.forecast * before_receipt, 1.0)
    left = np.clip(view.state.on_hand / full, 0.0, 1.0)
    counted = np.expm1(-left) / np.expm1(-1.0)
    return value_maximising_slates(params, view.scores, value=params.price[period] * counted, period=period)


def stock_aware_slates(view: View, *, cover_periods: float = 2.0) -> FloatArray:
    """As `revenue_greedy_slates`, but a product that is short counts only for the share that it can serve.

    Its price is multiplied by `min(1, stock on hand / (cover_periods x forecast))`. A rule of thumb with one
    parameter: it knows nothing of deliveries under way, nor of what other segments will take. The default is
    not tuned to a world: of 0.5, 1, 1.5, 2 and 3 it is the round number that does well on all presets.

    Args:
        view: what is known.
        cover_periods: stock, in periods of forecast demand, from which on a product counts fully; > 0.
    """
    params, period = view.params, view.state.period
    expected = np.maximum(view.forecast * params.demand_factor[period] * cover_periods, 1e-9)
    served = np.minimum(view.state.on_hand / expected, 1.0)
    return value_maximising_slates(params, view.scores, value=params.price[period] * served, period=period)


def popularity(params: Params) -> FloatArray:
    """Mean purchase probability of an unexposed visitor, long-run affinities, weighted by traffic, (N,)."""
    # At full price: the first period's prices may be promotions.
    weight = np.exp(params.affinity)
    share = params.traffic / params.traffic.sum()
    mean: FloatArray = (share[:, None] * purchase_probability(weight)).sum(axis=0)
    return mean


def popular_slates(view: View) -> FloatArray:
    """The same K most popular products for everyone, always, (B, M, N)."""
    return _for_everyone(view, fill_slots(popularity(view.params), view.params.slots))


def uniform_slates(view: View) -> FloatArray:
    """Exposure K/N for every product, (B, M, N)."""
    params = view.params
    return _for_everyone(view, np.full(params.num_products, params.slots / params.num_products))


def empty_slates(view: View) -> FloatArray:
    """No exposure at all, (B, M, N)."""
    return np.zeros(view.scores.shape)


def _for_everyone(view: View, slate: FloatArray) -> FloatArray:
    exposure: FloatArray = np.broadcast_to(slate, view.scores.shape).copy()
    return exposure
