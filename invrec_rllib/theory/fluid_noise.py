"""What demand's noise takes from sales: values of short windows that no policy exceeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from invrec_rllib.sim.params import FloatArray, Params
from invrec_rllib.theory.fluid_choice import ChoiceBounds, demand_range

# Prices of a unit of mean demand that are tried: shares of a sale.
DEMAND_PRICES = np.array([0.0, 0.3, 0.55, 0.75, 0.88, 0.96])
# Steps of the grid of mean demands, in standard deviations of demand.
_GRID_STEP = 0.25
# Stocks looked at reach this many standard deviations above the largest mean demand of a window.
_REACH = 2.3
# Windows that would need more units get no cuts: noise takes little of them.
_MOST_UNITS = 300


@dataclass(frozen=True, eq=False)
class WindowValues:
    """Most sales of one product from a given stock in a window, less a price on mean demand.

    Attributes:
        product: i.
        periods: W, length of the window.
        values: concave in stock, (H - W + 1, J + 1, G): windows that begin in period h, stock 0..J, price g of
            `DEMAND_PRICES`. Beyond J they rise by no more than from J - 1 to J.
    """

    product: int
    periods: int
    values: FloatArray


def window_values(params: Params, bounds: ChoiceBounds) -> list[WindowValues]:
    """Values of all products' windows of up to L + 1 periods.

    In a window of `W <= L + 1` periods a product sells from a supply I that is known when the window begins,
    its order included: what is on hand, and what arrives, which was ordered before. Let `F_w(j)` be the largest
    `E[sales - g x mean demand]` of w periods from stock j, over all ways of choosing each period's mean demand
    within its range, knowing what was sold before:

        F_0 = 0,   F_w(j) = max_mu E[min(j, D) + F_{w-1}((j - D)^+)] - g mu,   D ~ Poisson(mu xi).

    Slates choose mean demand in one such way, so for every policy

        E[sales of the window | past] <= F_W(I) + g E[mean demand of the window | past].

    F is replaced by a concave function above it, so that the inequality survives taking means over the past
    (Jensen). It is exact in demand's distribution: given tastes and exposures, demand of a period is drawn
    independently of all that went before, with fresh noise xi (gamma of mean 1, or 1). Sales are first choices:
    second choices, and demand that waited, only take from the stock, and F rises in stock.

    With W = 1 and g between 0 and 1 these are the tangent planes of `E[min(x, D(mu))]` over random x and mu,
    with g = 0 the bound of a window's sales by its largest possible demand.

    Args:
        params: the world.
        bounds: attractions within reach.
    """
    low, high = demand_range(bounds, params.slots)
    demand = _DemandGrid(params.scenario.demand.noise_cv, high)
    found = []
    for product, lead_time in enumerate(params.lead_time):
        longest = min(int(lead_time) + 1, len(low))
        units = demand.units_within_reach(high[:, product], longest)
        if units <= _MOST_UNITS:
            recursion = _Recursion(demand, low[:, product], high[:, product], units=units)
            found += [WindowValues(product, w, recursion.lengthen()) for w in range(1, longest + 1)]
    return found


class _DemandGrid:
    """Distributions of a period's demand at a grid of means that starts with 0."""

    def __init__(self, noise_cv: float, high: FloatArray) -> None:
        self._noise_cv = noise_cv
        # d mu / sqrt(mu + cv^2 mu^2) integrates to 2 asinh(cv sqrt(mu)) / cv.
        cv = max(noise_cv, 1e-6)
        steps = math.ceil(2.0 * math.asinh(cv * math.sqrt(float(high.max()))) / (cv * _GRID_STEP))
        # Two more than cover the largest mean: an interval is bounded by its neighbours.
        self.means = (np.sinh(0.5 * cv * _GRID_STEP * np.arange(steps + 3)) / cv) ** 2
        self._units = -1

    def units_within_reach(self, high: FloatArray, periods: int) -> int:
        """Units that the largest demand of `periods` periods rarely exceeds."""
        window = np.lib.stride_tricks.sliding_window_view
        mean = window(high, periods).sum(axis=-1)
        variance = window(high + (self._noise_cv * high) ** 2, periods).sum(axis=-1)
        return 1 + math.ceil(float((mean + _REACH * np.sqrt(variance)).max()))

    def reach(self, units: int) -> None:
        """Prepare the distributions for stocks up to `units`."""
        if units <= self._units:
            return
        self._units = units
        count, mean = np.arange(units + 1), self.means[1:, None]
        if self._noise_cv:
            shape = self._noise_cv**-2
            law = stats.nbinom(shape, shape / (shape + mean))
        else:
            law = stats.poisson(mean)
        zero = np.zeros((1, units + 1))
        # P(D = d), P(D > d), and E[min(j, D)] = sum over d < j of P(D > d).
        self._probability = np.concatenate((zero, law.pmf(count)))
        self._probability[0, 0] = 1.0
        self.exceeds = np.concatenate((zero, law.sf(count)))
        nothing = np.zeros((len(self.means), 1))
        self.sales = np.concatenate((nothing, np.cumsum(self.exceeds, axis=1)[:, :-1]), axis=1)
        lag = count[:, None] - count
        self._remains = np.where(lag >= 0, self._probability[:, np.maximum(lag, 0)], 0.0)

    def remains(self, index: int, units: int) -> FloatArray:
        """P(j - D = j') for demand of the mean of an index that leaves something or nothing, (J + 1, J + 1)."""
        matrix: FloatArray = self._remains[index, : units + 1, : units + 1]
        return matrix


class _Recursion:
    """F_w of one product, for one w after another; arrays (H, J + 1, G)."""

    def __init__(self, demand: _DemandGrid, low: FloatArray, high: FloatArray, *, units: int) -> None:
        demand.reach(units)
        self._demand, self._low, self._high, self._units = demand, low, high, units
        means = demand.means
        # Grid points around each period's range of means.
        self._first = np.searchsorted(means, low, side="right") - 1
        self._last = np.maximum(np.searchsorted(means, high, side="left"), self._first + 1)
        self._next = np.zeros((len(low) + 1, units + 1, len(DEMAND_PRICES)))
        self._tail_next = np.zeros((len(low) + 1, units + 1))

    def lengthen(self) -> FloatArray:
        """The values of windows that are one period longer than those of the call before."""
        later, count = self._next[1:], len(self._next) - 1
        best = np.full((count, self._units + 1, len(DEMAND_PRICES)), -np.inf)
        recent: dict[int, FloatArray] = {}
        lowest, highest = int(self._first[:count].min()), int(self._last[:count].max())
        for k in range(max(lowest - 1, 0), highest + 2):
            recent[k] = self._bracket(k, later)
            recent.pop(k - 4, None)
            if k - 2 >= lowest:
                self._raise(best, recent, k - 2)
        tail = self._tail(count)
        self._next, self._tail_next = _concave(best, tail[:, -1]), tail
        return self._next

    def _bracket(self, k: int, later: FloatArray) -> FloatArray:
        """E[min(j, D) + F((j - D)^+)] - g mu at one grid point, for the periods near it."""
        demand, units = self._demand, self._units
        count = len(later)
        near = self._near(k, count)
        value = np.full(later.shape, np.nan)
        if not near.any():
            return value
        following = later[near]
        mean_later = np.tensordot(demand.remains(k, units), following, axes=(1, 1)).swapaxes(0, 1)
        empty = demand.exceeds[k, : units + 1, None] * following[:, :1]
        sales = demand.sales[k, : units + 1, None]
        value[near] = sales + mean_later + empty - DEMAND_PRICES * demand.means[k]
        return value

    def _near(self, k: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        return (self._first[:count] - 1 <= k) & (k <= self._last[:count] + 1)

    def _raise(self, best: FloatArray, brackets: dict[int, FloatArray], k: int) -> None:
        """Raise the best values by what means between grid points k and k + 1 may reach."""
        count, means = len(best), self._demand.means
        inside = np.flatnonzero((self._first[:count] <= k) & (k < self._last[:count]))
        if not len(inside):
            return
        here, there, beyond = (brackets[k + step][inside] for step in (0, 1, 2))
        falling = (beyond - there) / (means[k + 2] - means[k + 1])
        if k:
            rising = (here - brackets[k - 1][inside]) / (means[k] - means[k - 1])
        else:
            # Left of the first mean nothing is known: the chord to the right alone, which bounds from above.
            rising = falling
            here = there - falling * (means[1] - means[0])
        start = np.maximum(self._low[inside], means[k])[:, None, None]
        end = np.minimum(self._high[inside], means[k + 1])[:, None, None]
        span = means[k + 1] - means[k]
        steeper = np.maximum(rising - falling, 1e-12)
        cross = np.clip(means[k] + (there - here - falling * span) / steeper, start, end)
        for mean in (start, cross, end):
            reached = np.minimum(here + rising * (mean - means[k]), there + falling * (mean - means[k + 1]))
            best[inside] = np.maximum(best[inside], reached)

    def _tail(self, count: int) -> FloatArray:
        """P(largest demand of the window > j): what one unit more than j can add to sales at most, (H, J + 1)."""
        tail = np.empty((count, self._units + 1))
        for h in range(count):
            k = int(self._last[h])
            tail[h] = self._demand.exceeds[k, : self._units + 1]
            tail[h] += self._demand.remains(k, self._units) @ self._tail_next[h + 1]
        return tail


def _concave(values: FloatArray, last_step: FloatArray) -> FloatArray:
    """A concave function above `values`: steps are raised to the largest step after them.

    Args:
        values: (H, J + 1, G).
        last_step: what one unit more than J may add, (H,).
    """
    steps = np.diff(values, axis=1)
    steps[:, -1] = np.maximum(steps[:, -1], last_step[:, None])
    steps = np.maximum.accumulate(steps[:, ::-1], axis=1)[:, ::-1]
    raised: FloatArray = np.concatenate((values[:, :1], values[:, :1] + np.cumsum(steps, axis=1)), axis=1)
    return raised
