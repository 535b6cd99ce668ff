"""Small learners of RLlib's algorithms and batches for them, without Ray running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.learner import Learner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, NUM_ENV_STEPS_TRAINED_LIFETIME

DISCRETE = gym.spaces.Discrete(3)
CONTINUOUS = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
SMALL = DefaultModelConfig(fcnet_hiddens=[8], vf_share_layers=False)


def make_learner(
    config: AlgorithmConfig,
    *,
    modules: Mapping[str, int] | Sequence[str] = ("default_policy",),
    action_space: gym.Space[Any] = DISCRETE,
    model: DefaultModelConfig = SMALL,
    seed: int = 7,
) -> Any:
    """A built learner; `modules` maps module ids to sizes of their observations (4 if only names are given)."""
    sizes = dict(modules) if isinstance(modules, Mapping) else dict.fromkeys(modules, 4)
    config = config.copy(copy_frozen=False).debugging(seed=seed)
    if set(sizes) != {"default_policy"}:
        config.multi_agent(policies=list(sizes), policy_mapping_fn=lambda agent, *args, **kwargs: agent)
    default = config.get_default_rl_module_spec().module_class
    specs = {
        mid: RLModuleSpec(
            module_class=default,
            observation_space=gym.spaces.Box(-10.0, 10.0, (size,), np.float32),
            action_space=action_space,
            model_config=config.model_config | vars(model),
        )
        for mid, size in sizes.items()
    }
    learner = config.learner_class(config=config, module_spec=MultiRLModuleSpec(rl_module_specs=specs))
    learner.build()
    return learner


def make_batch(
    learner: Learner, *, rows: int = 32, seed: int = 0, modules: Sequence[str] | None = None
) -> MultiAgentBatch:
    """Made-up data with every column that PPO, APPO, IMPALA, SAC and DQN learn from."""
    batches = {}
    for index, mid in enumerate(modules or list(learner.module.keys())):
        module = learner.module[mid].unwrapped()
        rng = np.random.default_rng([seed, index])
        batches[mid] = SampleBatch(_columns(module, rng, rows))
    return MultiAgentBatch(batches, env_steps=rows)


def _columns(module: Any, rng: np.random.Generator, rows: int) -> dict[str, Any]:
    def normal(*shape: int) -> Any:
        return rng.normal(size=(rows, *shape)).astype(np.float32)

    size = module.observation_space.shape[0]
    discrete = isinstance(module.action_space, gym.spaces.Discrete)
    width = module.action_space.n if discrete else 2 * module.action_space.shape[0]
    actions = rng.integers(0, width, rows) if discrete else np.tanh(normal(width // 2))
    observations = normal(size)
    with torch.no_grad():
        given = module.forward_inference({Columns.OBS: torch.from_numpy(observations)})
    inputs = given.get(Columns.ACTION_DIST_INPUTS)
    inputs = normal(width) if inputs is None else inputs.numpy()
    return {
        Columns.OBS: observations,
        Columns.NEXT_OBS: normal(size),
        Columns.ACTIONS: actions,
        Columns.REWARDS: normal(),
        Columns.TERMINATEDS: np.zeros(rows, bool),
        Columns.TRUNCATEDS: np.zeros(rows, bool),
        Columns.LOSS_MASK: np.ones(rows, bool),
        Columns.ACTION_DIST_INPUTS: inputs,
        Columns.ACTION_LOGP: np.full(rows, -1.0, np.float32),
        "advantages": normal(),
        "value_targets": normal(),
        "weights": np.ones(rows, np.float32),
        "n_step": np.ones(rows, np.float32),
    }


def update(learner: Any, batch: MultiAgentBatch, *, env_steps: int = 0, **kwargs: Any) -> None:
    """One update in this thread, also where the learner has one of its own (as that thread would)."""
    Learner.update(
        learner,
        training_data=TrainingData(batch=batch),
        timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps, NUM_ENV_STEPS_TRAINED_LIFETIME: env_steps},
        _no_metrics_reduce=True,
        **kwargs,
    )


def figures(learner: Any) -> dict[str, dict[str, Any]]:
    """Latest metrics of a learner, by module id."""
    return learner.metrics.peek()


def weights(learner: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Copies of all parameters, by module id and name."""
    return {
        mid: {
            name: value.detach().clone() for name, value in learner.module[mid].unwrapped().named_parameters()
        }
        for mid in list(learner.module.keys())
    }


def stop(learner: Any) -> None:
    """End the thread that learners of IMPALA and APPO start."""
    learner.shutdown()
