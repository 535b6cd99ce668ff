"""How a plan reacts to stock: the yardstick for what trained agents have learned.

All effects are means over the states that the plan reaches, weighted by how often it does: single steps between
rare states may go the other way, where the slot switches sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray
from invrec_rllib.theory.plan import Plan, advance, occupancy


@dataclass(frozen=True, eq=False)
class StockEffects:
    """What one more unit of stock does to a decision, (N, N) each: of product i's decision, to product j's stock.

    Attributes:
        slope: mean change per unit.
        falls: share of the steps at which the decision falls.
        rises: share of the steps at which it rises.
    """

    slope: FloatArray
    falls: FloatArray
    rises: FloatArray


@dataclass(frozen=True, eq=False)
class AfterSellOut:
    """What follows when a product is sold out at a period's end, (N, H) each: by product, 1 to H periods later.

    Attributes:
        exposure, order, stock: means for the product itself, given that it was sold out.
        rival_exposure, rival_order: means for the other product; NaN where there is none.
    """

    exposure: FloatArray
    order: FloatArray
    stock: FloatArray
    rival_exposure: FloatArray
    rival_order: FloatArray


@dataclass(frozen=True, eq=False)
class Structure:
    """How a plan reacts.

    Attributes:
        exposure: effects of stock on exposure.
        order: effects of stock on orders, units per unit.
        mean_exposure, mean_order, mean_stock: over the same periods, (N,).
        after_sell_out: what follows a stockout.
    """

    exposure: StockEffects
    order: StockEffects
    mean_exposure: FloatArray
    mean_order: FloatArray
    mean_stock: FloatArray
    after_sell_out: AfterSellOut


def structure_of(plan: Plan, *, horizon: int = 8, last_period: int | None = None) -> Structure:
    """How a plan reacts to stock and to stockouts.

    Args:
        plan: of a small world.
        horizon: periods after a stockout [H], >= 1.
        last_period: periods from this one on are left out, where the end of the season rules; None: the last H.

    Raises:
        InputError: no period would be left.
    """
    periods = plan.world.params.num_periods
    end = periods - horizon if last_period is None else last_period
    if horizon < 1 or not 1 <= end <= periods - horizon:
        raise InputError(
            f"horizon is {horizon} and last_period {end}: both must be at least 1 and their sum at most the "
            f"{periods} periods of {plan.world.params.scenario.name}"
        )
    count = plan.world.params.num_products
    share = occupancy(plan)[:end]
    exposure = plan.world.exposures[plan.exposure[:end], 0]
    order = plan.world.orders[plan.order[:end], :count].astype(np.float64)
    stock = _units(plan)[None, ..., :count]
    return Structure(
        exposure=_effects(share, exposure),
        order=_effects(share, order),
        mean_exposure=_mean(share, exposure),
        mean_order=_mean(share, order),
        mean_stock=_mean(share, stock),
        after_sell_out=_after_sell_out(plan, share, horizon=horizon),
    )


def _units(plan: Plan) -> FloatArray:
    """On hand of both products, by state, (X_1 + 1, X_2 + 1, 2)."""
    return np.moveaxis(np.indices(plan.world.shape), 0, -1).astype(np.float64)


def _mean(share: FloatArray, values: FloatArray) -> FloatArray:
    """Over periods and states, of values (T or 1, X_1 + 1, X_2 + 1, N)."""
    mean: FloatArray = (share[..., None] * values).sum(axis=(0, 1, 2)) / share.sum()
    return mean


def _effects(share: FloatArray, decision: FloatArray) -> StockEffects:
    """Effects of one more unit, weighted by the rarer of the two states."""
    count = decision.shape[-1]
    effects = np.zeros((3, count, count))
    slope, falls, rises = effects
    for j in range(count):
        weight = np.minimum(np.delete(share, -1, axis=1 + j), np.delete(share, 0, axis=1 + j))
        step = np.diff(decision, axis=1 + j)
        slope[:, j] = _mean(weight, step)
        falls[:, j] = _mean(weight, (step < 0).astype(np.float64))
        rises[:, j] = _mean(weight, (step > 0).astype(np.float64))
    return StockEffects(slope, falls, rises)


def _after_sell_out(plan: Plan, share: FloatArray, *, horizon: int) -> AfterSellOut:
    world = plan.world
    count = world.params.num_products
    units = _units(plan)
    # By product sold out: exposure and order of both products, stock of both, times the lags.
    sums, total = np.zeros((count, 3, 2, horizon)), np.zeros(count)
    for i in range(count):
        for t in range(len(share)):
            met = advance(plan, t, share[t], sold_out=i)
            total[i] += met.sum()
            for lag in range(horizon):
                now = t + 1 + lag
                shown = np.pad(world.exposures[:, 0], ((0, 0), (0, 2 - count)))[plan.exposure[now]]
                for row, values in zip(sums[i], (shown, world.orders[plan.order[now]], units), strict=True):
                    row[:, lag] += np.einsum("xy,xyn->n", met, values)
                met = advance(plan, now, met)
    means = sums / np.maximum(total, np.finfo(float).tiny)[:, None, None, None]
    own = means[np.arange(count), :, np.arange(count)]
    rival = means[np.arange(count), :, 1 - np.arange(count)] if count > 1 else np.full_like(own, np.nan)
    return AfterSellOut(own[:, 0], own[:, 1], own[:, 2], rival[:, 0], rival[:, 1])
