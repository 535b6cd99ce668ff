"""The ways through RLlib that are compared: equal worlds, networks and PPO, sampled by different runners."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED
from ray.tune import register_env

from invrec_rllib.env.invrec_v0 import parallel_env
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import AGENTS, build_config, env_options, policy_of_agent
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.rllib.quiet import build_quietly, start_ray, stop_ray
from invrec_rllib.rllib.register import register
from invrec_rllib.scenario import load_scenario

Config = TypeVar("Config", bound=AlgorithmConfig)
# By kind, such as "ratios" and "env_steps_per_second", figures by name.
Figures = dict[str, dict[str, Any]]
HIDDEN = 256
EPOCHS = 6
MINIBATCHES = 4

_STOCK_NAME = "invrec_v0_stock_wrapper"
_SAME_AS_OURS = (
    "gamma",
    "lambda_",
    "train_batch_size_per_learner",
    "minibatch_size",
    "num_epochs",
    "clip_param",
    "entropy_coeff",
    "use_kl_loss",
    "vf_loss_coeff",
    "vf_clip_param",
)


def settings_of_whole_episodes(scenario: str, *, envs: int, seed: int = 0, **others: Any) -> TrainSettings:
    """Settings of RLlib's PPO whose iteration is one episode of each environment.

    The batch is passed over `EPOCHS` times in `MINIBATCHES` minibatches; by default networks are fully connected,
    two layers of `HIDDEN` units each.

    Args:
        scenario: preset name or file.
        envs: environments of the runner.
        seed: of worlds and networks.
        others: further fields of `TrainSettings`, or others' values in the place of these.
    """
    steps = envs * load_scenario(scenario).periods
    chosen = {
        "algo": "ppo",
        "network": "mlp",
        "hidden": HIDDEN,
        "env_runners": 0,
        "steps_per_iteration": steps,
        "minibatch_size": -(-steps // MINIBATCHES),
        "epochs": EPOCHS,
        **others,
    }
    return TrainSettings(scenario=scenario, envs_per_runner=envs, seed=seed, **chosen)


def stock_config(settings: TrainSettings, *, envs: int = 1) -> PPOConfig:
    """What a user of RLlib alone would write: its own PettingZoo wrapper, runner and learner pipeline.

    Args:
        settings: of the run, for scenario, networks and PPO.
        envs: environments per runner.
    """
    ours = build_config(settings.model_copy(update={"algo": "ppo"}))
    config = sampled_by_rllib(PPOConfig(), settings, envs=envs)
    config.env_runners(batch_mode="complete_episodes")
    config.rl_module(algorithm_config_overrides_per_module=ours.algorithm_config_overrides_per_module)
    return config.training(**{name: getattr(ours, name) for name in _SAME_AS_OURS})


def sampled_by_rllib(config: Config, settings: TrainSettings, *, envs: int) -> Config:
    """Any algorithm on a run's world, behind RLlib's own PettingZoo wrapper, with its agents and networks.

    Args:
        config: changed in place.
        settings: of the run.
        envs: environments per runner.

    Returns:
        The same configuration.
    """
    world, options = load_scenario(settings.scenario), env_options(settings)
    register_env(_STOCK_NAME, lambda _: ParallelPettingZooEnv(parallel_env(world, **options)))
    config.environment(_STOCK_NAME)
    return _with_agents(config, settings, envs=envs)


def sampled_fast(config: Config, settings: TrainSettings) -> Config:
    """Any algorithm on a run's world, sampled by the fast runner, which hands over RLlib's episodes.

    Args:
        config: changed in place.
        settings: of the run.

    Returns:
        The same configuration.
    """
    ours = build_config(settings)
    config.environment(ours.env, env_config=ours.env_config, disable_env_checking=True)
    _with_agents(config, settings, envs=settings.envs_per_runner)
    fast_sampling(config, handover="episodes")
    return config


def _with_agents(config: Config, settings: TrainSettings, *, envs: int) -> Config:
    config.env_runners(num_env_runners=settings.env_runners, num_envs_per_env_runner=envs)
    config.learners(num_learners=0)
    config.multi_agent(policies=AGENTS, policy_mapping_fn=policy_of_agent)
    config.rl_module(model_config=build_config(settings.model_copy(update={"algo": "ppo"})).model_config)
    config.debugging(seed=settings.seed, log_level="ERROR")
    return config


def fast_config(settings: TrainSettings) -> PPOConfig:
    """RLlib's PPO, sampled by the fast runner."""
    return cast(PPOConfig, fast_sampling(build_config(settings.model_copy(update={"algo": "ppo"}))))


def mtmappo_config(settings: TrainSettings) -> PPOConfig:
    """MTMA-PPO with networks of the same kind and width: its critic reads the global state, shared by the agents."""
    return build_config(settings.model_copy(update={"algo": "mtmappo"}))


@contextmanager
def built(configs: Mapping[str, AlgorithmConfig], *, cpus: int = 1) -> Iterator[dict[str, Algorithm]]:
    """Algorithms by name, each trained once to warm up, on one thread of torch.

    A Ray that runs in this process is used as it is; else one with so many CPUs is started, and stopped at the end.
    """
    torch.set_num_threads(1)
    running = ray.is_initialized()
    start_ray(cpus)
    # A registration made before belongs to the Ray before.
    register()
    algorithms: dict[str, Algorithm] = {}
    try:
        for name, config in configs.items():
            algorithms[name] = build_quietly(config)
            algorithms[name].train()
        yield algorithms
    finally:
        for algorithm in algorithms.values():
            algorithm.stop()
        if not running:
            stop_ray()


def iterate(algorithm: Algorithm) -> Callable[[], int]:
    """What trains for one iteration and returns its env steps."""
    return lambda: int(algorithm.train()[ENV_RUNNER_RESULTS][NUM_ENV_STEPS_SAMPLED])


def sample_once(runner: Any) -> Callable[[], int]:
    """What samples once with a local runner and returns env steps."""
    return lambda: sum(len(sample) for sample in runner.sample())
