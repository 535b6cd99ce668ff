"""Asynchronous learning: APPO and IMPALA with the fast runner against RLlib's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.impala import IMPALAConfig
from ray.rllib.core import ALL_MODULES
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_TRAINED_LIFETIME

from invrec_rllib.benchmarks.paths import (
    Figures,
    built,
    sampled_by_rllib,
    sampled_fast,
    settings_of_whole_episodes,
)
from invrec_rllib.benchmarks.turns import check_rounds, fastest_turns
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.scenario import load_scenario

_ALGORITHMS: Mapping[str, type[AlgorithmConfig]] = {"appo": APPOConfig, "impala": IMPALAConfig}
# Near RLlib's fastest on a core.
_STOCK_ENVS = 16


def measure_asynchronous(
    scenario: str = "paper",
    *,
    algorithms: Sequence[str] = ("appo", "impala"),
    episodes: int = 64,
    seconds: float = 5.0,
    rounds: int = 2,
    seed: int = 0,
) -> Figures:
    """Learn from one remote runner that samples meanwhile, by RLlib's APPO and IMPALA.

    Networks are of two 256-unit layers; each batch is learned from once, as a whole, in the training process. The
    paths run one after the other: runners go on sampling between the iterations of an asynchronous algorithm.

    Args:
        scenario: preset name or file.
        algorithms: "appo", "impala".
        episodes: whole episodes of a batch, and environments of the fast runner; RLlib's own has 16.
        seconds: least time of a turn, which is one iteration at least.
        rounds: turns of each path; the fastest counts.
        seed: of worlds and networks.

    Returns:
        `env_steps_per_second` learned from (`appo_stock`, `appo_fast`, `impala_stock`, `impala_fast`) and `ratios`
        (`appo_vs_stock`, `impala_vs_stock`).

    Raises:
        InputError: `rounds` is below 1.
    """
    check_rounds(rounds)
    settings = settings_of_whole_episodes(scenario, envs=episodes, seed=seed, env_runners=1)
    speeds: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for name in algorithms:
        config_class = _ALGORITHMS[name]
        configs = {
            "stock": sampled_by_rllib(config_class(), settings, envs=min(_STOCK_ENVS, episodes)),
            "fast": sampled_fast(config_class(), settings),
        }
        for how, config in configs.items():
            path = f"{name}_{how}"
            with built({path: _in_whole_batches(config, settings)}, cpus=2) as running:
                learn = {path: _learn(running[path])}
                speeds.update(fastest_turns(learn, rounds=rounds, seconds=seconds))
        ratios[f"{name}_vs_stock"] = speeds[f"{name}_fast"] / speeds[f"{name}_stock"]
    return {"env_steps_per_second": speeds, "ratios": ratios}


def _in_whole_batches(config: AlgorithmConfig, settings: TrainSettings) -> AlgorithmConfig:
    steps = settings.steps_per_iteration
    config.env_runners(rollout_fragment_length=load_scenario(settings.scenario).periods)
    config.training(train_batch_size_per_learner=steps, num_epochs=1)
    return config.reporting(min_time_s_per_iteration=0, min_sample_timesteps_per_iteration=steps)


def _learn(algorithm: Algorithm) -> Callable[[], int]:
    """What runs an iteration and returns how many env steps were learned from in it; one more is over then."""
    learned = 0

    def iterate() -> int:
        nonlocal learned
        before = learned
        # An iteration may end before a batch is full; it then says nothing of learning.
        figures = algorithm.train().get(LEARNER_RESULTS, {}).get(ALL_MODULES, {})
        learned = int(figures.get(NUM_ENV_STEPS_TRAINED_LIFETIME, learned))
        return learned - before

    iterate()
    return iterate
