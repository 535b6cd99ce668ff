"""How fast RLlib samples the world: our adapter against RLlib's own PettingZoo wrapper, in one run."""

from __future__ import annotations

import time
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.tune import register_env

from invrec_rllib.env.invrec_v0 import parallel_env
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import AGENTS, build_config, policy_of_agent
from invrec_rllib.rllib.quiet import build_quietly, start_ray, stop_ray
from invrec_rllib.scenario import load_scenario

_STOCK_NAME = "invrec_v0_stock_wrapper"
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


def stock_config(settings: TrainSettings, *, envs: int = 1) -> PPOConfig:
    """What a user of RLlib alone would write: its own PettingZoo wrapper, with a run's scenario and networks.

    Args:
        settings: of the run.
        envs: environments per runner.
    """
    world = load_scenario(settings.scenario)
    register_env(
        _STOCK_NAME, lambda _: ParallelPettingZooEnv(parallel_env(world, information=settings.information))
    )
    ours = build_config(settings)
    return (
        PPOConfig()
        .environment(_STOCK_NAME)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=envs, batch_mode="complete_episodes")
        .multi_agent(policies=AGENTS, policy_mapping_fn=policy_of_agent)
        .rl_module(model_config=ours.model_config)
        .debugging(seed=settings.seed, log_level="ERROR")
    )


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
