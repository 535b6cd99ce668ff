"""How fast the fast runner samples: against RLlib's own, and against the least that sampling can be."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from invrec_rllib.benchmarks.bare_loop import BareLoop
from invrec_rllib.benchmarks.paths import (
    HIDDEN,
    Figures,
    fast_config,
    mtmappo_config,
    sample_once,
    settings_of_whole_episodes,
    stock_config,
)
from invrec_rllib.benchmarks.turns import check_rounds, fastest_turns
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.scenario import load_scenario

_STOCK_ENVS = (1, 4, 16, 32, 64)


def measure_sampling(
    scenario: str = "paper",
    *,
    envs: int = 512,
    stock_envs: tuple[int, ...] = _STOCK_ENVS,
    seconds: float = 2.0,
    rounds: int = 3,
    seed: int = 0,
) -> Figures:
    """Sample with one local runner on one core through each path, with equal networks of two 256-unit layers.

    The paths take turns; a path's figure is its fastest turn of whole episodes.

    Args:
        scenario: preset name or file.
        envs: environments of the fast runner, and of the bare loop.
        stock_envs: numbers of environments per runner to try for RLlib's own; 1 among them.
        seconds: least time of a turn.
        rounds: turns of each path.
        seed: of worlds and networks.

    Returns:
        `env_steps_per_second` by path (`stock_E`: RLlib's `MultiAgentEnvRunner` and `ParallelPettingZooEnv` with E
        environments; `fast_B`; `mtmappo_B`: the same for MTMA-PPO, which records global states too; `bare_B`:
        simulator and forward passes alone), and `ratios` of the fast runner to them (`sampling_vs_stock_1_env`,
        `sampling_vs_stock_best`, `sampling_vs_bare_loop`).

    Raises:
        InputError: `stock_envs` lacks 1, or `rounds` is below 1.
    """
    if 1 not in stock_envs:
        raise InputError(f"stock_envs must hold 1, got {stock_envs}")
    check_rounds(rounds)
    torch.set_num_threads(1)
    settings = settings_of_whole_episodes(scenario, envs=envs, seed=seed)
    speeds = fastest_turns(_paths(settings, stock_envs), rounds=rounds, seconds=seconds)
    fast = speeds[f"fast_{envs}"]
    best = max(speeds[f"stock_{count}"] for count in stock_envs)
    return {
        "env_steps_per_second": dict(speeds),
        "ratios": {
            "sampling_vs_stock_1_env": fast / speeds["stock_1"],
            "sampling_vs_stock_best": fast / best,
            "sampling_vs_bare_loop": fast / speeds[f"bare_{envs}"],
        },
    }


def _paths(settings: TrainSettings, stock_envs: tuple[int, ...]) -> dict[str, Callable[[], int]]:
    """What plays one episode per environment and returns env steps, by path; each was warmed up."""
    envs = settings.envs_per_runner
    paths: dict[str, Callable[[], int]] = {
        f"stock_{count}": _sampler(MultiAgentEnvRunner, stock_config(settings, envs=count))
        for count in stock_envs
    }
    paths[f"fast_{envs}"] = _sampler(BlockRunner, fast_config(settings))
    paths[f"mtmappo_{envs}"] = _sampler(BlockRunner, mtmappo_config(settings))
    bare = BareLoop(
        load_scenario(settings.scenario),
        num_envs=envs,
        hidden=HIDDEN,
        seed=settings.seed,
        information=settings.information,
    )
    paths[f"bare_{envs}"] = bare.play
    for play in paths.values():
        play()
    return paths


def _sampler(cls: type[MultiAgentEnvRunner], config: AlgorithmConfig) -> Callable[[], int]:
    with warnings.catch_warnings():
        # Every runner registers its environment with gymnasium under one and the same name.
        warnings.filterwarnings("ignore", message=".*Overriding environment rllib-")
        runner: Any = cls(config, worker_index=0)
    return sample_once(runner)
