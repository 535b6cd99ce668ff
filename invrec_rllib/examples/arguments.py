"""The command line that the examples share, and the loop that they would write themselves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import ALL_MODULES
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, EPISODE_RETURN_MEAN, LEARNER_RESULTS

from invrec_rllib.rllib.timescale_learner import SEPARATION


def parse(argv: Sequence[str] | None, *, iterations: int) -> argparse.Namespace:
    """Arguments of an example; `iterations` is the default of ``--iterations``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--iterations", type=int, default=iterations, help="training iterations of RLlib")
    parser.add_argument(
        "--env-runners", type=int, default=0, help="remote env runners; 0 samples in this process"
    )
    parser.add_argument("--learners", type=int, default=0, help="remote learners; 0 learns in this process")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def train(config: AlgorithmConfig, *, iterations: int) -> float:
    """Build the algorithm, train it, print a line per iteration.

    Returns:
        Mean return of the latest episodes; nan if none ended.
    """
    algorithm = config.build_algo()
    mean = float("nan")
    try:
        for iteration in range(1, iterations + 1):
            result = algorithm.train()
            mean = float(result[ENV_RUNNER_RESULTS].get(EPISODE_RETURN_MEAN, float("nan")))
            ratios = result.get(LEARNER_RESULTS, {}).get(ALL_MODULES, {}).get(SEPARATION, {})
            separation = ", ".join(f"{name} {ratio:.3g}" for name, ratio in ratios.items())
            print(f"{iteration:4d}  return {mean:8.1f}  {separation}")
    finally:
        algorithm.stop()
    return mean
