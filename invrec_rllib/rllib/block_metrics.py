"""RLlib's own sampling metrics, and the firm's economics, from whole batches of steps and episodes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from ray.rllib.utils.metrics import (
    EPISODE_AGENT_RETURN_MEAN,
    EPISODE_AGENT_STEPS,
    EPISODE_DURATION_SEC_MEAN,
    EPISODE_LEN_MAX,
    EPISODE_LEN_MEAN,
    EPISODE_LEN_MIN,
    EPISODE_MODULE_RETURN_MEAN,
    EPISODE_RETURN_MAX,
    EPISODE_RETURN_MEAN,
    EPISODE_RETURN_MIN,
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    NUM_MODULE_STEPS_SAMPLED,
    NUM_MODULE_STEPS_SAMPLED_LIFETIME,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from invrec_rllib.env.batched import Moved
from invrec_rllib.rllib.blocks import Block
from invrec_rllib.rllib.callbacks import ECONOMICS, WINDOW, EpisodeSums

FloatArray = NDArray[np.float64]


class _Finished(NamedTuple):
    """Episodes that ended in one step, K of them."""

    lengths: FloatArray
    seconds: FloatArray
    returns: dict[str, FloatArray]
    agent_steps: dict[str, FloatArray]
    economics: dict[str, FloatArray]

    def first(self, count: int) -> _Finished:
        return _Finished(
            self.lengths[:count],
            self.seconds[:count],
            {agent: values[:count] for agent, values in self.returns.items()},
            {agent: values[:count] for agent, values in self.agent_steps.items()},
            {name: values[:count] for name, values in self.economics.items()},
        )


class EpisodeTally:
    """Adds up what running episodes earn, and logs the finished ones under RLlib's names.

    Args:
        policy_of: module id of each agent.
        num_envs: B.

    Attributes:
        num_finished: episodes finished since the last `mark`.
    """

    def __init__(self, policy_of: Mapping[str, str], num_envs: int) -> None:
        self._policy_of = policy_of
        self._num_envs = num_envs
        self._finished: list[_Finished] = []
        self._marked = 0
        self.num_finished = 0
        self.start()

    def start(self) -> None:
        """All environments begin an episode; those that ran are forgotten."""
        self._lengths = np.zeros(self._num_envs)
        self._began = np.full(self._num_envs, time.perf_counter())
        self._returns = {agent: np.zeros(self._num_envs) for agent in self._policy_of}
        # Steps of the episode after the agent's end.
        self._missed = {agent: np.zeros(self._num_envs) for agent in self._policy_of}
        self._sums = EpisodeSums()

    def mark(self) -> None:
        """Count finished episodes anew."""
        self._marked, self.num_finished = len(self._finished), 0

    def add(self, moved: Moved, *, alive: Mapping[str, NDArray[np.bool_]] | None = None) -> None:
        """Add a step, in which all agents acted or those that were alive."""
        self._lengths += 1.0
        for agent, acted in (alive or {}).items():
            self._missed[agent] += ~acted
        for agent, rewards in moved.rewards.items():
            self._returns[agent] += rewards
        self._sums.add(moved.items)
        if moved.final is not None:
            self._finish(moved.terminated | moved.truncated)

    def keep_first(self, count: int) -> None:
        """Of the episodes finished since the last `mark`, forget all but the first `count`."""
        since = self._finished[self._marked :]
        del self._finished[self._marked :]
        self.num_finished = 0
        for part in since:
            kept = part.first(count - self.num_finished)
            self._finished.append(kept)
            self.num_finished += len(kept.lengths)

    def log(self, metrics: MetricsLogger, *, window: int) -> None:
        """Log the episodes finished since the last call, and forget them.

        A logger of a runner holds the last `window` episodes until it is reduced to their mean, minimum and
        maximum; so it is given these at once.
        """
        if not self._finished:
            return
        lengths, seconds = (np.concatenate(parts) for parts in list(zip(*self._finished, strict=True))[:2])
        returns = _joined([part.returns for part in self._finished])
        agent_steps = _joined([part.agent_steps for part in self._finished])
        economics = _joined([part.economics for part in self._finished])
        self._finished.clear()
        self._marked = 0
        total: FloatArray = np.sum(list(returns.values()), axis=0)
        modules: dict[str, FloatArray] = {}
        for agent, policy in self._policy_of.items():
            modules[policy] = modules.get(policy, 0.0) + returns[agent]
        means: dict[Any, FloatArray] = {
            EPISODE_LEN_MEAN: lengths,
            EPISODE_RETURN_MEAN: total,
            EPISODE_DURATION_SEC_MEAN: seconds,
            **{(EPISODE_AGENT_RETURN_MEAN, str(agent)): values for agent, values in returns.items()},
            **{(EPISODE_AGENT_STEPS, str(agent)): values for agent, values in agent_steps.items()},
            **{(EPISODE_MODULE_RETURN_MEAN, policy): values for policy, values in modules.items()},
        }
        for key, values in means.items():
            metrics.log_value(key, float(values[-window:].mean()), reduce="mean", window=window)
        for low, high, values in (
            (EPISODE_LEN_MIN, EPISODE_LEN_MAX, lengths),
            (EPISODE_RETURN_MIN, EPISODE_RETURN_MAX, total),
        ):
            metrics.log_value(low, float(values[-window:].min()), reduce="min", window=window)
            metrics.log_value(high, float(values[-window:].max()), reduce="max", window=window)
        for name, values in economics.items():
            metrics.log_value((ECONOMICS, name), float(values[-WINDOW:].mean()), reduce="mean", window=WINDOW)

    def _finish(self, ended: NDArray[np.bool_]) -> None:
        now = time.perf_counter()
        self._finished.append(
            _Finished(
                self._lengths[ended],
                now - self._began[ended],
                {agent: values[ended] for agent, values in self._returns.items()},
                {agent: (self._lengths - missed)[ended] for agent, missed in self._missed.items()},
                self._sums.figures(ended),
            )
        )
        self.num_finished += int(np.count_nonzero(ended))
        self._lengths[ended] = 0.0
        self._began[ended] = now
        for values in (*self._returns.values(), *self._missed.values()):
            values[ended] = 0.0


def smoothing_window(config: Any) -> int:
    """Episodes over which a runner smooths its metrics, as RLlib's runners do: the window shared among them."""
    window: int = max(1, math.ceil(config.metrics_num_episodes_for_smoothing / (config.num_env_runners or 1)))
    return window


def log_steps(
    metrics: MetricsLogger, samples: Sequence[Any], *, episodes: int, policy_of: Mapping[str, str]
) -> None:
    """Log how much was sampled: blocks, or episodes of RLlib."""
    env_steps = sum(map(len, samples))
    metrics.log_value(NUM_ENV_STEPS_SAMPLED, env_steps, reduce="sum")
    metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, env_steps, reduce="lifetime_sum", with_throughput=True)
    if episodes:
        metrics.log_value(NUM_EPISODES, episodes, reduce="sum")
        metrics.log_value(NUM_EPISODES_LIFETIME, episodes, reduce="lifetime_sum")
    for agent, policy in policy_of.items():
        steps = sum(_steps_of(agent, sample) for sample in samples)
        metrics.log_value((NUM_AGENT_STEPS_SAMPLED, str(agent)), steps, reduce="sum")
        metrics.log_value((NUM_AGENT_STEPS_SAMPLED_LIFETIME, str(agent)), steps, reduce="lifetime_sum")
        metrics.log_value((NUM_MODULE_STEPS_SAMPLED, policy), steps, reduce="sum")
        metrics.log_value((NUM_MODULE_STEPS_SAMPLED_LIFETIME, policy), steps, reduce="lifetime_sum")


def _steps_of(agent: str, sample: Any) -> int:
    """Steps in which an agent acted; an episode no longer holds agents that ended before it was cut."""
    if isinstance(sample, Block):
        return sample.steps_of(agent)
    return len(sample.agent_episodes.get(agent, ()))


def _joined(parts: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
