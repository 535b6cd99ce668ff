"""One product, lost sales, lead time: the long-run optimum, exactly.

A period runs as the simulator's: the order placed L periods ago is received; seeing the stock on hand and the L - 1
later orders under way, a new order is placed; demand takes what is there and the rest is lost. What is left costs
`h`, what is lost costs `p`; the average of both per period is the cost. This is the convention of Zipkin, *Old and
New Methods for Lost-Sales Inventory Systems*, Operations Research 56(5), 2008.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, IntArray
from invrec_rllib.theory.demand import CountedDemand, left_over

# Entries of the largest array that value iteration holds.
_LARGEST_TABLE = 2 * 10**7
_MOST_ITERATIONS = 20_000


@dataclass(frozen=True)
class LostSales:
    """The single-product problem.

    Attributes:
        demand: per period, whole units; independent and alike over periods.
        lead_time: periods from order to arrival [L], >= 1. (At 0 the newsvendor's order every period is best.)
        holding_cost: of a unit left at the end of a period [h], > 0.
        penalty: of a unit of demand lost [p], > 0.

    Raises:
        InputError: a value is out of range.
    """

    demand: CountedDemand
    lead_time: int
    holding_cost: float
    penalty: float

    def __post_init__(self) -> None:
        if self.lead_time < 1:
            raise InputError(f"lead_time is {self.lead_time}, must be at least 1: at 0 use the newsvendor")
        for name in ("holding_cost", "penalty"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError(f"{name} is {getattr(self, name)}, must be a number > 0")

    @property
    def critical_ratio(self) -> float:
        """The newsvendor's ratio [p / (p + h)]."""
        return self.penalty / (self.penalty + self.holding_cost)

    @cached_property
    def order_limit(self) -> int:
        """No best order is larger, units: the newsvendor's quantity of one period's demand; see `cover`."""
        return self.cover(1)

    @cached_property
    def position_limit(self) -> int:
        """No best order lifts on hand plus on order above this, units; see `cover`."""
        return self.cover(self.lead_time + 1)

    def cover(self, periods: int) -> int:
        """The newsvendor's quantity of the demand of several periods, units.

        The last k orders, the new one among them, need not exceed that of k periods, nor stock and all orders
        that of L + 1 (Morton 1969; Zipkin 2008, section 3): beyond it a further unit is more likely to be left
        over in the period in which it arrives than p / h allows, whatever was there before, and if it is not
        ordered now the next period can order it. So the optimum's states are bounded.
        """
        one = _pmf_up_to_tail(self.demand)
        total = reduce(np.convolve, [one] * periods)
        return int(np.searchsorted(np.cumsum(total), self.critical_ratio))

    def period_cost(self, largest: int) -> FloatArray:
        """Expected cost of a period that begins with 0, ..., `largest` units on hand, (largest + 1,)."""
        stock = np.arange(float(largest + 1))
        sales = self.demand.expected_sales(stock)
        cost: FloatArray = self.holding_cost * (stock - sales) + self.penalty * (self.demand.mean - sales)
        return cost

    def left_over(self, largest: int) -> FloatArray:
        """P(y units left | x on hand), [x, y], for x and y from 0 to `largest`."""
        return left_over(self.demand.pmf(np.arange(largest + 1)))


@dataclass(frozen=True, eq=False)
class LostSalesOptimum:
    """The best that can be done in the long run.

    Attributes:
        cost: average cost per period, money.
        order: units, by on hand and orders under way, the next to arrive first: (X + 1, Q + 1, ..., Q + 1).
        num_states: size of that table.
        iterations: how many the solution took.
    """

    cost: float
    order: IntArray
    num_states: int
    iterations: int

    def __call__(self, states: IntArray) -> IntArray:
        """Orders in states (n, L), as a rule that `average_cost` evaluates."""
        orders: IntArray = self.order[tuple(states.T)]
        return orders


def solve_lost_sales(problem: LostSales, *, tolerance: float = 1e-7) -> LostSalesOptimum:
    """The optimum by relative value iteration over all states within the problem's limits.

    Args:
        problem: demand, lead time, costs.
        tolerance: the cost is known to within this share of the demand's mean times the holding cost.

    Raises:
        InputError: the table would be too large.
    """
    positions, orders, lead_time = problem.position_limit, problem.order_limit, problem.lead_time
    entries = (positions + 1) * (orders + 1) ** lead_time
    if entries > _LARGEST_TABLE:
        raise InputError(
            f"lead_time = {lead_time} with orders up to {orders} and stock up to {positions} needs a table of "
            f"{entries:,} entries, at most {_LARGEST_TABLE:,} are allowed: shorten the lead time or scale demand"
        )
    left = problem.left_over(positions)
    # On hand after the next delivery; what exceeds the limit lies outside the optimum's states.
    next_on_hand = np.minimum(np.add.outer(np.arange(positions + 1), np.arange(orders + 1)), positions)
    allowed = _within(positions, orders, lead_time=lead_time)
    cost = problem.period_cost(positions).reshape(-1, *[1] * (lead_time - 1))
    value = np.zeros((positions + 1, *[orders + 1] * (lead_time - 1)))
    precision = tolerance * max(problem.demand.mean, 1e-9) * problem.holding_cost
    for iteration in range(1, _MOST_ITERATIONS + 1):
        # Axes: on hand left, orders under way, the new order; the next to arrive joins what is left.
        ahead = np.tensordot(left, value[next_on_hand], axes=(1, 0))
        np.copyto(ahead, np.inf, where=~allowed)
        updated = cost + ahead.min(axis=-1)
        change = updated - value
        low, high = change.min(), change.max()
        value = updated - updated.flat[0]
        if high - low <= precision:
            best = ahead.argmin(axis=-1)
            return LostSalesOptimum(0.5 * (low + high), best, value.size, iteration)
    raise InputError(f"the average cost did not settle to {precision:g} in {_MOST_ITERATIONS} iterations")


def _within(
    positions: int, orders: int, *, lead_time: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether stock and orders, the new one last, stay within the limit, or nothing is ordered."""
    axes = np.ix_(np.arange(positions + 1), *[np.arange(orders + 1)] * lead_time)
    within: NDArray[np.bool_] = (reduce(np.add, axes) <= positions) | (axes[-1] == 0)
    return within


def _pmf_up_to_tail(demand: CountedDemand, tail: float = 1e-13) -> FloatArray:
    return demand.pmf(np.arange(int(demand.quantile(1.0 - tail)) + 1))
