"""Common random numbers: every episode has streams of its own, whoever simulates it beside which others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.random import SFC64, Generator, SeedSequence
from numpy.random.bit_generator import ISeedSequence
from numpy.typing import NDArray

from invrec_rllib.errors import InputError
from invrec_rllib.sim.params import FloatArray, Params

# The order is part of every stream's seed: append, never reorder.
_STREAMS = ("demand", "noise", "tastes", "delays", "substitution", "scores")
# Draws of a stream held at once: about as many bytes as the cache holds, but enough values per call.
_CHUNK_BYTES = 2 * 2**20
_CHUNK_VALUES = 2048
# What SFC64 asks of a seed sequence; it draws normals about a sixth faster than PCG64.
_SEED_WORDS = 3

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
    indices = range(episodes) if isinstance(episodes, (int, np.integer)) else episodes
    if seed < 0 or len(indices) == 0 or min(indices) < 0:
        raise InputError(
            f"seed and episodes must be >= 0 and at least one, got seed={seed}, episodes={episodes!r}"
        )
    return [(seed, int(k)) for k in indices]


class _SeedWords(ISeedSequence):
    """Seed words made before."""

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
        assert (n_words, dtype) == (_SEED_WORDS, np.uint64)
        return self._words


def _seed_words(key: EpisodeKey) -> NDArray[np.uint64]:
    """Seed words of an episode's streams, one row each; a row does not depend on how many there are."""
    sequence = SeedSequence(key[0], spawn_key=key[1:])
    words: NDArray[Any] = sequence.generate_state(len(_STREAMS) * _SEED_WORDS, np.uint64)
    return words.reshape(len(_STREAMS), _SEED_WORDS)


class EpisodeStreams:
    """Draws for a batch of episodes, period after period.

    Each episode and purpose has a `numpy.random.Generator` seeded by the episode's key alone, and takes from
    it what it needs period by period, whatever anyone does. So an episode's path depends neither on the batch
    nor on actions, and a purpose that a scenario switches off leaves the others untouched.

    Args:
        params: the world.
        keys: one key per episode; its first entry is the seed, the rest (such as the episode's index) spawns.
    """

    def __init__(self, params: Params, keys: Sequence[EpisodeKey]) -> None:
        scenario = params.scenario
        demand, tastes = scenario.demand, scenario.tastes
        n, m = params.num_products, params.num_segments
        self._words = [_seed_words(key) for key in keys]
        self._num_periods = params.num_periods
        self._cells = (m, n)
        self._score_noise = tastes.score_noise
        self._demand = self._stream("demand", (m, n), _uniform)
        self._noise = self._stream("noise", (n,), _gamma(demand.noise_cv)) if demand.noise_cv > 0 else None
        self._tastes = (
            _TasteStream(
                self._generators("tastes"),
                (m, n),
                common_share=tastes.common_share,
                num_periods=self._num_periods,
            )
            if tastes.noise > 0
            else None
        )
        self._delays = self._stream("delays", (n,), _uniform) if params.random_delays else None
        self._substitution = self._stream("substitution", (2,), _uniform) if demand.substitution > 0 else None
        self._scores: _ChunkedStream | None = None

    def _generators(self, purpose: str) -> list[Generator]:
        stream = _STREAMS.index(purpose)
        return [Generator(SFC64(cast(SeedSequence, _SeedWords(words[stream])))) for words in self._words]

    def _stream(self, purpose: str, shape: tuple[int, ...], draw: _Draw) -> _ChunkedStream:
        return _ChunkedStream(self._generators(purpose), shape, draw, num_periods=self._num_periods)

    def next_period(self) -> PeriodDraws:
        """Draws of the next period; call it once per period, at most T times."""
        return PeriodDraws(
            demand=self._demand.next_period(),
            noise=self._noise.next_period() if self._noise else None,
            taste_noise=self._tastes.next_period() if self._tastes else None,
            delay=self._delays.next_period() if self._delays else None,
            substitution=self._substitution.next_period() if self._substitution else None,
        )

    def next_score_noise(self) -> FloatArray:
        """Blur on the affinity scores of the next period, log-attraction, (B, M, N); up to T + 1 calls."""
        if self._scores is None:
            self._scores = _ChunkedStream(
                self._generators("scores"), self._cells, _normal, num_periods=self._num_periods + 1
            )
        return self._score_noise * self._scores.next_period()


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

    def __init__(
        self, generators: list[Generator], shape: tuple[int, ...], draw: _Draw, *, num_periods: int
    ) -> None:
        self._generators = generators
        self._shape = shape
        self._draw = draw
        values = math.prod(shape)
        least = -(-_CHUNK_VALUES // values)
        affordable = _CHUNK_BYTES // (8 * len(generators) * values)
        chunks = -(-num_periods // max(least, affordable, 1))
        self._chunk = -(-num_periods // chunks)
        self._drawn: FloatArray = np.empty((0,))
        self._next = 0

    def next_period(self) -> FloatArray:
        if self._next >= len(self._drawn):
            self._drawn = self._refill()
            self._next = 0
        values: FloatArray = self._drawn[self._next]
        self._next += 1
        return values

    def _refill(self) -> FloatArray:
        """Draws of the next periods, period first; in memory episode first, as they were drawn."""
        by_episode = np.empty((len(self._generators), self._chunk, *self._shape))
        for generator, out in zip(self._generators, by_episode, strict=True):
            self._draw(generator, out)
        drawn: FloatArray = by_episode.swapaxes(0, 1)
        return drawn


class _TasteStream(_ChunkedStream):
    """Standard normal shocks of M segments, of whose variance a share is common to all."""

    def __init__(
        self, generators: list[Generator], shape: tuple[int, int], *, common_share: float, num_periods: int
    ) -> None:
        segments, products = shape
        super().__init__(generators, (segments + 1, products), _normal, num_periods=num_periods)
        self._common, self._own = math.sqrt(common_share), math.sqrt(1.0 - common_share)

    def _refill(self) -> FloatArray:
        shocks = super()._refill()
        mixed = shocks[:, :, 1:] * self._own
        mixed += self._common * shocks[:, :, :1]
        return mixed
