"""One of two learner processes that train side by side; run by `test_rllib_replicas`, prints JSON.

Arguments: rank, path of the file by which the two processes find each other.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from block_worlds import make_runner
from leaving_worlds import leaving
from mtmappo_worlds import update as update_from
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.algorithms.sac import SACConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule, MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.policy.sample_batch import MultiAgentBatch
from timescale_learners import CONTINUOUS, DISCRETE, make_batch, make_learner, update, weights
from torch import nn

from invrec_rllib.errors import InputError
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.timescale_config import timescales

EQUAL, UNEQUAL = {"a": 4, "b": 4}, {"a": 4, "b": 7}
SPEEDS = {"actor": {"schedule": 1e-2, "update_every": 2}, "critic": 3e-2}
UPDATES = 6


class SharedCritic(TorchRLModule):  # type: ignore[misc]
    """A critic with a running mean that only a buffer holds."""

    def setup(self) -> None:
        self.vf = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 1))


class Actor(TorchRLModule, ValueFunctionAPI):  # type: ignore[misc]
    """Policy that asks the shared critic for its values, around DDP."""

    def setup(self) -> None:
        self.actor = nn.Linear(4, 3)

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.actor(batch[Columns.OBS])}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> torch.Tensor:
        values: torch.Tensor = self.__dict__["shared"].vf(batch[Columns.OBS]).squeeze(-1)
        return values


class WithSharedCritic(MultiRLModule):  # type: ignore[misc]
    """Two policies and one critic, a module of its own."""

    def setup(self) -> None:
        super().setup()
        for mid in ("a", "b"):
            # Not as a child: its parameters belong to the critic's module alone.
            self._rl_modules[mid].__dict__["shared"] = self._rl_modules["critic"]


def with_shared_critic(config: AlgorithmConfig) -> Any:
    classes = {"a": Actor, "b": Actor, "critic": SharedCritic}
    config = config.copy(copy_frozen=False).debugging(seed=1)
    config.multi_agent(policies=list(classes), policy_mapping_fn=lambda agent, *args, **kwargs: agent)
    specs = {
        mid: RLModuleSpec(
            module_class=module,
            observation_space=gym.spaces.Box(-10, 10, (4,), np.float32),
            action_space=DISCRETE,
            model_config={},
        )
        for mid, module in classes.items()
    }
    spec = MultiRLModuleSpec(multi_rl_module_class=WithSharedCritic, rl_module_specs=specs)
    learner = config.learner_class(config=config, module_spec=spec)
    learner.build()
    return learner


def train(learner: Any, rank: int, *, modules: Any = ("a", "b"), minibatches: int = 2) -> None:
    for number in range(UPDATES):
        batch = make_batch(learner, rows=32, seed=10 * number + rank, modules=list(modules))
        batches = batch.policy_batches
        # The scramble: one learner sees the modules in the opposite order.
        order = sorted(batches, reverse=rank == 1)
        batch = MultiAgentBatch({mid: batches[mid] for mid in order}, env_steps=32)
        update(learner, batch, minibatch_size=32 // minibatches, num_epochs=2)


def outcome(learner: Any) -> dict[str, Any]:
    """What must be equal on both: sums of weights and buffers, temperatures, drift factors."""
    sums = {
        f"{mid}.{name}": float(value.double().square().sum())
        for mid, values in weights(learner).items()
        for name, value in values.items()
    }
    for mid in list(learner.module.keys()):
        for name, buffer in learner.module[mid].unwrapped().named_buffers():
            sums[f"{mid}.{name}"] = float(buffer.double().sum())
    for mid, value in getattr(learner, "curr_log_alpha", {}).items():
        sums[f"{mid}.log_alpha"] = float(value.detach())
    for entry in getattr(learner, "_speeds", ()):
        sums[f"{entry.label}.factor"] = entry.clock.factor
    return sums


def ppo(spec: Any, sizes: Any, rank: int) -> dict[str, Any]:
    config = PPOConfig().learners(num_learners=2)
    if spec is not None:
        timescales(config, {"*": spec})
    learner = make_learner(config, modules=sizes)
    train(learner, rank)
    return outcome(learner)


def sac(spec: Any, sizes: Any, rank: int) -> dict[str, Any]:
    config = SACConfig().learners(num_learners=2)
    if spec is not None:
        timescales(config, {"*": spec})
    learner = make_learner(config, modules=sizes, action_space=CONTINUOUS)
    torch.manual_seed(rank)
    train(learner, rank, minibatches=1)
    return outcome(learner)


def shared_critic(rank: int) -> dict[str, Any]:
    parts = {"a": {"actor": 1e-2}, "b": {"actor": 1e-2}, "critic": {"vf": 3e-2}}
    learner = with_shared_critic(timescales(PPOConfig().learners(num_learners=2), parts))
    train(learner, rank)
    return outcome(learner)


def other_modules(rank: int) -> dict[str, Any]:
    """An agent that ended early: one learner has no data of its module."""
    learner = make_learner(timescales(PPOConfig().learners(num_learners=2), {"*": SPEEDS}), modules=EQUAL)
    before = weights(learner)["b"]["vf.net.mlp.0.bias"]
    train(learner, rank, modules=[("a", "b"), ("a",)][rank])
    moved = float((weights(learner)["b"]["vf.net.mlp.0.bias"] - before).abs().sum())
    return {**outcome(learner), "moved": moved}


def other_minibatches(rank: int) -> dict[str, Any]:
    learner = make_learner(timescales(PPOConfig().learners(num_learners=2), {"*": SPEEDS}), modules=EQUAL)
    try:
        train(learner, rank, minibatches=[2, 4][rank])
    except InputError as error:
        return {"error": str(error)}
    return {"error": ""}


def no_minibatch(rank: int) -> dict[str, Any]:
    """One learner has nothing to learn from at all."""
    config = timescales(PPOConfig().learners(num_learners=2), {"*": SPEEDS})
    learner = make_learner(config.multi_agent(policies_to_train=["b"]), modules=EQUAL)
    try:
        train(learner, rank, modules=[("a", "b"), ("a",)][rank])
    except InputError as error:
        return {"error": str(error)}
    return {"error": ""}


def ends_apart(rank: int, *, apart: bool) -> dict[str, Any]:
    """MTMA-PPO on agents that end at different times in the share of the first learner, or of none."""
    lives = [{"a": 4, "b": 2 if apart and rank == 0 else 4, "c": 4}]
    config = leaving(MTMAPPOConfig(), lives=lives).network("mlp", hidden_sizes=(8,))
    runner = make_runner(BlockRunner, config)
    learner = (
        config.copy(copy_frozen=False).learners(num_learners=2).build_learner(spaces=runner.get_spaces())
    )
    (block,) = runner.sample(num_timesteps=config.train_batch_size_per_learner)
    try:
        update_from(learner, block, minibatch_size=22)
    except InputError as error:
        return {"error": str(error)}
    return {**outcome(learner), "error": ""}


SCENARIOS: dict[str, Callable[[int], dict[str, Any]]] = {
    "ppo_equal": lambda rank: ppo(SPEEDS, EQUAL, rank),
    "ppo_unequal": lambda rank: ppo(SPEEDS, UNEQUAL, rank),
    "ppo_drift": lambda rank: ppo({"actor": {"schedule": 1e-2, "drift": 1e-3}, "critic": 1e-2}, EQUAL, rank),
    "sac_equal": lambda rank: sac({**SPEEDS, "alpha": 1e-2}, EQUAL, rank),
    "sac_unequal": lambda rank: sac({**SPEEDS, "alpha": 1e-2}, UNEQUAL, rank),
    "shared_critic": shared_critic,
    "other_modules": other_modules,
    "end_together": lambda rank: ends_apart(rank, apart=False),
    "end_apart": lambda rank: ends_apart(rank, apart=True),
    # Last, for it leaves the learners out of step: what must be refused, and RLlib's own learners as controls.
    "other_minibatches": other_minibatches,
    "no_minibatch": no_minibatch,
    "rllib_ppo_equal": lambda rank: ppo(None, EQUAL, rank),
}


def main() -> None:
    rank, meeting_point = int(sys.argv[1]), sys.argv[2]
    warnings.simplefilter("ignore")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting_point}", rank=rank, world_size=2
    )
    print(json.dumps({name: run(rank) for name, run in SCENARIOS.items()}))


if __name__ == "__main__":
    main()
