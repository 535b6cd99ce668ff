"""Small worlds solved exactly: backward induction for the firm, and for a department against the other's policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.theory.exact_world import ExactWorld, Objective, compile_exact
from invrec_rllib.theory.plan import Plan, held_back

# Of decisions that are equally good up to this share of their value, the first is taken.
_TIE = 1e-10
# The stock limit is raised until it holds back an order in at most this share of episodes.
_HELD_BACK = 1e-6
_GROWTH = 1.5
_MOST_ITERATIONS = 100_000


class Solved(NamedTuple):
    """A best plan, and its expected value over the episode, money."""

    plan: Plan
    value: float


class LongRun(NamedTuple):
    """What a best stationary decision earns per period in the long run: money, and the iterations it took."""

    profit_per_period: float
    iterations: int


def solve(scenario: Scenario | Params, *, exposure_step: float = 0.25) -> Solved:
    """The firm's best plan, with a stock limit that does not bind.

    The limit is raised until orders are held back by it in less than one episode in a million.

    Args:
        scenario: a small world, see `compile_exact`.
        exposure_step: width of the exposure grid.

    Raises:
        InputError: the world cannot be solved exactly, or only with more states than are allowed.
    """
    world = compile_exact(scenario, exposure_step=exposure_step)
    while True:
        solved = solve_jointly(world)
        if held_back(solved.plan) <= _HELD_BACK:
            return solved
        wider = int(np.ceil(_GROWTH * world.stock_limit.max()))
        world = compile_exact(world.params, exposure_step=exposure_step, stock_limit=wider)


def solve_jointly(world: ExactWorld, *, discount: float = 1.0) -> Solved:
    """The plan of the largest expected profit per episode, the initial stock charged and the rest salvaged.

    Args:
        world: see `compile_exact`.
        discount: of money one period later, in (0, 1]; 1 is the simulator's sum.
    """
    return _optimise(world, "profit", discount=discount)


def best_orders(plan: Plan, *, objective: Objective = "profit") -> Solved:
    """The best orders against the exposures of a plan, the plan's own where they are as good."""
    return _optimise(plan.world, objective, plan=plan, keep="exposure")


def best_exposures(plan: Plan, *, objective: Objective = "profit") -> Solved:
    """The best exposures against the orders of a plan, the plan's own where they are as good."""
    return _optimise(plan.world, objective, plan=plan, keep="order")


def _optimise(
    world: ExactWorld,
    objective: Objective,
    *,
    discount: float = 1.0,
    plan: Plan | None = None,
    keep: str | None = None,
) -> Solved:
    if not 0.0 < discount <= 1.0:
        raise InputError(f"discount is {discount}, must lie in (0, 1]")
    owns_stock = objective in ("profit", "inventory")
    periods = world.params.num_periods
    order = np.zeros((periods, *world.shape), dtype=np.int64)
    exposure = np.zeros_like(order)
    # Salvage is paid in the last period, so it is not discounted once more.
    ahead = world.salvage if owns_stock else np.zeros(world.shape)
    for t in range(periods - 1, -1, -1):
        incumbent = None if plan is None else (plan.order[t], plan.exposure[t])
        step = bellman(world, t, ahead, objective=objective, incumbent=incumbent, keep=keep)
        order[t], exposure[t] = step.order, step.exposure
        ahead = discount * step.value
    value = float(step.value[world.start]) - (world.params.initial_stock_cost if owns_stock else 0.0)
    return Solved(Plan(world, order, exposure), value)


class Step(NamedTuple):
    """Of one period, by state: expected money from here on, and the decisions that earn it (indices)."""

    value: FloatArray
    order: IntArray
    exposure: IntArray


def bellman(
    world: ExactWorld,
    period: int,
    ahead: FloatArray,
    *,
    objective: Objective,
    incumbent: tuple[IntArray, IntArray] | None = None,
    keep: str | None = None,
) -> Step:
    """One step of backward induction.

    Args:
        world: see `compile_exact`.
        period: t.
        ahead: what the next period's states are worth now, by state.
        objective: whose money.
        incumbent: indices of order and exposure by state, preferred where nothing is better.
        keep: "order" or "exposure": that part of the incumbent is fixed; None: both may be chosen.
    """
    value = np.full(world.shape, -np.inf)
    order, exposure = np.zeros(world.shape, dtype=np.int64), np.zeros(world.shape, dtype=np.int64)
    as_before = np.full(world.shape, -np.inf)
    for k, region, gain in _by_order(world, period, ahead, objective=objective):
        tie = _TIE * np.maximum(1.0, np.abs(gain).max(axis=0))
        shown = (gain >= gain.max(axis=0) - tie).argmax(axis=0)
        if incumbent is not None:
            before = incumbent[1][region]
            same = np.take_along_axis(gain, before[None], axis=0)[0]
            shown = before if keep == "exposure" else shown
            as_before[region] = np.where(incumbent[0][region] == k, same, as_before[region])
        earned = np.take_along_axis(gain, shown[None], axis=0)[0]
        if incumbent is not None and keep == "order":
            earned = np.where(incumbent[0][region] == k, earned, -np.inf)
        better = earned > value[region] + tie
        value[region] = np.where(better, earned, value[region])
        order[region] = np.where(better, k, order[region])
        exposure[region] = np.where(better, shown, exposure[region])
    if incumbent is not None:
        stay = as_before >= value - _TIE * np.maximum(1.0, np.abs(value))
        order, exposure = np.where(stay, incumbent[0], order), np.where(stay, incumbent[1], exposure)
    return Step(value, order, exposure)


Region = tuple[slice, slice]


def _by_order(
    world: ExactWorld, period: int, ahead: FloatArray, *, objective: Objective
) -> Iterator[tuple[int, Region, FloatArray]]:
    """For every order: its index, the states in which it fits, and there the expected money by exposure."""
    tables, rewards = world.tables(period), world.rewards(period, objective)
    pays = objective in ("profit", "inventory")
    later: dict[tuple[int, int], FloatArray] = {}
    for k in world.allowed_orders(period):
        units = world.orders[k]
        after = np.where(world.at_once, 0, units)
        joins = (int(after[0]), int(after[1]))
        if joins not in later:
            if not world.at_once.any():
                later.clear()
            later[joins] = _expected(tables.left, ahead[joins[0] :, joins[1] :])
        sizes = world.stock_limit + 1 - units
        # On hand before the order, and what may be sold, which an order of lead time 0 adds to.
        region = (slice(sizes[0]), slice(sizes[1]))
        offset = np.where(world.at_once, units, 0)
        sold = (slice(offset[0], offset[0] + sizes[0]), slice(offset[1], offset[1] + sizes[1]))
        gain: FloatArray = rewards[:, sold[0], sold[1]] + later[joins][:, sold[0], sold[1]]
        yield k, region, gain - (world.order_cost[k] if pays else 0.0)


def _expected(left: tuple[FloatArray, FloatArray], ahead: FloatArray) -> FloatArray:
    """Mean of what is ahead over both products' leftovers, (E, ...), by what may be sold."""
    rows, columns = ahead.shape
    mean: FloatArray = left[0][:, :rows, :rows] @ ahead @ left[1][:, :columns, :columns].swapaxes(1, 2)
    return mean


def long_run(world: ExactWorld, *, tolerance: float = 1e-6) -> LongRun:
    """The largest average profit per period without a horizon, by relative value iteration.

    Args:
        world: without season, price path or review period.
        tolerance: the average is known to within this, money.

    Raises:
        InputError: the world changes with the period.
    """
    scenario = world.params.scenario
    changes = {
        "demand.season": np.ptp(world.params.season) > 0,
        "demand.price_path": np.ptp(world.params.price, axis=0).max() > 0,
        "supply.review_periods": scenario.supply.review_periods > 1,
    }
    if named := [name for name, does in changes.items() if does]:
        raise InputError(
            f"{' and '.join(named)} of {scenario.name} depend on the period: there is no long run"
        )
    value = np.zeros(world.shape)
    for iteration in range(1, _MOST_ITERATIONS + 1):
        updated = bellman(world, 0, value, objective="profit").value
        change = updated - value
        if np.ptp(change) <= tolerance:
            return LongRun(float(0.5 * (change.min() + change.max())), iteration)
        value = updated - updated[world.start]
    raise InputError(f"the average profit did not settle to {tolerance:g} in {_MOST_ITERATIONS:,} iterations")
