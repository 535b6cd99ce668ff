"""What policies are shown: the state, affinity scores, and a demand forecast from censored sales.

One observer serves simple policies, the PettingZoo environment and trained agents alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import log_ndtr

from invrec_rllib.sim.params import FloatArray, IntArray, Params
from invrec_rllib.sim.randomness import EpisodeStreams
from invrec_rllib.sim.state import State

Information = Literal["full", "observed", "department"]

# Round numbers: on the presets the textbook silo earns within 1 % of these with 0.1 to 0.2 and 0.05 to 0.1; a
# level of 0.05 is too slow for a season, 0.4 chases noise.
LEVEL_SMOOTHING = 0.15
_ERROR_SMOOTHING = 0.05


@dataclass(frozen=True, eq=False)
class View:
    """What may be known at the start of a period. Shapes: B episodes, M segments, N products.

    Attributes:
        params: the world.
        state: start of the period, deliveries received. Its `affinity` is latent: read `scores` instead.
        scores: affinity scores of the ranking model, log-attraction, (B, M, N); exact under full information,
            else blurred by noise of the scenario's `tastes.score_noise`.
        forecast: smoothed demand per period at season 1 and base prices, units, (B, N).
        forecast_sd: standard deviation of the one-period forecast error at season 1 and base prices, units, (B, N).
        score_noise: standard deviation of the blur on `scores`, log-attraction; 0: they are exact.
    """

    params: Params
    state: State
    scores: FloatArray
    forecast: FloatArray
    forecast_sd: FloatArray
    score_noise: float = 0.0


class Observer:
    """Makes the view of every period of a batch of episodes.

    Args:
        params: the world.
        information: "full" shows exact affinities; the others blur them.
    """

    def __init__(self, params: Params, *, information: Information) -> None:
        self._params = params
        self._exact = information == "full"
        self._score_noise = 0.0 if self._exact else params.scenario.tastes.score_noise
        self._forecaster = Forecaster(params)

    def observe(self, state: State, streams: EpisodeStreams) -> View:
        """The view of a period; call it once per period, from period 0 on."""
        forecast, forecast_sd = self._forecaster.forecast(state)
        scores = state.affinity if self._exact else state.affinity + streams.next_score_noise()
        return View(self._params, state, scores, forecast, forecast_sd, self._score_noise)


class Forecaster:
    """Forecasts demand from sales, for a batch of episodes.

    The forecast is simple exponential smoothing of sales over the factor of season and prices, started at
    organic demand. What prices do is the model's (`Params.price_factor`), known as the prices are.
    Sales of a period with a stockout are censored: the mean of demand given that it exceeded them stands for
    them, by the forecast's own normal distribution. (Dropping such periods would bias the forecast down: of a
    scarce product only low demand would count.) Unmet demand that waits is known, so nothing is censored.

    Args:
        params: the world.
        smoothing: weight of the last period's demand in the forecast, in (0, 1].
    """

    def __init__(self, params: Params, *, smoothing: float = LEVEL_SMOOTHING) -> None:
        self._params = params
        self._smoothing = smoothing
        self._level = np.empty((0, 0))
        self._variance = np.empty((0, 0))
        self._waiting: IntArray = np.empty((0, 0), dtype=np.int64)

    def forecast(self, state: State) -> tuple[FloatArray, FloatArray]:
        """Forecast and its standard deviation, as in `View`; call it once per period, from period 0 on."""
        if state.period == 0:
            self._start(state.num_episodes)
        else:
            self._learn(state)
        return self._level, np.sqrt(self._variance)

    def _start(self, num_episodes: int) -> None:
        organic = self._params.organic_demand
        cv = self._params.scenario.demand.noise_cv
        self._level = np.tile(organic, (num_episodes, 1))
        self._variance = np.tile(organic + (cv * organic) ** 2, (num_episodes, 1))
        self._waiting = np.zeros((num_episodes, len(organic)), dtype=np.int64)

    def _learn(self, state: State) -> None:
        factor = np.maximum(self._params.demand_factor[state.period - 1], 1e-3)
        # Sales to those who waited were demand before; whoever began to wait is demand of the last period.
        demand = (state.last_sales + state.backorders - self._waiting) / factor
        self._waiting = state.backorders
        censored = state.last_stockout & (self._params.scenario.demand.unmet == "lost")
        # Of counts at f times the demand, divided by f, the variance is 1 / f of that at base prices.
        prices = self._params.price_factor
        weight = 1.0 if prices is None else np.maximum(prices[state.period - 1], 1e-3)
        deviation = np.sqrt(self._variance / weight)
        estimate = np.where(
            censored, _mean_above(demand + 0.5 / factor, mean=self._level, deviation=deviation), demand
        )
        # What is imputed says nothing of the spread, but sales above the forecast do.
        error = np.where(censored, np.maximum(demand - self._level, 0.0), demand - self._level)
        informative = ~censored | (error > 0.0)
        change = np.where(informative, _ERROR_SMOOTHING * (weight * error**2 - self._variance), 0.0)
        self._variance = self._variance + change
        self._level = np.maximum(self._level + self._smoothing * (estimate - self._level), 1e-3)


def _mean_above(bound: FloatArray, *, mean: FloatArray, deviation: FloatArray) -> FloatArray:
    """Mean of a normal variable given that it exceeds a bound, by the inverse Mills ratio."""
    z = (bound - mean) / deviation
    above: FloatArray = mean + deviation * np.exp(-0.5 * z * z - log_ndtr(-z)) / np.sqrt(2.0 * np.pi)
    return above
