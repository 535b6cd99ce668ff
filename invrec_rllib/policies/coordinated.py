"""The coordinated heuristic: slates priced by scarcity, orders told of the slates. No learning, 16 parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from invrec_rllib.policies.base import Decision
from invrec_rllib.policies.demand_plan import (
    Ahead,
    Lookahead,
    TasteFilter,
    long_run_demand,
    margin_slates,
    total_demand,
)
from invrec_rllib.policies.order_rules import OrderParameters, tuned_order
from invrec_rllib.policies.parameters import bounded
from invrec_rllib.policies.recommenders import fill_slots
from invrec_rllib.policies.view import View
from invrec_rllib.sim.choice import attraction
from invrec_rllib.sim.params import FloatArray, Params

# Of the search for slates; more of them earn less than 0.2 % of profit.
_ROUNDS = 3
# Where the supplier sets no limit: more than is ever ordered.
_NO_LIMIT = 1e9


@dataclass(frozen=True)
class CoordinatedParameters(OrderParameters):
    """What the coordinated heuristic is tuned by; the defaults follow from the model, or are round guesses.

    Attributes:
        cost_weight: share of the unit cost that a sale is charged with: 1: slates maximise margin, 0: revenue.
        shortage_weight: share of a lost sale (p - c + b) that a unit is charged with where it will be missed
            before it can be replaced.
        shortage_spread: multiplies the standard deviations in the chance of that.
        cover_periods: how much longer than the lead time a unit is missed, periods.
        limit_weight: share of a lost sale that a unit is charged with where the supplier's limit binds.
        lost_weight: share of what disappointed customers cost that an unserved one is charged with.
        served_spread: multiplies the standard deviation in the chance that stock serves one more customer.
        leftover_weight: share of the loss in value (c - salvage) that a sale saves where the unit would be left.
        storage_weight: multiplies the cost of overflow that a sale saves where storage is full.
        plan_share: how far orders follow the slates shown now; 0: the slates that plenty of stock would allow.
        persistence: how many times as fast as tastes return to their long run the demand plan does.
    """

    cost_weight: float = bounded(1.0, 0.0, 2.0)
    shortage_weight: float = bounded(0.7, 0.0, 3.0)
    shortage_spread: float = bounded(1.0, 0.2, 6.0)
    cover_periods: float = bounded(1.0, -1.0, 6.0)
    limit_weight: float = bounded(0.3, 0.0, 3.0)
    lost_weight: float = bounded(0.5, 0.0, 3.0)
    served_spread: float = bounded(1.0, 0.2, 5.0)
    leftover_weight: float = bounded(1.0, 0.0, 3.0)
    storage_weight: float = bounded(1.0, 0.0, 6.0)
    plan_share: float = bounded(0.5, 0.0, 1.0)
    persistence: float = bounded(1.0, 0.0, 4.0)


class _Memory(NamedTuple):
    tastes: TasteFilter
    ahead: Lookahead
    long_run: FloatArray
    exposure: FloatArray


@dataclass(frozen=True)
class CoordinatedPolicy:
    """Two departments that talk: the recommender knows stock and deliveries, the inventory the slates.

    Every period the recommender puts a price on a unit of each product, from the chance that it will be
    missed before it can be replaced, that the supplier's limit keeps it from being replaced, that it would be
    left over, and from full storage; and it asks how likely stock serves one more customer. Slates maximise the
    expected value of demand at these prices. Values depend on demand and demand on the slates of all segments,
    so they are found together, by steps of Frank and Wolfe (1956). Orders are those of `OrderParameters` on a
    forecast of the firm's own: demand under the slates, moving to its long run as tastes do.

    Our own construction, for this model; it uses what the view shows and nothing else.

    Attributes:
        parameters: of slates, plan and orders.
        name: how tables and figures call it.
    """

    parameters: CoordinatedParameters = CoordinatedParameters()
    name: str = "coordinated"

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> _Memory:
        """The long run of the world, and tastes yet to be seen."""
        chosen = self.parameters
        return _Memory(
            TasteFilter(params),
            Lookahead(params, cover_periods=chosen.cover_periods, persistence=chosen.persistence),
            long_run_demand(params, cost_weight=chosen.cost_weight),
            np.zeros((num_episodes, params.num_segments, params.num_products)),
        )

    def act(self, view: View, memory: _Memory) -> Decision:
        """Slates first, then the orders that they call for."""
        params, period = view.params, view.state.period
        affinity = memory.tastes.update(view)
        ahead = memory.ahead.at(period)
        wished = margin_slates(params, affinity, cost_weight=self.parameters.cost_weight, period=period)
        free = total_demand(params, affinity, wished, period=period) / ahead.now
        prices = scarcity(view, ahead, free=free, long_run=memory.long_run, parameters=self.parameters)
        exposure, demand = priced_slates(view, affinity, start=memory.exposure, prices=prices)
        share = self.parameters.plan_share
        planned = share * demand / ahead.now + (1.0 - share) * free
        order = tuned_order(_told(view, ahead, demand, planned, memory.long_run), self.parameters)
        return Decision(order, exposure, memory._replace(exposure=exposure))

    def act_told(self, view: View, memory: _Memory, *, exposure: FloatArray) -> Decision:
        """Orders where another recommender decides the slates, (B, M, N): those that they call for, if they last."""
        params, period = view.params, view.state.period
        affinity = memory.tastes.update(view)
        ahead = memory.ahead.at(period)
        demand = total_demand(params, affinity, exposure, period=period)
        told = _told(view, ahead, demand, demand / ahead.now, memory.long_run)
        return Decision(tuned_order(told, self.parameters), exposure, memory._replace(exposure=exposure))


def _told(view: View, ahead: Ahead, demand: FloatArray, planned: FloatArray, long_run: FloatArray) -> View:
    """The view with a forecast of its own: this period's demand under the slates, then what is planned, (B, N)."""
    params = view.params
    mean = demand + ahead.covered.mean(long_run, planned)
    variance = _variance(params, demand) + ahead.covered.variance(params, long_run, planned)
    return replace(
        view,
        forecast=np.maximum(mean / ahead.protected, 1e-3),
        forecast_sd=np.sqrt(variance / ahead.protected),
    )


class Scarcity(NamedTuple):
    """What a unit is worth to the firm beyond this period, as a function of this period's demand, (B, N) each.

    Attributes:
        parameters: weights and spreads.
        available: units that may be sold this period.
        spare: inventory position less the mean demand until it can be replaced, units.
        spare_sd: standard deviation of that demand, units.
        fixed: value of a sale before shortage counts, money.
        charge: of a sale where the unit will be missed, money.
        lost: of a customer in vain, money.
    """

    parameters: CoordinatedParameters
    available: FloatArray
    spare: FloatArray
    spare_sd: FloatArray
    fixed: FloatArray
    charge: FloatArray
    lost: FloatArray

    def value(self, view: View, demand: FloatArray) -> FloatArray:
        """Value of one more unit asked for this period, where so many are already, money, (B, N)."""
        params, chosen = view.params, self.parameters
        variance = _variance(params, demand) + 0.25
        served = ndtr((self.available - demand) / (chosen.served_spread * np.sqrt(variance)))
        spread = chosen.shortage_spread * np.sqrt(variance + self.spare_sd**2)
        sale = self.fixed - self.charge * ndtr((demand - self.spare) / spread)
        if params.scenario.supply.capacity is not None:
            sale = sale + chosen.storage_weight * self._overflow_saved(view, demand, variance)
        value: FloatArray = served * sale - (1.0 - served) * self.lost
        return value

    def _overflow_saved(self, view: View, demand: FloatArray, variance: FloatArray) -> FloatArray:
        """Expected overflow cost of one more unit kept until the next period, money, (B, 1)."""
        supply, on_order = view.params.scenario.supply, view.state.on_order
        assert supply.capacity is not None
        kept = np.maximum(self.available - demand, 0.0)
        if on_order.shape[2]:
            kept = kept + on_order[:, :, 0]
        full = ndtr((kept.sum(axis=1) - supply.capacity) / np.sqrt(variance.sum(axis=1)))
        saved: FloatArray = supply.overflow_cost * full[:, None]
        return saved


def scarcity(
    view: View, ahead: Ahead, *, free: FloatArray, long_run: FloatArray, parameters: CoordinatedParameters
) -> Scarcity:
    """What the prices of units depend on this period.

    Args:
        view: what is known.
        ahead: of the period.
        free: demand under the slates that plenty of stock would allow, units per period at season 1, (B, N).
        long_run: the same in the long run, (N,).
        parameters: weights and spreads.
    """
    params, state = view.params, view.state
    price, cost = params.price[state.period], params.unit_cost
    position = state.inventory_position.astype(np.float64)
    limit = np.minimum(params.max_order, _NO_LIMIT)
    # With lead time 0 this period's order still serves this period.
    at_once = np.where(params.lead_time == 0, limit, 0.0)
    if state.period % params.scenario.supply.review_periods:
        at_once = np.zeros(len(cost))
    now = free * ahead.now
    wanted = parameters.mean_factor * (now + ahead.covered.mean(long_run, free)) - position
    wanted_sd = np.sqrt(_variance(params, now) + ahead.covered.variance(params, long_run, free) + 0.25)
    limited = ndtr((wanted - limit) / (parameters.shortage_spread * wanted_sd))
    rest_sd = np.sqrt(ahead.rest.variance(params, long_run, free) + 1.0)
    left_over = ndtr((position - ahead.rest.mean(long_run, free)) / rest_sd)
    missed = price - cost + params.stockout_penalty
    fixed = price - parameters.cost_weight * cost + params.holding_cost
    fixed = fixed + parameters.leftover_weight * left_over * (cost - params.salvage_value)
    return Scarcity(
        parameters,
        available=(state.on_hand - state.backorders).astype(np.float64) + at_once,
        spare=position - ahead.resupply.mean(long_run, free),
        spare_sd=np.sqrt(ahead.resupply.variance(params, long_run, free)),
        fixed=fixed - parameters.limit_weight * limited * missed,
        charge=parameters.shortage_weight * missed,
        lost=parameters.lost_weight * cost_in_vain(params, state.period),
    )


def cost_in_vain(params: Params, period: int) -> FloatArray:
    """Penalty, and the margin that disappointment costs until tastes have come back, money per customer, (N,)."""
    tastes = params.scenario.tastes
    periods = min(1.0 / max(tastes.reversion, 1e-3), params.num_periods - period - 1)
    margin = np.maximum(params.price[period] - params.unit_cost, 0.0)
    cost: FloatArray = params.stockout_penalty + tastes.disappointment * periods * margin
    return cost


def priced_slates(
    view: View, affinity: FloatArray, *, start: FloatArray, prices: Scarcity
) -> tuple[FloatArray, FloatArray]:
    """Slates that raise the expected value of demand where each product's value falls as demand rises.

    Steps of Frank and Wolfe: the best slates at the values of the slates so far, averaged with these. The first
    step only takes the values of `start`. A mix of slates is shown as fractions of exposure.

    Args:
        view: what is known.
        affinity: log-attraction, (B, M, N).
        start: exposure of the period before, (B, M, N).
        prices: of the period.

    Returns:
        Exposure, (B, M, N), and the demand expected under it, units, (B, N).
    """
    params, period = view.params, view.state.period
    unexposed = attraction(params, affinity, np.zeros(affinity.shape), period=period)
    gained = attraction(params, affinity, np.ones(affinity.shape), period=period) - unexposed
    rent = params.scenario.recommendation.exposure_cost
    exposure = start
    for step in range(_ROUNDS):
        weight = attraction(params, affinity, exposure, period=period)
        visitors = params.visitors[period] / (1.0 + np.einsum("bmn->bm", weight)[:, :, None])
        demand = weight * visitors
        value = prices.value(view, np.einsum("bmn->bn", demand))[:, None, :]
        # Value of a visitor of the segment: what a product takes from the others and from no purchase.
        visitor = np.einsum("bmn->bm", demand * value)[:, :, None] / np.maximum(params.visitors[period], 1e-9)
        best = fill_slots(gained * visitors * (value - visitor) - rent, params.slots)
        exposure = best if step == 0 else exposure + 2.0 / (step + 2.0) * (best - exposure)
    return exposure, total_demand(params, affinity, exposure, period=period)


def _variance(params: Params, demand: FloatArray) -> FloatArray:
    """Variance of one period's demand of a mean, units squared."""
    variance: FloatArray = demand + (params.scenario.demand.noise_cv * demand) ** 2
    return variance
