"""How fast training samples: fast runners against RLlib's own, and against the least that sampling can be."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from invrec_rllib.benchmarks.bare_loop import BareLoop
from invrec_rllib.benchmarks.sampling import stock_config
from invrec_rllib.benchmarks.simulator import describe_machine
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.scenario import load_scenario

_HIDDEN = 256
_STOCK_ENVS = (1, 4, 16, 32, 64)


def benchmark_training(
    scenario: str = "paper",
    *,
    envs: int = 256,
    stock_envs: tuple[int, ...] = _STOCK_ENVS,
    seconds: float = 2.0,
    rounds: int = 5,
    seed: int = 0,
    on_result: Callable[[str, float], None] | None = None,
) -> dict[str, Any]:
    """Sample with one local runner on one core through each path, with equal networks of two 256-unit layers.

    The paths take turns, so that what else the machine does falls on all of them; a path's figure is its fastest
    turn of whole episodes.

    Args:
        scenario: preset name or file.
        envs: environments of the fast runner, and of the bare loop.
        stock_envs: numbers of environments per runner to try for RLlib's own; 1 among them.
        seconds: least time of a turn.
        rounds: turns of each path.
        seed: of worlds and networks.
        on_result: called with a path's name and its figure when all turns are over.

    Returns:
        `env_steps_per_second` by path (`stock_E`: RLlib's `MultiAgentEnvRunner` and `ParallelPettingZooEnv` with E
        environments; `fast_B`; `mtmappo_B`: the same for MTMA-PPO, which records global states too; `bare_B`:
        simulator and forward passes alone), `ratios` of the fast runner to them
        (`sampling_vs_stock_1_env`, `sampling_vs_stock_best`, `sampling_vs_bare_loop`), and `machine`.

    Raises:
        InputError: `stock_envs` lacks 1, or `rounds` is below 1.
    """
    if 1 not in stock_envs or rounds < 1:
        raise InputError(f"stock_envs must hold 1 and rounds be at least 1, got {stock_envs} and {rounds}")
    machine = describe_machine()
    torch.set_num_threads(1)
    settings = TrainSettings(
        scenario=scenario,
        algo="ppo",
        seed=seed,
        network="mlp",
        hidden=_HIDDEN,
        env_runners=0,
        envs_per_runner=envs,
    )
    paths = _paths(settings, stock_envs)
    speeds = dict.fromkeys(paths, 0.0)
    for _ in range(rounds):
        for name, play in paths.items():
            speeds[name] = max(speeds[name], _turn(play, seconds=seconds))
    if on_result is not None:
        for name, speed in speeds.items():
            on_result(name, speed)
    fast = speeds[f"fast_{envs}"]
    best = max(speeds[f"stock_{count}"] for count in stock_envs)
    return {
        "scenario": scenario,
        "env_steps_per_second": speeds,
        "ratios": {
            "sampling_vs_stock_1_env": fast / speeds["stock_1"],
            "sampling_vs_stock_best": fast / best,
            "sampling_vs_bare_loop": fast / speeds[f"bare_{envs}"],
        },
        "machine": machine,
    }


def _paths(settings: TrainSettings, stock_envs: tuple[int, ...]) -> dict[str, Callable[[], int]]:
    """What plays one episode per environment and returns env steps, by path; each was warmed up."""
    envs = settings.envs_per_runner
    paths: dict[str, Callable[[], int]] = {
        f"stock_{count}": _sampler(MultiAgentEnvRunner, stock_config(settings, envs=count))
        for count in stock_envs
    }
    paths[f"fast_{envs}"] = _sampler(BlockRunner, fast_sampling(build_config(settings)))
    with_states = build_config(settings.model_copy(update={"algo": "mtmappo"}))
    paths[f"mtmappo_{envs}"] = _sampler(BlockRunner, with_states)
    bare = BareLoop(
        load_scenario(settings.scenario),
        num_envs=envs,
        hidden=_HIDDEN,
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
    return lambda: sum(len(sample) for sample in runner.sample())


def _turn(play: Callable[[], int], *, seconds: float) -> float:
    """Env steps per second of whole episodes, for at least so long."""
    steps, started = 0, time.perf_counter()
    while True:
        steps += play()
        elapsed = time.perf_counter() - started
        if elapsed >= seconds:
            return steps / elapsed
