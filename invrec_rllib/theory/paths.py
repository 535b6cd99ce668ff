"""How tastes would move if no stockout disappointed and no exposure carried over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from invrec_rllib.sim.params import FloatArray, Params
from invrec_rllib.sim.randomness import EpisodeStreams, episode_keys
from invrec_rllib.sim.state import initial_state
from invrec_rllib.sim.tastes import next_affinity


@dataclass(frozen=True, eq=False)
class TastePaths:
    """What chance alone does to tastes, for B episodes.

    Attributes:
        affinity: log-attraction without disappointment and carry-over [a], (B, T, M, N).
        shocks: standard normal taste shocks [eps], (B, T, M, N); entry t moves tastes from period t to t + 1.
            Zeros where tastes carry no noise.
    """

    affinity: FloatArray
    shocks: FloatArray

    @property
    def num_paths(self) -> int:
        """B."""
        return len(self.affinity)


def sample_taste_paths(params: Params, *, seed: int, episodes: int | Sequence[int]) -> TastePaths:
    """The taste paths of episodes of a seed, by the simulator's own streams and dynamics.

    Tastes are linear in what moves them, so a policy's tastes are these, plus what its exposures carried over,
    less what its stockouts took away; without either they are what every policy meets in these episodes.

    Args:
        params: the world.
        seed: >= 0.
        episodes: a count, or the episodes' indices, as `Simulator.reset` takes them.

    Raises:
        InputError: a negative seed or episode, or none at all.
    """
    keys = episode_keys(seed, episodes)
    streams = EpisodeStreams(params, keys)
    affinity = initial_state(params, len(keys)).affinity
    unexposed, none = np.zeros_like(affinity), np.zeros_like(affinity)
    unmet = np.zeros((len(keys), params.num_products))
    tastes, shocks = [], []
    for _ in range(params.num_periods):
        draws = streams.next_period()
        tastes.append(affinity)
        shocks.append(none if draws.taste_noise is None else draws.taste_noise.copy())
        affinity = next_affinity(
            params, affinity, unexposed, unmet_share=unmet, taste_noise=draws.taste_noise
        )
    return TastePaths(np.stack(tastes, axis=1), np.stack(shocks, axis=1))


def expected_affinity(params: Params, affinity: FloatArray, *, num_periods: int) -> FloatArray:
    """Mean log-attraction of the coming periods without disappointment and carry-over.

    Args:
        params: the world.
        affinity: log-attraction now, (M, N).
        num_periods: H, >= 1.

    Returns:
        (H, M, N); the first entry is now.
    """
    kept = (1.0 - params.scenario.tastes.reversion) ** np.arange(num_periods)
    mean: FloatArray = params.affinity + kept[:, None, None] * (affinity - params.affinity)
    return mean
