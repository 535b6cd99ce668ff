"""Common random numbers: every episode has streams of its own, whoever simulates it beside whichever others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, Params

# The order is part of every stream's seed: append, never reorder.
_STREAMS = ("demand", "noise", "tastes", "delays", "substitution", "scores")
_CHUNK_BYTES = 32 * 2**20

EpisodeKey = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PeriodDraws:
    """The randomness of one period, before anyone has acted. None where the scenario has no use for it.

    Attributes:
        demand: uniforms that demand inverts, (B, M, N).
        noise: gamma noise of mean 1 [xi], (B, N).
        taste_noise: standard normal taste shocks, common and own share mixed [eps], (B, M, N).
        delay: uniforms that the delay of an order inverts, (B, N).
        substitution: uniforms that round requests for a second choice, (B, 2).
    """

    demand: FloatArray
    noise: FloatArray | None
    taste_noise: FloatArray | None
    delay: FloatArray | None
    substitution: FloatArray | None


def episode_keys(seed: int, episodes: int | Sequence[int]) -> list[EpisodeKey]:
    """Keys of episodes under a seed: a count stands for 0, 1, ..., count - 1.

    Raises:
        InputError: a negative seed or episode, or none at all.
    """
    indices = range(episodes) if isinstance(episodes, int) else episodes
    if seed < 0 or len(indices) == 0 or min(indices) < 0:
        raise InputError(f"seed and episodes must be >= 0 and at least one, got seed={seed}, episodes={episodes!r}")
    return [(seed, int(k)) for k in indices]


class EpisodeStreams:
    """Draws for a batch of episodes, period after period.

    Each episode and purpose has a `numpy.random.Generator` seeded by the episode's key alone, and consumes the
    same amount of it in every period, whatever anyone does. So an episode's path depends neither on the batch
    nor on actions, and a purpose that a scenario switches off leaves the others untouched.

    Args:
        params: the world.
        keys: one key per episode; its first entry is the seed, the rest (such as the episode's index) spawns.
    """

    def __init__(self, params: Params, keys: Sequence[EpisodeKey]) -> None:
        n, m = params.num_products, params.num_segments
        scenario = params.scenario
        self._keys = list(keys)
        self._num_periods = params.num_periods
        self._cells = (m, n)
        self._score_noise = scenario.tastes.score_noise
        self._demand = self._stream("demand", (m, n), _uniform)
        self._noise = (
            self._stream("noise", (n,), _gamma(scenario.demand.noise_cv)) if scenario.demand.noise_cv > 0 else None
        )
        self._tastes = self._stream("tastes", (m + 1, n), _normal) if scenario.tastes.noise > 0 else None
        self._delays = self._stream("delays", (n,), _uniform) if params.random_delays else None
        self._substitution = (
            self._stream("substitution", (2,), _uniform) if scenario.demand.substitution > 0 else None
        )
        self._scores: _ChunkedStream | None = None
        common = scenario.tastes.common_share
        self._common_weight, self._own_weight = np.sqrt(common), np.sqrt(1.0 - common)

    def _stream(self, purpose: str, shape: tuple[int, ...], draw: _Draw) -> _ChunkedStream:
        stream = _STREAMS.index(purpose)
        generators = [
            np.random.Generator(np.random.PCG64(np.random.SeedSequence(key[0], spawn_key=(*key[1:], stream))))
            for key in self._keys
        ]
        return _ChunkedStream(generators, shape, draw, self._num_periods)

    def next_period(self) -> PeriodDraws:
        """Draws of the next period; call it once per period, at most T times."""
        return PeriodDraws(
            demand=self._demand.next_period(),
            noise=self._noise.next_period() if self._noise else None,
            taste_noise=self._mix_taste_noise() if self._tastes else None,
            delay=self._delays.next_period() if self._delays else None,
            substitution=self._substitution.next_period() if self._substitution else None,
        )

    def next_score_noise(self) -> FloatArray:
        """Blur on the affinity scores of the next period, log-attraction, (B, M, N); may be called T + 1 times."""
        if self._scores is None:
            self._scores = self._stream("scores", self._cells, _normal)
        return self._score_noise * self._scores.next_period()

    def _mix_taste_noise(self) -> FloatArray:
        assert self._tastes is not None
        shocks = self._tastes.next_period()
        mixed = shocks[:, 1:, :] * self._own_weight
        mixed += self._common_weight * shocks[:, :1, :]
        return mixed


_Draw = Callable[[Generator, FloatArray], object]


def _uniform(generator: Generator, out: FloatArray) -> None:
    generator.random(out=out)


def _normal(generator: Generator, out: FloatArray) -> None:
    generator.standard_normal(out=out)


def _gamma(cv: float) -> _Draw:
    """Gamma noise of mean 1 and coefficient of variation `cv`."""
    shape = cv**-2

    def draw(generator: Generator, out: FloatArray) -> None:
        generator.standard_gamma(shape, out=out)
        out /= shape

    return draw


class _ChunkedStream:
    """Draws several periods at once: fewer calls, in bounded memory, in the order of one by one."""

    def __init__(self, generators: list[Generator], shape: tuple[int, ...], draw: _Draw, num_periods: int) -> None:
        self._generators = generators
        self._shape = shape
        self._draw = draw
        period_bytes = 8 * len(generators) * int(np.prod(shape))
        self._chunk = int(np.clip(_CHUNK_BYTES // period_bytes, 1, num_periods))
        self._drawn: FloatArray = np.empty((0,))
        self._next = 0

    def next_period(self) -> FloatArray:
        if self._next >= len(self._drawn):
            self._refill()
        values: FloatArray = self._drawn[self._next]
        self._next += 1
        return values

    def _refill(self) -> None:
        by_episode = np.empty((len(self._generators), self._chunk, *self._shape))
        for generator, out in zip(self._generators, by_episode, strict=True):
            self._draw(generator, out)
        # Period first, so that a period's draws lie together in memory.
        self._drawn = np.ascontiguousarray(by_episode.swapaxes(0, 1))
        self._next = 0
