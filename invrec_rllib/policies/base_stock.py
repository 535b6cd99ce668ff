"""Order up to a textbook level: newsvendor on the forecast over the lead time, within shared storage."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from invrec_rllib.policies.view import View
from invrec_rllib.sim.params import FloatArray, IntArray, Params

# Prices of storage that are tried, between 0 and the overflow cost.
_NUM_PRICES = 17
# What depends on the period alone is kept for this many periods, of all worlds together: single episodes ask
# for it again and again.
_CACHED_PERIODS = 4096


@lru_cache(maxsize=_CACHED_PERIODS)
def protected_season(params: Params, period: int) -> FloatArray:
    """Sum of the factors of season and announced prices over the periods that an order placed now must cover, (N,).

    These are the lead time with its mean delay and the review period, cut at the horizon: demand after it is
    worth nothing. Of prices, the current period's and those of `price_notice_periods` ahead are known; later
    ones count as base prices. The array is shared: not to be written to.
    """
    cumulative = np.concatenate(([0.0], np.cumsum(params.season)))
    end = np.minimum(_protected_until(params, period), params.num_periods)
    total: FloatArray = np.interp(end, np.arange(len(cumulative)), cumulative) - cumulative[period]
    if params.price_factor is not None:
        told = np.arange(
            period, min(period + params.scenario.demand.price_notice_periods + 1, params.num_periods)
        )
        share = np.clip(end - told[:, None], 0.0, 1.0)
        total += (share * params.season[told, None] * (params.price_factor[told] - 1.0)).sum(axis=0)
    total.setflags(write=False)
    return total


def critical_ratio(params: Params, period: int, *, storage_price: FloatArray | float = 0.0) -> FloatArray:
    """Share of demand paths worth covering: underage over underage plus overage.

    A unit short forgoes its margin and pays the penalty (p - c + b), or only the penalty where it waits and
    will be served. A unit left over pays holding, and at the horizon also what it lost in value
    (c - salvage). A price of storage is paid in both cases: it moves from underage to overage. p is the price of
    the period in which an order placed now arrives, or the last one announced before.

    Args:
        params: the world.
        period: t.
        storage_price: money per unit received, a number or (G, 1).

    Returns:
        In (0, 1), (N,), or (G, N) for G prices of storage.
    """
    last_cover = _protected_until(params, period) >= params.num_periods
    waits = params.scenario.demand.unmet == "backorder"
    margin = np.where(waits & ~last_cover, 0.0, _price_at_arrival(params, period) - params.unit_cost)
    underage = np.maximum(margin + params.stockout_penalty, 0.0)
    overage = params.holding_cost + np.where(last_cover, params.unit_cost - params.salvage_value, 0.0)
    bounded: FloatArray = np.clip(
        (underage - storage_price) / np.maximum(underage + overage, 1e-9), 0.001, 0.999
    )
    return bounded


def order_up_to_level(
    view: View, *, mean_factor: float = 1.0, safety_factor: float = 1.0, capacity_factor: float = 1.0
) -> FloatArray:
    """Textbook order-up-to level, units, (B, N): mean plus z standard deviations of the protected demand.

    z is the normal quantile of the newsvendor's critical ratio; forecast errors of the protected periods are
    taken as independent, and an uncertain lead time adds its variance times the squared mean demand.
    With 1 period of review it covers lead time + 1 periods. Where all products share a capacity, a price of
    storage between 0 and the overflow cost makes the expected stock fit if it can (the Lagrange multiplier of
    the multi-product newsvendor; Hadley and Whitin 1963). Fixed order costs are not considered.

    Args:
        view: what is known.
        mean_factor, safety_factor: what mean and standard deviation are multiplied by; 1: the textbook.
        capacity_factor: share of the shared capacity that the expected stock may fill, > 0.
    """
    constants = level_constants(view.params, view.state.period)
    mean = view.forecast * constants.season * mean_factor
    variance = view.forecast_sd**2 * constants.season * safety_factor**2
    if constants.delay_weight is not None:
        variance += constants.delay_weight * mean**2
    deviation = np.sqrt(variance)
    z = constants.quantiles[0]
    if len(constants.quantiles) > 1:
        capacity = view.params.scenario.supply.capacity
        assert capacity is not None
        z = _stored_quantile(
            constants.quantiles,
            capacity=capacity * capacity_factor,
            mean=mean * constants.stored_share,
            deviation=deviation,
        )
    level: FloatArray = mean + z * deviation
    np.maximum(level, 0.0, out=level)
    return level


class LevelConstants(NamedTuple):
    """What the textbook level takes from the period, whatever the forecast.

    Attributes:
        season: as `protected_season`, (N,).
        quantiles: normal quantiles of the critical ratios, one row per price of storage tried, (G, N).
        delay_weight: variance of the delay over the squared number of protected periods, (N,); None: certain.
        stored_share: share of the protected mean demand that is in store after receipt, (N,).
    """

    season: FloatArray
    quantiles: FloatArray
    delay_weight: FloatArray | None
    stored_share: FloatArray


@lru_cache(maxsize=_CACHED_PERIODS)
def level_constants(params: Params, period: int) -> LevelConstants:
    supply = params.scenario.supply
    periods = np.maximum(_protected_until(params, period) - period, 1e-9)
    delay_variance = _delay_moments(params)[1]
    stores = supply.capacity is not None and supply.overflow_cost > 0.0
    prices = np.linspace(0.0, supply.overflow_cost, _NUM_PRICES) if stores else np.zeros(1)
    return LevelConstants(
        season=protected_season(params, period),
        quantiles=ndtri(critical_ratio(params, period, storage_price=prices[:, None])),
        delay_weight=delay_variance / periods**2 if delay_variance else None,
        stored_share=supply.review_periods / periods,
    )


def _stored_quantile(
    quantiles: FloatArray, *, capacity: float, mean: FloatArray, deviation: FloatArray
) -> FloatArray:
    """Normal quantile z at the lowest price of storage at which the stock fits, else at the highest, (B, N).

    Args:
        quantiles: z by rising price of storage, (G, N).
        capacity: shared by all products, units.
        mean: expected stock after receipt at z = 0, units, (B, N).
        deviation: units of stock per unit of z, (B, N).
    """
    z, last = quantiles, len(quantiles) - 1
    stock = np.maximum(mean[:, None, :] + z * deviation[:, None, :], 0.0).sum(axis=2)
    # Stock falls as the price rises: between the last price at which it does not fit and the next it is linear.
    too_full = np.count_nonzero(stock > capacity, axis=1)
    low, high = np.maximum(too_full - 1, 0), np.minimum(too_full, last)
    rows = np.arange(len(stock))
    span = np.maximum(stock[rows, low] - stock[rows, high], 1e-9)
    share = np.clip((stock[rows, low] - capacity) / span, 0.0, 1.0)[:, None]
    quantile: FloatArray = z[low] + share * (z[high] - z[low])
    return quantile


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


def base_stock_order(view: View) -> IntArray:
    """Whole units up to the textbook's level, (B, N)."""
    return order_towards(view, order_up_to_level(view))


def _price_at_arrival(params: Params, period: int) -> FloatArray:
    """Price when an order placed now arrives, or the last one announced before, (N,)."""
    ahead = np.minimum(params.lead_time, params.scenario.demand.price_notice_periods)
    price: FloatArray = params.price[
        np.minimum(period + ahead, params.num_periods - 1), np.arange(params.num_products)
    ]
    return price


def _protected_until(params: Params, period: int) -> FloatArray:
    """End of the periods that an order placed now must cover, not cut at the horizon, (N,)."""
    wait = params.lead_time.astype(np.float64) + mean_delay(params)
    end: FloatArray = wait + float(period + params.scenario.supply.review_periods)
    return end


def mean_delay(params: Params) -> float:
    """Mean delay beyond the lead time, periods."""
    return _delay_moments(params)[0]


def _delay_moments(params: Params) -> tuple[float, float]:
    """Mean and variance of the delay beyond the lead time, periods and periods squared."""
    probability = np.diff(params.delay_cumulative, prepend=0.0)
    delay = np.arange(len(probability))
    mean = float((probability * delay).sum())
    return mean, float((probability * (delay - mean) ** 2).sum())
