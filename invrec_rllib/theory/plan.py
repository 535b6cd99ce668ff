"""A decision for every state of a small world, and what follows from it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from invrec_rllib.sim.params import FloatArray, IntArray
from invrec_rllib.theory.exact_world import OBJECTIVES, ExactWorld


@dataclass(frozen=True, eq=False)
class Plan:
    """A decision for every period and state.

    Attributes:
        world: what it was made for.
        order: index into the world's orders, (T, X_1 + 1, X_2 + 1).
        exposure: index into the world's exposures, likewise.
    """

    world: ExactWorld
    order: IntArray
    exposure: IntArray

    def same_as(self, other: Plan) -> bool:
        """Whether both decide alike everywhere."""
        return np.array_equal(self.order, other.order) and np.array_equal(self.exposure, other.exposure)


class Accounts(NamedTuple):
    """Expected money of an episode under a plan; the last three are what departments may be paid by.

    Attributes:
        profit: the firm's.
        inventory: the profit but for the cost of exposure, as `env.rewards` books it.
        clicks: price times demand, less the cost of exposure.
        sales: price times units sold, less the cost of exposure.
    """

    profit: float
    inventory: float
    clicks: float
    sales: float


def advance(plan: Plan, period: int, share: FloatArray, *, sold_out: int | None = None) -> FloatArray:
    """Distribution over states one period later.

    Args:
        plan: what is decided.
        period: t.
        share: of episodes, by state.
        sold_out: keep only the episodes in which nothing of this product is left at the period's end; None: all.
    """
    world = plan.world
    left = world.tables(period).left
    later = np.zeros(world.shape)
    states = np.nonzero(share)
    order, exposure = plan.order[period][states], plan.exposure[period][states]
    available = [x + np.where(world.at_once[i], world.orders[order, i], 0) for i, x in enumerate(states)]
    for k in np.unique(order):
        here = order == k
        first, second = (left[i][exposure[here], available[i][here]] for i in (0, 1))
        if sold_out is not None:
            (first, second)[sold_out][:, 1:] = 0.0
        moved = (first * share[states][here, None]).T @ second
        joins = np.where(world.at_once, 0, world.orders[k])
        rows, columns = world.shape[0] - joins[0], world.shape[1] - joins[1]
        later[joins[0] :, joins[1] :] += moved[:rows, :columns]
    return later


def occupancy(plan: Plan) -> FloatArray:
    """Probability of every state at the start of every period, (T + 1, X_1 + 1, X_2 + 1)."""
    world = plan.world
    share = np.zeros((world.params.num_periods + 1, *world.shape))
    share[0][world.start] = 1.0
    for t in range(world.params.num_periods):
        share[t + 1] = advance(plan, t, share[t])
    return share


def account(plan: Plan) -> Accounts:
    """What firm and departments expect of an episode under a plan, by following it forwards."""
    world, share = plan.world, occupancy(plan)
    rows, columns = np.indices(world.shape)
    totals = dict.fromkeys(OBJECTIVES, 0.0)
    for t in range(world.params.num_periods):
        units = world.orders[plan.order[t]] * world.at_once
        at = (plan.exposure[t], rows + units[..., 0], columns + units[..., 1])
        spent = float((share[t] * world.order_cost[plan.order[t]]).sum())
        for name in OBJECTIVES:
            earned = float((share[t] * world.rewards(t, name)[at]).sum())
            totals[name] += earned - (spent if name in ("profit", "inventory") else 0.0)
    kept = float((share[-1] * world.salvage).sum()) - world.params.initial_stock_cost
    return Accounts(totals["profit"] + kept, totals["inventory"] + kept, totals["clicks"], totals["sales"])


def held_back(plan: Plan) -> float:
    """Expected number of orders per episode that end at the stock limit, though the supplier would send more."""
    world, total = plan.world, 0.0
    rows, columns = np.indices(world.shape)
    on_hand = np.concatenate([rows[..., None], columns[..., None]], axis=-1)
    for t, share in enumerate(occupancy(plan)[:-1]):
        units = world.orders[plan.order[t]]
        stopped = (on_hand + units == world.stock_limit) & (units < world.orders[-1])
        total += float((share * stopped.any(axis=-1)).sum())
    return total
