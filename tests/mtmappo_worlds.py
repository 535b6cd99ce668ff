"""Configurations of MTMA-PPO, and learners with what a runner sampled for them, without a Ray cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from block_worlds import HORIZON, Counting, make_runner
from gymnasium.spaces import Box, Discrete
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.tune import register_env

from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig

ENVS = 4
GAMMA, LAMBDA, STEPS = 0.93, 0.7, 11


class Chance(MultiAgentEnv):
    """Agents "a", "b", "c" that see random numbers, each row unique, and earn random rewards.

    Episodes last 1 to 6 steps; `how` says whether they end terminated, truncated, or now one and then the other.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's
        self.agents = self.possible_agents = ["a", "b", "c"]
        self.how = config.get("how", "mixed")
        self.dtype = config.get("dtype", np.float32)
        sizes = {"a": 3, "b": 2, "c": 3}
        self.spaces = {name: Box(-np.inf, np.inf, (size,), self.dtype) for name, size in sizes.items()}
        self.observation_spaces: Any = dict(self.spaces)
        self.action_spaces = {
            "a": Box(-1, 1, (2,), np.float32),
            "b": Discrete(3),
            "c": Box(-1, 1, (2,), np.float32),
        }
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.left = int(self.rng.integers(1, 7))
        return self._seen(), {}

    def step(self, action_dict: Any) -> Any:
        self.left -= 1
        over = self.left == 0
        terminated = self.how == "terminated" or (self.how == "mixed" and self.rng.random() < 0.5)
        rewards = {name: float(self.rng.normal()) for name in self.agents}
        return (
            self._seen(),
            rewards,
            {"__all__": over and terminated},
            {"__all__": over and not terminated},
            {},
        )

    def _seen(self) -> dict[str, Any]:
        return {
            name: self.rng.normal(size=space.shape).astype(self.dtype) for name, space in self.spaces.items()
        }


def policy_of(agent: Any, *args: Any, **kwargs: Any) -> str:
    """Agents "a" and "c" are one team."""
    return "solo" if agent == "b" else "team"


def chance(config: Any, **env_config: Any) -> Any:
    """A configuration on `Chance`, whose blocks cut episodes."""
    register_env("chance", Chance)
    return (
        config.environment("chance", env_config=env_config, disable_env_checking=True)
        .env_runners(
            num_env_runners=0,
            num_envs_per_env_runner=ENVS,
            rollout_fragment_length=STEPS,
            batch_mode="truncate_episodes",
        )
        .multi_agent(policies=["team", "solo"], policy_mapping_fn=policy_of)
        .training(
            gamma=GAMMA,
            lambda_=LAMBDA,
            train_batch_size_per_learner=STEPS * ENVS,
            minibatch_size=STEPS * ENVS,
        )
        .debugging(seed=4)
    )


def firm_config(**changes: Any) -> Any:
    """MTMA-PPO on `tiny`, or another world, with few environments."""
    settings = TrainSettings(
        **{
            "scenario": "tiny",
            "seed": 3,
            "envs_per_runner": ENVS,
            "steps_per_iteration": ENVS * HORIZON,
            "minibatch_size": 60,
            "max_seq_len": 7,
            **changes,
        }
    )
    return build_config(settings)


def counting_config(**env_config: Any) -> MTMAPPOConfig:
    """The same on an environment that is not ours, which has no global state."""
    register_env("counting", Counting)
    config = (
        MTMAPPOConfig()
        .environment("counting", env_config=env_config, disable_env_checking=True)
        .env_runners(num_envs_per_env_runner=ENVS, rollout_fragment_length=11)
        .multi_agent(policies=["a", "b"], policy_mapping_fn=lambda agent, *args, **kwargs: agent)
        .network("mlp", hidden_sizes=(8,))
        .training(train_batch_size_per_learner=ENVS * 11, minibatch_size=22, num_epochs=2)
        .debugging(seed=1)
    )
    assert isinstance(config, MTMAPPOConfig)
    return config


def sample(config: Any) -> tuple[Any, Any, Any]:
    """A runner, a learner with the same actors, and a block that the runner sampled."""
    runner = make_runner(BlockRunner, config)
    learner = config.build_learner(spaces=runner.get_spaces())
    actors = {name: module for name, module in learner.module.get_state().items() if name in runner.module}
    runner.module.set_state(actors)
    # The second block begins in the middle of episodes, where batches are truncated.
    runner.sample(num_timesteps=config.train_batch_size_per_learner)
    return runner, learner, runner.sample(num_timesteps=config.train_batch_size_per_learner)[0]


def train_batch(learner: Any, block: Any) -> dict[str, Any]:
    batch: dict[str, Any] = learner._learner_connector(
        rl_module=learner.module, batch={}, episodes=[block], shared_data={}, metrics=learner.metrics
    )
    return batch


def update(learner: Any, block: Any, **options: Any) -> Any:
    return learner.update(
        training_data=TrainingData(episodes=[block]),
        timesteps={"num_env_steps_sampled_lifetime": len(block)},
        **{"num_epochs": 2, "minibatch_size": 60, "shuffle_batch_per_epoch": True, **options},
    )


def vector(module: Any) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(module.parameters()).detach().clone()
