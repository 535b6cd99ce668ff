"""PPO that learns from made-up batches instead of episodes: what an iteration sees depends on its number alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import LEARNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

from invrec_rllib.rllib.timescale_config import timescales

ROWS = 64
SPEEDS = {
    "default_policy": {
        "actor": {
            "schedule": {"kind": "power_law", "initial": 1e-2, "offset": 5, "power": 0.9},
            "update_every": 2,
        },
        "critic": {
            "schedule": {"kind": "power_law", "initial": 3e-2, "offset": 20, "power": 0.6},
            "clock": "gradient_steps",
        },
    }
}


class FedPPO(PPO):  # type: ignore[misc]
    """PPO without sampling."""

    def training_step(self) -> None:
        """One update on the batch of this iteration."""
        results = self.learner_group.update(
            batch=made_up(self.iteration),
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: ROWS * (self.iteration + 1)},
            num_epochs=2,
            minibatch_size=16,
            shuffle_batch_per_epoch=True,
        )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)


def made_up(number: int) -> MultiAgentBatch:
    """Batch of an iteration, for CartPole's spaces."""
    rng = np.random.default_rng(number)

    def normal(*shape: int) -> Any:
        return rng.normal(size=(ROWS, *shape)).astype(np.float32)

    columns = {
        Columns.OBS: normal(4),
        Columns.ACTIONS: rng.integers(0, 2, ROWS),
        Columns.ACTION_DIST_INPUTS: normal(2),
        Columns.ACTION_LOGP: np.full(ROWS, -0.7, np.float32),
        "advantages": normal(),
        "value_targets": normal(),
    }
    return MultiAgentBatch({"default_policy": SampleBatch(columns)}, env_steps=ROWS)


def make_config(*, num_learners: int = 0) -> PPOConfig:
    """Configuration of `FedPPO`."""
    config = (
        PPOConfig(algo_class=FedPPO)
        .environment("CartPole-v1")
        .env_runners(num_env_runners=0)
        .learners(num_learners=num_learners)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[8], vf_share_layers=False))
        .debugging(seed=5, log_level="ERROR")
    )
    return timescales(config, SPEEDS)
