"""What a period earns and costs."""

from __future__ import annotations

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.state import Economics


def overflow(params: Params, on_hand: IntArray) -> FloatArray:
    """Cost of stock above the shared capacity after receipt, money, (B,)."""
    capacity = params.scenario.supply.capacity
    if capacity is None:
        return np.zeros(len(on_hand))
    excess = np.maximum(on_hand.sum(axis=1) - capacity, 0.0)
    return params.scenario.supply.overflow_cost * excess


def account(
    params: Params,
    *,
    period: int,
    order: IntArray,
    exposure: FloatArray,
    sales: IntArray,
    unserved: IntArray,
    on_hand_end: IntArray,
    on_order_end: IntArray,
    overflow_cost: FloatArray,
) -> Economics:
    """Itemise the money of one period.

    Args:
        params: the world.
        period: t; the initial stock is charged at 0, what is left is credited at T - 1.
        order: units, (B, N).
        exposure: in [0, 1], (B, M, N).
        sales: units sold, (B, N).
        unserved: units of demand lost, or waiting at the end of the period, (B, N).
        on_hand_end: units, (B, N).
        on_order_end: units under way after this period's order, (B, N, P).
        overflow_cost: money, (B,).
    """
    batch = len(order)
    last = period == params.num_periods - 1
    left = on_hand_end + on_order_end.sum(axis=2) if last else None
    rent = params.scenario.recommendation.exposure_cost
    return Economics(
        revenue=_total(sales, params.price[period]),
        purchase_cost=_total(order, params.unit_cost),
        order_cost=_total(order > 0, params.order_cost) if params.order_cost.any() else np.zeros(batch),
        holding_cost=_total(on_hand_end, params.holding_cost),
        stockout_cost=_total(unserved, params.stockout_penalty),
        overflow_cost=overflow_cost,
        exposure_cost=rent * exposure.sum(axis=(1, 2)) if rent else np.zeros(batch),
        initial_stock_cost=np.full(batch, params.initial_stock_cost if period == 0 else 0.0),
        salvage=np.zeros(batch) if left is None else _total(left, params.salvage_value),
    )


def _total(units: IntArray | np.ndarray[tuple[int, ...], np.dtype[np.bool_]], money_per_unit: FloatArray) -> FloatArray:
    # Not a matrix product: BLAS may round a row differently in batches of different size.
    total: FloatArray = (units * money_per_unit).sum(axis=1)
    return total
