"""Worlds small enough to solve exactly: their states, decisions, chances and money as arrays.

A state is what is on hand after receipt, for lead times of 0 and 1 the whole of it. The event order is the
simulator's: what may be sold is on hand, with lead time 0 also what is ordered; demand, independent between
products given the exposure, takes what is there; an order of lead time 1 joins what is left.

Arrays always have two products: a world of one gets a second that nobody wants and that cannot be ordered.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.choice import mean_demand
from invrec_rllib.sim.params import FloatArray, IntArray, Params, compile_scenario
from invrec_rllib.sim.state import initial_state
from invrec_rllib.theory.demand import counted_demand, left_over

Objective = Literal["profit", "inventory", "clicks", "sales"]

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

_Number = TypeVar("_Number", np.float64, np.int64)

_PRODUCTS = 2
# Stock is first cut off where demand until the next order has arrived exceeds it with this probability.
_FIRST_TAIL = 1e-4
# Multiplications and additions of one solution: about a minute on one core.
_MOST_WORK = 3e11


class PeriodTables(NamedTuple):
    """Chances of one period, by exposure and product.

    Attributes:
        mean: demand, units, (E, 2).
        left: P(z left | y may be sold) of each product, (E, X + 1, X + 1) by exposure, y and z.
        sales: mean units sold of each product, (E, X + 1) by exposure and y.
        price: money, (2,).
    """

    mean: FloatArray
    left: tuple[FloatArray, FloatArray]
    sales: tuple[FloatArray, FloatArray]
    price: FloatArray


@dataclass(frozen=True, eq=False)
class ExactWorld:
    """A small world in arrays. E exposures, Q orders, X_i the most units of product i that are considered.

    Attributes:
        params: the world.
        exposures: that the recommender chooses from, (E, 1, N).
        orders: that the inventory chooses from, units, (Q, 2); the first is to order nothing.
        stock_limit: X, units, (2,). No order may lift stock above it, so that all chances are exact.
        at_once: whether an order arrives before the period's demand: lead time 0, (2,).
    """

    params: Params
    exposures: FloatArray
    orders: IntArray
    stock_limit: IntArray
    at_once: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, int]:
        """Of arrays over states: units on hand of either product, from 0 to X."""
        return int(self.stock_limit[0]) + 1, int(self.stock_limit[1]) + 1

    @property
    def num_states(self) -> int:
        """States of one period."""
        return self.shape[0] * self.shape[1]

    @property
    def start(self) -> tuple[int, int]:
        """The state in which every episode begins."""
        on_hand = _pad(initial_state(self.params, 1).on_hand[0])
        return int(on_hand[0]), int(on_hand[1])

    @cached_property
    def order_cost(self) -> FloatArray:
        """Purchase and fixed cost of every order, money, (Q,)."""
        unit_cost, fixed = _pad(self.params.unit_cost), _pad(self.params.order_cost)
        cost: FloatArray = self.orders @ unit_cost + (self.orders > 0) @ fixed
        return cost

    @cached_property
    def salvage(self) -> FloatArray:
        """What stock is worth at the horizon, money, by state."""
        value = _pad(self.params.salvage_value)
        worth: FloatArray = np.add.outer(
            value[0] * np.arange(float(self.shape[0])), value[1] * np.arange(float(self.shape[1]))
        )
        return worth

    @cached_property
    def _known_tables(self) -> dict[tuple[float, bytes], PeriodTables]:
        return {}

    def tables(self, period: int) -> PeriodTables:
        """Chances of a period; shared by all of equal season and prices."""
        key = (float(self.params.season[period]), self.params.price[period].tobytes())
        if key not in self._known_tables:
            self._known_tables[key] = self._make_tables(period)
        return self._known_tables[key]

    def _make_tables(self, period: int) -> PeriodTables:
        cv = self.params.scenario.demand.noise_cv
        mean = _demand(self.params, self.exposures, period)
        mean = np.pad(mean, ((0, 0), (0, _PRODUCTS - mean.shape[1])))
        left = tuple(
            left_over(np.stack([counted_demand(float(m), cv=cv).pmf(np.arange(size)) for m in mean[:, i]]))
            for i, size in enumerate(self.shape)
        )
        sales = tuple(np.arange(float(table.shape[1])) - table @ np.arange(table.shape[2]) for table in left)
        return PeriodTables(mean, (left[0], left[1]), (sales[0], sales[1]), _pad(self.params.price[period]))

    def allowed_orders(self, period: int) -> range:
        """Indices of the orders that are possible in a period: only the empty one between reviews."""
        return range(len(self.orders) if period % self.params.scenario.supply.review_periods == 0 else 1)

    def rewards(self, period: int, objective: Objective) -> FloatArray:
        """Expected money of a period but for what orders cost, (E, X_1 + 1, X_2 + 1), by what may be sold.

        Args:
            period: t.
            objective: "profit", the firm's; "inventory", the department's account, which is the profit but for
                the cost of exposure; "clicks" or "sales", what a recommender earns that is paid the price of all
                demand, or of what is sold, less the cost of exposure.
        """
        tables = self.tables(period)
        parts = [self._product_reward(tables, i, objective) for i in range(_PRODUCTS)]
        total: FloatArray = parts[0][:, :, None] + parts[1][:, None, :]
        if objective != "inventory":
            rent = self.params.scenario.recommendation.exposure_cost * self.exposures.sum(axis=(1, 2))
            total -= rent[:, None, None]
        supply = self.params.scenario.supply
        if objective in ("profit", "inventory") and supply.capacity is not None:
            stock = np.add.outer(np.arange(self.shape[0]), np.arange(self.shape[1]))
            total -= supply.overflow_cost * np.maximum(stock - supply.capacity, 0.0)
        return total

    def _product_reward(self, tables: PeriodTables, i: int, objective: Objective) -> FloatArray:
        mean, sales, price = tables.mean[:, i, None], tables.sales[i], tables.price[i]
        if objective == "clicks":
            return np.broadcast_to(price * mean, sales.shape)
        revenue: FloatArray = price * sales
        if objective == "sales":
            return revenue
        holding, penalty = _pad(self.params.holding_cost)[i], _pad(self.params.stockout_penalty)[i]
        leftover, lost = np.arange(sales.shape[1]) - sales, mean - sales
        profit: FloatArray = revenue - holding * leftover - penalty * lost
        return profit


def compile_exact(
    scenario: Scenario | Params, *, exposure_step: float = 0.25, stock_limit: int | None = None
) -> ExactWorld:
    """Lay out a small world for exact solution.

    Args:
        scenario: up to two products of lead time 0 or 1, one segment; fixed tastes; unmet demand is lost.
        exposure_step: width of the exposure grid, in (0, 1].
        stock_limit: the most units per product that are considered; None: what covers demand until an order
            arrives in all but 1 of 10,000 periods.

    Raises:
        InputError: the world has something that the solution leaves out, or is too large.
    """
    params = scenario if isinstance(scenario, Params) else compile_scenario(scenario)
    _check_kind(params)
    if not 0.0 < exposure_step <= 1.0:
        raise InputError(f"exposure_step is {exposure_step}, must lie in (0, 1]")
    exposures = _exposure_grid(params.num_products, params.slots, step=exposure_step)
    limit = _pad(_stock_limit(params, exposures, stock_limit))
    most = _pad(np.minimum(params.max_order, limit[: params.num_products]))
    orders = np.stack(np.meshgrid(*(np.arange(k + 1) for k in most), indexing="ij"), axis=-1)
    at_once = _pad((params.lead_time == 0).astype(np.int64)).astype(bool)
    world = ExactWorld(params, exposures, orders.reshape(-1, _PRODUCTS), limit, at_once)
    work = _work(world)
    if work > _MOST_WORK:
        raise InputError(
            f"{params.scenario.name} is too large to solve exactly: {world.num_states:,} stocks, {len(world.orders):,} "
            f"orders, {len(exposures)} exposures and {params.num_periods} periods take {work:.0e} operations, at most "
            f"{_MOST_WORK:.0e} are allowed: lower products.max_order, segments.traffic or periods, or widen "
            "exposure_step"
        )
    return world


def _check_kind(params: Params) -> None:
    scenario = params.scenario
    tastes, demand = scenario.tastes, scenario.demand
    wrong = [
        (params.num_products > _PRODUCTS, f"{params.num_products} products, at most {_PRODUCTS}"),
        (params.num_segments > 1, f"{params.num_segments} segments, at most 1"),
        (params.lead_time.max() > 1, f"products.lead_time up to {params.lead_time.max()}, at most 1"),
        (params.random_delays, "supply.delay_probabilities of late orders, none"),
        (tastes.noise > 0, f"tastes.noise = {tastes.noise:g}, only 0"),
        (tastes.carryover > 0, f"tastes.carryover = {tastes.carryover:g}, only 0"),
        (tastes.disappointment > 0, f"tastes.disappointment = {tastes.disappointment:g}, only 0"),
        (demand.substitution > 0, f"demand.substitution = {demand.substitution:g}, only 0"),
        (demand.unmet != "lost", f"demand.unmet = {demand.unmet!r}, only 'lost'"),
    ]
    reasons = [f"{reason} allowed" for is_wrong, reason in wrong if is_wrong]
    if reasons:
        raise InputError(f"{scenario.name} cannot be solved exactly: it has {'; '.join(reasons)}")


def _exposure_grid(num_products: int, slots: float, *, step: float) -> FloatArray:
    """All exposures on a grid that fit the slots, and those that use them up, (E, 1, N)."""
    axis = np.unique(np.append(np.arange(0.0, 1.0, step), 1.0))
    if num_products == 1:
        points = np.append(axis[axis < slots], min(slots, 1.0))[:, None]
    else:
        pairs = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        full = np.stack([axis, slots - axis], axis=-1)
        points = np.concatenate([pairs[pairs.sum(axis=1) <= slots], full, full[:, ::-1]])
        points = points[((points >= 0.0) & (points <= 1.0)).all(axis=1)]
    grid: FloatArray = np.unique(np.round(points, 12), axis=0)
    return grid[:, None, :]


def _stock_limit(params: Params, exposures: FloatArray, given: int | None) -> IntArray:
    start = initial_state(params, 1).on_hand[0]
    if given is not None:
        if given < start.max():
            raise InputError(f"stock_limit is {given}, must be at least the {start.max()} units of the start")
        return np.full(params.num_products, given, dtype=np.int64)
    cv = params.scenario.demand.noise_cv
    busiest = np.max(
        [_demand(params, exposures, t).max(axis=0) for t in range(params.num_periods)],
        axis=0,
    )
    periods = params.lead_time + params.scenario.supply.review_periods
    # Gamma noise of independent periods averages out; keeping its whole spread errs on the long side.
    covered = [
        int(counted_demand(float(mean), cv=cv).quantile(1.0 - _FIRST_TAIL)) for mean in busiest * periods
    ]
    limit: IntArray = np.maximum(np.array(covered, dtype=np.int64), start + 1)
    return limit


def _demand(params: Params, exposures: FloatArray, period: int) -> FloatArray:
    """Mean demand by exposure, (E, N)."""
    affinity = np.broadcast_to(params.affinity, exposures.shape)
    mean: FloatArray = mean_demand(params, affinity, exposures, period=period)[:, 0, :]
    return mean


def _work(world: ExactWorld) -> float:
    """Multiplications and additions of one backward induction."""
    shifts = np.unique(np.where(world.at_once, 0, world.orders), axis=0)
    sizes = world.stock_limit + 1.0 - shifts
    products = sizes.prod(axis=1) * sizes.sum(axis=1)
    return float(2.0 * products.sum() * len(world.exposures) * world.params.num_periods)


def _pad(values: NDArray[_Number]) -> NDArray[_Number]:
    """Values of one or two products, for two: 0 for the second that is not there."""
    return np.pad(values, (0, _PRODUCTS - len(values)))
