"""Which episode every sub-environment plays: one seed per (run, stream, worker, environment, episode).

RLlib 2.60 seeds runner ``w`` with ``config.seed + w`` and its ``i``-th environment with that ``+ i``, so that
runners share streams (2 runners x 16 environments have 17 distinct seeds), and its environment check resets
every environment with 42, after which a run without `config.seed` goes on from that one stream. The seeds
here are hashes of the whole address of an episode instead.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import numpy as np

from invrec_rllib.errors import InputError

TRAINING_STREAM = 0
EVALUATION_STREAM = 1
SEED_BITS = 63
_WORD = 2**32
_DERIVATION = (
    "numpy.random.SeedSequence(entropy=run_seed, spawn_key=(stream, worker_index, env_index, restart, "
    "episode)).generate_state(1, numpy.uint64)[0] >> 1, handed to the environment's reset(seed=...); every "
    "reset takes the next episode number"
)


def episode_seed(
    run_seed: int, *, worker_index: int, env_index: int, episode: int, stream: int = 0, restart: int = 0
) -> int:
    """The seed of one episode.

    63 bits, because environments keep seeds in signed 64-bit integers: among 10 million episodes the chance
    that any two share a seed is 5e-6.

    Args:
        run_seed: seed of the run, in [0, 2**128).
        worker_index: RLlib's index of the environment runner, 0 for the local one.
        env_index: index of the sub-environment within the runner, from 0.
        episode: number of resets of this sub-environment before this one.
        stream: 0 training, 1 evaluation; larger numbers are free (such as a resumed attempt).
        restart: 0, or the random number that a runner drew when Ray restarted it.

    Raises:
        InputError: an argument is not an integer in its range ([0, 2**32) where none is given).
    """
    check_word("run_seed", run_seed, limit=2**128)
    key = {
        "stream": stream,
        "worker_index": worker_index,
        "env_index": env_index,
        "restart": restart,
        "episode": episode,
    }
    for name, value in key.items():
        check_word(name, value)
    return _derive(run_seed, tuple(key.values()))


def _derive(run_seed: int, key: tuple[int, ...]) -> int:
    sequence = np.random.SeedSequence(run_seed, spawn_key=key)
    return int(sequence.generate_state(1, np.uint64)[0]) >> 1


def check_word(name: str, value: object, *, limit: int = _WORD) -> int:
    """Return `value` if it is an integer in [0, limit).

    Raises:
        InputError: it is not; the message names field, value and range.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < limit:
        raise InputError(f"{name} must be an integer in [0, 2**{limit.bit_length() - 1}), got {value!r}")
    return int(value)


class _Addresses:
    """Hands out the sub-environment indices of this process.

    RLlib 2.60 tells a sub-environment its worker but not its index within it (ray issue 53419), so the index
    is the smallest one that no open environment with the same run seed, stream and worker holds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: defaultdict[tuple[int | None, int, int], set[int]] = defaultdict(set)

    def claim(self, key: tuple[int | None, int, int]) -> int:
        with self._lock:
            held = self._held[key]
            index = next(i for i in range(len(held) + 1) if i not in held)
            held.add(index)
            return index

    def release(self, key: tuple[int | None, int, int], index: int) -> None:
        with self._lock:
            self._held[key].discard(index)


_ADDRESSES = _Addresses()


class EpisodeSeeds:
    """The seeds of the successive episodes of one sub-environment.

    Without a run seed the root is the seed that RLlib hands to the first training reset (`config.seed` plus
    worker and environment index, plus a million in evaluation), and entropy of the operating system until one
    comes or if none ever does. The episode number goes on when RLlib hands the same seed again, as it does at
    every round of an evaluation by episodes.

    Args:
        run_seed: seed of the run, in [0, 2**128), or None.
        worker_index: RLlib's index of the runner, 0 for the local one.
        stream: 0 training, 1 evaluation, larger numbers free.
        restarted: whether Ray restarted the runner's process, whose first episodes were played already; a
            random number then enters the key.

    Raises:
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        run_seed: int | None,
        *,
        worker_index: int = 0,
        stream: int = TRAINING_STREAM,
        restarted: bool = False,
    ) -> None:
        self.run_seed = None if run_seed is None else check_word("seed", run_seed, limit=2**128)
        self.worker_index = check_word("worker_index", worker_index)
        self.stream = check_word("seed_stream", stream)
        self.restart = _fresh_entropy() % (_WORD - 1) + 1 if restarted else 0
        self.episode = -1
        self.seed: int | None = None
        self._root = _fresh_entropy() if self.run_seed is None else self.run_seed
        self._key = (self.run_seed, self.stream, self.worker_index)
        self.env_index = _ADDRESSES.claim(self._key)
        self._open = True

    def next(self, offered: int | None = None) -> int:
        """The seed of the next episode, a 63-bit integer.

        Args:
            offered: the seed that RLlib hands to this reset; counts only without a run seed.
        """
        if self.run_seed is None and offered is not None:
            self._root = check_word("seed", offered, limit=2**128)
        self.episode += 1
        # As `episode_seed`; the address was checked when it was made.
        self.seed = _derive(
            self._root, (self.stream, self.worker_index, self.env_index, self.restart, self.episode)
        )
        return self.seed

    def record(self) -> dict[str, int | None]:
        """The address of the current episode and its seed; `run_seed` is the root in use."""
        return {
            "run_seed": self._root,
            "stream": self.stream,
            "worker_index": self.worker_index,
            "env_index": self.env_index,
            "restart": self.restart,
            "episode": self.episode,
            "seed": self.seed,
        }

    def close(self) -> None:
        """Free the index within the worker, once, for the next environment."""
        if self._open:
            self._open = False
            _ADDRESSES.release(self._key, self.env_index)


def _fresh_entropy() -> int:
    entropy = np.random.SeedSequence().entropy
    if not isinstance(entropy, int):
        raise AssertionError("numpy draws its entropy as one integer")
    return entropy


def describe_seeding(
    run_seed: int,
    *,
    num_env_runners: int,
    num_envs_per_env_runner: int,
    stream: int = TRAINING_STREAM,
) -> dict[str, Any]:
    """How the episodes of a run were seeded, for its manifest; plain JSON.

    Args:
        run_seed: seed of the run, in [0, 2**128).
        num_env_runners: remote runners, 0 for the local one alone.
        num_envs_per_env_runner: sub-environments per runner.
        stream: 0 training, 1 evaluation.

    Returns:
        The derivation in words, its inputs, and the seeds of every sub-environment's episode 0 (which RLlib's
        environment check takes, where it is on) and episode 1, by ``"worker/environment"``.

    Raises:
        InputError: an argument is out of range.
    """
    workers = range(1, num_env_runners + 1) if num_env_runners else range(1)
    seeds = {
        f"{worker}/{env}": [
            episode_seed(run_seed, worker_index=worker, env_index=env, episode=episode, stream=stream)
            for episode in (0, 1)
        ]
        for worker in workers
        for env in range(num_envs_per_env_runner)
    }
    return {
        "run_seed": run_seed,
        "stream": stream,
        "bits": SEED_BITS,
        "derivation": _DERIVATION,
        "numpy": np.__version__,
        "first_seeds": seeds,
    }
