"""What policies are shown: the state, affinity scores, and a demand forecast from censored sales.

One observer serves simple policies, the PettingZoo environment and trained agents alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from invrec_rllib.sim.params import FloatArray, Params
from invrec_rllib.sim.randomness import EpisodeStreams
from invrec_rllib.sim.state import State

Information = Literal["full", "observed", "department"]

_LEVEL_SMOOTHING = 0.2
_ERROR_SMOOTHING = 0.1


@dataclass(frozen=True, eq=False)
class View:
    """What may be known at the start of a period. Shapes: B episodes, M segments, N products.

    Attributes:
        params: the world.
        state: start of the period, deliveries received. Its `affinity` is latent: read `scores` instead.
        scores: affinity scores of the ranking model, log-attraction, (B, M, N); exact under full information,
            else blurred by noise of the scenario's `tastes.score_noise`.
        forecast: smoothed demand per period at season 1, units, (B, N).
        forecast_sd: standard deviation of the one-period forecast error at season 1, units, (B, N).
    """

    params: Params
    state: State
    scores: FloatArray
    forecast: FloatArray
    forecast_sd: FloatArray


class Observer:
    """Makes the view of every period of a batch of episodes.

    The forecast is simple exponential smoothing of sales over the season's factor, started at organic demand.
    Sales of a period with a stockout are censored: they count only where they exceed the forecast.

    Args:
        params: the world.
        information: "full" shows exact affinities; the others blur them.
    """

    def __init__(self, params: Params, *, information: Information) -> None:
        self._params = params
        self._exact = information == "full"
        self._level = np.empty((0, 0))
        self._variance = np.empty((0, 0))

    def observe(self, state: State, streams: EpisodeStreams) -> View:
        """The view of a period; call it once per period, from period 0 on."""
        if state.period == 0:
            self._start(state.num_episodes)
        else:
            self._learn(state)
        scores = state.affinity if self._exact else state.affinity + streams.next_score_noise()
        return View(self._params, state, scores, self._level, np.sqrt(self._variance))

    def _start(self, num_episodes: int) -> None:
        organic = self._params.organic_demand
        cv = self._params.scenario.demand.noise_cv
        self._level = np.tile(organic, (num_episodes, 1))
        self._variance = np.tile(organic + (cv * organic) ** 2, (num_episodes, 1))

    def _learn(self, state: State) -> None:
        season = max(float(self._params.season[state.period - 1]), 1e-3)
        error = state.last_sales / season - self._level
        informative = ~state.last_stockout | (error > 0)
        error = np.where(informative, error, 0.0)
        self._variance = self._variance + np.where(
            informative, _ERROR_SMOOTHING * (error**2 - self._variance), 0.0
        )
        self._level = np.maximum(self._level + _LEVEL_SMOOTHING * error, 1e-3)
