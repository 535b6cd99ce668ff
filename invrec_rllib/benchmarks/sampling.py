"""How fast RLlib samples the world: our adapter against RLlib's own PettingZoo wrapper, in one run."""

from __future__ import annotations

import time
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig

from invrec_rllib.benchmarks.paths import stock_config
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.quiet import build_quietly, start_ray, stop_ray

# Two hidden layers for every path: what differs is how the world is stepped, not the networks.
_HIDDEN = 64


def benchmark_sampling(
    scenario: str = "paper", *, envs: tuple[int, ...] = (1, 16), seconds: float = 10.0, seed: int = 0
) -> dict[str, Any]:
    """Sample with one local env runner through each path, with equal networks.

    Args:
        scenario: preset name or file.
        envs: numbers of environments per runner to try on our path.
        seconds: to sample for, per path, after a warm-up of one episode per environment.
        seed: of worlds and networks.

    Returns:
        `env_steps_per_second` by path (`stock_1`: RLlib's `ParallelPettingZooEnv` with one environment per
        runner; `ours_E`: our adapter with E), and `ratios` of ours to `stock_1`.
    """
    settings = TrainSettings(
        scenario=scenario, seed=seed, algo="ppo", network="mlp", hidden=_HIDDEN, env_runners=0
    )
    speeds: dict[str, float] = {}
    # One core for every path, also where others have the rest.
    torch.set_num_threads(1)
    start_ray(1)
    try:
        speeds["stock_1"] = _measure(stock_config(settings), seconds=seconds)
        for count in envs:
            config = build_config(settings.model_copy(update={"envs_per_runner": count}))
            speeds[f"ours_{count}"] = _measure(config, seconds=seconds)
    finally:
        stop_ray()
    return {
        "scenario": scenario,
        "env_steps_per_second": speeds,
        "ratios": {path: speed / speeds["stock_1"] for path, speed in speeds.items() if path != "stock_1"},
    }


def _measure(config: AlgorithmConfig, *, seconds: float) -> float:
    algorithm = build_quietly(config)
    try:
        runner = algorithm.env_runner
        runner.sample(num_episodes=config.num_envs_per_env_runner)
        steps = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            steps += sum(
                len(episode) for episode in runner.sample(num_episodes=config.num_envs_per_env_runner)
            )
        return steps / (time.perf_counter() - started)
    finally:
        algorithm.stop()
