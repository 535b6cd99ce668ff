"""What a firm expects to be asked for: tastes seen through blurred scores, and planned demand over windows ahead."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from invrec_rllib.policies.base_stock import mean_delay, protected_season
from invrec_rllib.policies.recommenders import value_maximising_slates
from invrec_rllib.policies.view import View
from invrec_rllib.sim.choice import mean_demand
from invrec_rllib.sim.params import FloatArray, Params

# Draws of tastes in the long run, from a fixed seed: the same for every policy and batch.
_DRAWS = 64
_SMALLEST_FACTOR = 1e-3


class TasteFilter:
    """Infers affinities from scores, for a batch of episodes: a Kalman filter in every cell by itself.

    Prediction is the model's, `a + rho (abar - a) + kappa e` with variance `sigma^2`; what stockouts did is not
    predicted but seen in the scores. Segments' common noise is not used. Exact scores pass as they are.

    Args:
        params: the world.
    """

    def __init__(self, params: Params) -> None:
        self._params = params
        self._mean = params.affinity[None]
        self._variance = 0.0

    def update(self, view: View) -> FloatArray:
        """Expected affinities given all scores so far, (B, M, N); call it once per period, from period 0 on."""
        if view.score_noise == 0.0:
            return view.scores
        tastes = self._params.scenario.tastes
        if view.state.period == 0:
            # Every episode starts at the long-run affinities, which are known.
            self._mean = np.broadcast_to(self._params.affinity, view.scores.shape)
            self._variance = 0.0
            return self._mean
        kept = 1.0 - tastes.reversion
        predicted = kept * self._mean + self._params.affinity_pull
        predicted += tastes.carryover * view.state.last_exposure
        variance = kept**2 * self._variance + tastes.noise**2
        gain = variance / (variance + view.score_noise**2)
        self._mean = predicted + gain * (view.scores - predicted)
        self._variance = (1.0 - gain) * variance
        return self._mean


def margin_slates(params: Params, affinity: FloatArray, *, cost_weight: float, period: int) -> FloatArray:
    """Slates of the largest expected margin `p - cost_weight c` of this period's demand, (B, M, N)."""
    value = params.price[period] - cost_weight * params.unit_cost
    return value_maximising_slates(params, affinity, value=value, period=period)


def total_demand(params: Params, affinity: FloatArray, exposure: FloatArray, *, period: int) -> FloatArray:
    """Mean demand over all segments, units per period, (B, N)."""
    total: FloatArray = np.einsum("bmn->bn", mean_demand(params, affinity, exposure, period=period))
    return total


def long_run_demand(params: Params, *, cost_weight: float) -> FloatArray:
    """Mean demand under the slates of the largest margin, tastes in their long run, season 1, (N,), in units.

    Slates follow tastes, so the mean over tastes is above the demand at mean tastes.
    """
    tastes = params.scenario.tastes
    kept = 1.0 - tastes.reversion
    # Tastes that never return wander no further than they can within the horizon.
    spread = tastes.noise * np.sqrt(_geometric_sum(kept**2, float(params.num_periods)))
    rng = np.random.default_rng(0)
    cells = (_DRAWS, params.num_segments, params.num_products)
    common, own = rng.standard_normal((_DRAWS, 1, params.num_products)), rng.standard_normal(cells)
    noise = np.sqrt(tastes.common_share) * common + np.sqrt(1.0 - tastes.common_share) * own
    affinity = params.affinity + spread * noise
    slates = margin_slates(params, affinity, cost_weight=cost_weight, period=0)
    demand: FloatArray = total_demand(params, affinity, slates, period=0).mean(axis=0)
    scaled: FloatArray = demand / np.maximum(params.product_demand_factor[0], _SMALLEST_FACTOR)
    return scaled


class Window(NamedTuple):
    """Some of the periods ahead, the current one not among them; each (N,).

    Attributes:
        factor: sum of the factors of season and announced prices.
        persistent: the same, weighted by the share of today's tastes that is left by then.
        drift: the same, weighted by the standard deviation of log-demand by then.
    """

    factor: FloatArray
    persistent: FloatArray
    drift: FloatArray

    def mean(self, long_run: FloatArray, planned: FloatArray) -> FloatArray:
        """Mean demand in the window, units: what is planned now, moving to the long run as tastes do.

        Args:
            long_run: units per period at season 1, (N,).
            planned: the same by today's tastes, (B, N).
        """
        return self.factor * long_run + self.persistent * (planned - long_run)

    def variance(self, params: Params, long_run: FloatArray, planned: FloatArray) -> FloatArray:
        """Variance of demand in the window, units squared: counts, their noise, and tastes that drift."""
        mean = self.mean(long_run, planned)
        noise = params.scenario.demand.noise_cv**2 * mean * planned
        return mean + noise + (self.drift * planned) ** 2


class Ahead(NamedTuple):
    """What the policy needs to know of the periods ahead of one.

    Attributes:
        now: factor of season and prices of the period itself, (N,).
        protected: `protected_season`, > 0, (N,).
        covered: the rest of what an order placed now must cover.
        resupply: until units sold now can have been replaced.
        rest: until the horizon.
    """

    now: FloatArray
    protected: FloatArray
    covered: Window
    resupply: Window
    rest: Window


class Lookahead:
    """Sums over windows ahead, for every period of a world.

    Args:
        params: the world.
        cover_periods: how much longer than the lead time resupply takes, periods; may be negative.
        persistence: how many times as fast as tastes return to their long run the plan does.
    """

    def __init__(self, params: Params, *, cover_periods: float, persistence: float) -> None:
        self._params = params
        self._cover_periods = cover_periods
        self._persistence = persistence

    def at(self, period: int) -> Ahead:
        """The windows ahead of a period."""
        params, review = self._params, self._params.scenario.supply.review_periods
        wait = params.lead_time.astype(np.float64) + mean_delay(params)
        until_review = -period % review
        resupply = np.maximum(wait - 1.0 + until_review + self._cover_periods, 0.0)
        return Ahead(
            now=np.maximum(params.product_demand_factor[period], _SMALLEST_FACTOR),
            protected=np.maximum(protected_season(params, period), _SMALLEST_FACTOR),
            covered=self._window(period, wait + review - 1.0),
            resupply=self._window(period, resupply),
            rest=self._window(period, np.full(params.num_products, float(params.num_periods))),
        )

    def _window(self, period: int, length: FloatArray) -> Window:
        """Of the `length` periods after a period, (N,); fractions count the last one in part."""
        params, tastes = self._params, self._params.scenario.tastes
        num_lags = min(int(np.ceil(length.max())), params.num_periods - period - 1)
        lags = np.arange(1, num_lags + 1, dtype=np.float64)[:, None]
        ahead = slice(period + 1, period + 1 + num_lags)
        told = lags <= params.scenario.demand.price_notice_periods
        factor = np.where(told, params.product_demand_factor[ahead], params.season[ahead, None])
        counted = np.clip(length - (lags - 1), 0.0, 1.0) * factor
        kept = 1.0 - tastes.reversion
        # Of noise common to all segments demand takes all, of their own only the mean.
        share = tastes.common_share + (1.0 - tastes.common_share) / params.num_segments
        drift = tastes.noise * np.sqrt(share * _geometric_sum(kept**2, lags))
        return Window(
            counted.sum(axis=0),
            (counted * kept ** (lags * self._persistence)).sum(axis=0),
            (counted * drift).sum(axis=0),
        )


def _geometric_sum(ratio: float, terms: FloatArray | float) -> FloatArray:
    """Sum of ratio^k for k = 0 .. terms - 1."""
    total: FloatArray = np.asarray(terms if ratio >= 1.0 else (1.0 - ratio**terms) / (1.0 - ratio))
    return total
