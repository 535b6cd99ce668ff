"""What the coordinated heuristic expects, in torch: demand over windows ahead, and tastes seen through scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from torch import Tensor

from invrec_rllib.learning.pathwise.world import NO_LIMIT, World
from invrec_rllib.policies.base_stock import level_constants
from invrec_rllib.policies.coordinated import CoordinatedParameters, cost_in_vain
from invrec_rllib.policies.demand_plan import Lookahead
from invrec_rllib.policies.demand_plan import Window as ArrayWindow


class Window(NamedTuple):
    """As `policies.demand_plan.Window`, each (N,)."""

    factor: Tensor
    persistent: Tensor
    drift: Tensor

    def mean(self, long_run: Tensor, planned: Tensor) -> Tensor:
        """Mean demand in the window, units, (B, N)."""
        return self.factor * long_run + self.persistent * (planned - long_run)

    def variance(self, noise_cv: float, long_run: Tensor, planned: Tensor) -> Tensor:
        """Variance of demand in the window, units squared, (B, N)."""
        mean = self.mean(long_run, planned)
        return mean + noise_cv**2 * mean * planned + (self.drift * planned) ** 2


class Period(NamedTuple):
    """What a period gives whatever the state; (N,) unless stated.

    Attributes:
        number: t.
        reviewed: whether orders are possible.
        now: factor of season and prices.
        season: sum of these factors over the periods that an order placed now must cover.
        protected: the same, kept above 0.
        covered: the rest of what an order placed now must cover.
        resupply: until units sold now can have been replaced.
        rest: until the horizon.
        quantiles: normal quantiles of the critical ratios, one row per price of storage, (G, N).
        stored_share: share of the protected mean demand that is in store after receipt.
        cost_in_vain: of a customer who finds nothing, money.
        arrives: 1 where an order placed now arrives before the horizon, else 0.
        rate_at_arrival: factor of season and prices then.
        at_once: units that an order placed now can add to this period's stock.
        waiting: 1 where an order placed now has not arrived after l periods, else 0, (N,) for each l.
        ahead: factors of season and prices of the periods from this one on, (N,) for each l.
    """

    number: int
    reviewed: bool
    now: Tensor
    season: Tensor
    protected: Tensor
    covered: Window
    resupply: Window
    rest: Window
    quantiles: Tensor
    stored_share: Tensor
    cost_in_vain: Tensor
    arrives: Tensor
    rate_at_arrival: Tensor
    at_once: Tensor
    waiting: tuple[Tensor, ...]
    ahead: tuple[Tensor, ...]


def plan_periods(world: World, chosen: CoordinatedParameters) -> list[Period]:
    """The constants of every period; of the parameters `cover_periods` and `persistence` enter."""
    look = Lookahead(world.params, cover_periods=chosen.cover_periods, persistence=chosen.persistence)
    return [_plan_period(world, look, period) for period in range(world.params.num_periods)]


def _plan_period(world: World, look: Lookahead, period: int) -> Period:
    params, tensor = world.params, world.tensor
    ahead, constants = look.at(period), level_constants(params, period)
    left = params.num_periods - period
    arrival = np.minimum(period + params.lead_time, params.num_periods - 1)
    reviewed = period % params.scenario.supply.review_periods == 0
    limit = np.minimum(params.max_order, NO_LIMIT)
    lags = range(min(int(params.lead_time.max()), left))

    def window(found: ArrayWindow) -> Window:
        return Window(*(tensor(values) for values in found))

    return Period(
        number=period,
        reviewed=reviewed,
        now=tensor(ahead.now),
        season=tensor(constants.season),
        protected=tensor(ahead.protected),
        covered=window(ahead.covered),
        resupply=window(ahead.resupply),
        rest=window(ahead.rest),
        quantiles=tensor(constants.quantiles),
        stored_share=tensor(constants.stored_share),
        cost_in_vain=tensor(cost_in_vain(params, period)),
        arrives=tensor(params.lead_time < left),
        rate_at_arrival=tensor(params.product_demand_factor[arrival, np.arange(params.num_products)]),
        at_once=tensor(np.where((params.lead_time == 0) & reviewed, limit, 0)),
        waiting=tuple(tensor(params.lead_time > lag) for lag in lags),
        ahead=tuple(tensor(params.product_demand_factor[period + lag]) for lag in lags),
    )


class Belief(NamedTuple):
    """What scores have told of tastes: expected affinity, (B, M, N), and its variance in every cell."""

    affinity: Tensor
    variance: float


def believe(
    world: World,
    before: Belief | None,
    scores: Tensor,
    *,
    score_noise: float,
    last_exposure: Tensor,
    period: int,
) -> Belief:
    """One step of `policies.demand_plan.TasteFilter`, with derivatives.

    Args:
        world: the world.
        before: of the period before; None in the first.
        scores: affinity scores of this period, (B, M, N).
        score_noise: standard deviation of their blur, log-attraction; 0: they pass as they are.
        last_exposure: of the period before, (B, M, N).
        period: t.
    """
    if score_noise == 0.0:
        return Belief(scores, 0.0)
    if period == 0 or before is None:
        # Every episode starts at the long-run affinities, which are known.
        return Belief(world.tensor(world.params.affinity).expand(scores.shape), 0.0)
    tastes = world.params.scenario.tastes
    kept = 1.0 - tastes.reversion
    predicted = kept * before.affinity + world.affinity_pull + tastes.carryover * last_exposure
    variance = kept**2 * before.variance + tastes.noise**2
    gain = variance / (variance + score_noise**2)
    return Belief(predicted + gain * (scores - predicted), (1.0 - gain) * variance)
