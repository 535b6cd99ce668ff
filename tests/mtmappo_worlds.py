"""Configurations of MTMA-PPO, and learners with what a runner sampled for them, without a Ray cluster."""

from __future__ import annotations

from typing import Any

import torch
from block_worlds import HORIZON, Counting, make_runner
from ray.rllib.core.learner.training_data import TrainingData
from ray.tune import register_env

from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig

ENVS = 4


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
