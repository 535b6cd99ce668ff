"""What a training iteration spends its time on."""

from __future__ import annotations

import cProfile
import pstats
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.connectors.connector_pipeline_v2 import ConnectorPipelineV2

from invrec_rllib.benchmarks.paths import (
    Figures,
    built,
    fast_config,
    mtmappo_config,
    settings_of_whole_episodes,
)
from invrec_rllib.benchmarks.stopwatch import Watched, own_time
from invrec_rllib.rllib.batched_policies import BatchedPolicies

_SHOWN = 15


def profile_iterations(
    scenario: str = "paper", *, episodes: int = 64, iterations: int = 3, seed: int = 0
) -> Figures:
    """Split training iterations with fast sampling into what they consist of.

    Args:
        scenario: preset name or file.
        episodes: whole episodes of an iteration, and environments of the runner.
        iterations: to measure, after one to warm up.
        seed: of worlds and networks.

    Returns:
        `shares` of an iteration's time by path (`fast`: RLlib's PPO; `mtmappo`), see `shares_of`, and `hot_spots`:
        by path the functions with the largest shares of an iteration's own time under Python's profiler, which
        makes Python look dearer than it is.
    """
    settings = settings_of_whole_episodes(scenario, envs=episodes, seed=seed)
    shares, hot_spots = {}, {}
    with built({"fast": fast_config(settings), "mtmappo": mtmappo_config(settings)}) as algorithms:
        for name, algorithm in algorithms.items():
            shares[name] = shares_of(algorithm, iterations=iterations)
            hot_spots[name] = _hot_spots(algorithm)
    return {"shares": shares, "hot_spots": hot_spots}


def shares_of(algorithm: Algorithm, *, iterations: int) -> dict[str, float]:
    """Shares of the time of training iterations; they sum to 1.

    Args:
        algorithm: built, warmed up, with a local fast runner and a local torch learner.
        iterations: to measure.

    Returns:
        `simulator`, `forward_passes` (with drawing actions) and `rest_of_sampling`; `connector`: advantages, values
        and batches; `learner_forward` (with losses), `learner_backward`, `learner_optimizer` and `rest_of_learner`
        (minibatches, clipping, metrics); `rest`: weights handed over, metrics.
    """
    with own_time(_work_of(algorithm)) as seconds:
        for _ in range(iterations):
            algorithm.train()
    total = sum(seconds.values())
    return {label: spent / total for label, spent in seconds.items()}


def _work_of(algorithm: Algorithm) -> list[Watched]:
    runner: Any = algorithm.env_runner
    # RLlib hands a local learner out in no other way.
    learner: Any = algorithm.learner_group._learner  # type: ignore[union-attr]
    return [
        Watched(type(runner.batch), "reset", "simulator"),
        Watched(type(runner.batch), "step", "simulator"),
        Watched(BatchedPolicies, "act", "forward_passes"),
        Watched(type(runner), "sample", "rest_of_sampling"),
        Watched(ConnectorPipelineV2, "__call__", "connector"),
        Watched(type(learner.module), "forward_train", "learner_forward"),
        Watched(type(learner), "compute_losses", "learner_forward"),
        Watched(type(learner), "compute_gradients", "learner_backward"),
        Watched(type(learner), "apply_gradients", "learner_optimizer"),
        Watched(type(learner), "update", "rest_of_learner"),
        Watched(type(algorithm), "train", "rest"),
    ]


def _hot_spots(algorithm: Algorithm) -> dict[str, float]:
    with cProfile.Profile() as profiler:
        algorithm.train()
    # Typeshed knows no attribute `stats`, which the documentation of `get_stats_profile` builds on.
    rows: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    total = sum(row[2] for row in rows.values())
    dearest = sorted(rows, key=lambda function: rows[function][2], reverse=True)[:_SHOWN]
    return {_name(*function): rows[function][2] / total for function in dearest}


def _name(file: str, line: int, function: str) -> str:
    """Functions of C have no file."""
    return function if file == "~" else f"{'/'.join(Path(file).parts[-2:])}:{line} {function}"
