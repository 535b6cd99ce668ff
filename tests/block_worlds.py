"""Environments, modules and runners that several tests of the fast runners need."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import ValueFunctionAPI
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.env.multi_agent_env import MultiAgentEnv
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner

from invrec_rllib.env.batched import Look, Moved
from invrec_rllib.rllib.algorithm import AGENTS, policy_of_agent
from invrec_rllib.rllib.register import make_env_config, register

HORIZON = 30  # of the preset "tiny"


def tiny_config(*, envs: int, fragment: int | None = None, **env_options: Any) -> PPOConfig:
    """PPO on `tiny` with small networks; a fragment makes it truncate episodes."""
    register()
    config = (
        PPOConfig()
        .environment(
            "invrec_v0",
            env_config=make_env_config("tiny", seed=5, **env_options),
            disable_env_checking=True,
        )
        .env_runners(num_env_runners=0, num_envs_per_env_runner=envs, batch_mode="complete_episodes")
        .learners(num_learners=0)
        .multi_agent(policies=AGENTS, policy_mapping_fn=policy_of_agent)
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[16], vf_share_layers=False))
        .training(train_batch_size_per_learner=envs * HORIZON, minibatch_size=envs * HORIZON, num_epochs=1)
        .debugging(seed=3, log_level="ERROR")
    )
    if fragment is not None:
        config.env_runners(batch_mode="truncate_episodes", rollout_fragment_length=fragment)
    return config


def make_runner(cls: type[MultiAgentEnvRunner], config: AlgorithmConfig) -> Any:
    """A local runner."""
    with warnings.catch_warnings():
        # Every runner registers its environment with gymnasium under one and the same name.
        warnings.filterwarnings("ignore", message=".*Overriding environment rllib-")
        return cls(config, worker_index=0)


def deterministic(runner: Any) -> Any:
    """The same runner with constant weights, so that two of them act alike."""
    state = runner.module.get_state()
    for module in state.values():
        for name, values in module.items():
            shape = np.shape(values)
            module[name] = 0.3 * np.sin(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)
    runner.module.set_state(state)
    return runner


class Counting(MultiAgentEnv):
    """Agents "a" and "b" that see the step's number; episodes end after `lengths[k % len]` steps."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Ray's
        self.possible_agents = ["b", "a"]
        self.agents = ["b", "a"]
        self.lengths = tuple(config.get("lengths", (3,)))
        self.how = config.get("how", "truncated")
        self.observation_spaces = {name: Box(-100, 100, (2,), np.float32) for name in ("a", "b")}
        self.action_spaces = {"a": Discrete(3), "b": MultiDiscrete([2, 4])}
        if config.get("box"):
            self.action_spaces = {name: Box(-1, 1, (1,), np.float32) for name in ("a", "b")}
        self.episode = -1
        self.seeds: list[int | None] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.seeds.append(seed)
        self.episode += 1
        self.t = 0
        return self._seen(), {}

    def step(self, action_dict: Any) -> Any:
        self.t += 1
        over = self.t == self.lengths[self.episode % len(self.lengths)]
        flags = {"__all__": over}
        ends, cuts = (flags, {"__all__": False}) if self.how == "terminated" else ({"__all__": False}, flags)
        return self._seen(), {"a": float(self.t), "b": -1.0}, ends, cuts, {}

    def _seen(self) -> dict[str, Any]:
        return {agent: np.array([self.t, self.episode], dtype=np.float32) for agent in ("b", "a")}


class CountingModule(TorchRLModule, ValueFunctionAPI):
    """Its state counts the steps since it was started; its action inputs show the count, in every position."""

    def setup(self) -> None:
        self.unused = torch.nn.Linear(1, 1)

    def get_initial_state(self) -> Any:
        return {"inner": {"count": np.zeros((1,), np.float32)}}

    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        count = batch[Columns.STATE_IN]["inner"]["count"]
        steps = batch[Columns.OBS].shape[1]
        counts = count[:, None] + torch.arange(1, steps + 1)[None, :, None]
        size = 2 if isinstance(self.action_space, Box) else 3
        return {
            Columns.ACTION_DIST_INPUTS: counts.float().expand(-1, -1, size).contiguous(),
            Columns.STATE_OUT: {"inner": {"count": count + steps}},
        }

    def compute_values(self, batch: dict[str, Any], embeddings: Any | None = None) -> torch.Tensor:
        return torch.zeros(batch[Columns.OBS].shape[:2])


class TwoCarts:
    """Gymnasium's vectorised CartPole as two agents that each balance a pole; an environment ends with either.

    A `BatchedEnv` that is not ours; its state is both observations.
    """

    def __init__(self, num_envs: int, *, with_state: bool, seed: int | None) -> None:
        self.agents: tuple[str, ...] = ("left", "right")
        self.num_envs = num_envs
        self._with_state = with_state
        # Environments are reset by a mask here, since both poles of a pair begin anew together.
        disabled = gym.vector.AutoresetMode.DISABLED
        self._carts = {
            agent: gym.vector.SyncVectorEnv(
                [lambda: gym.make("CartPole-v1") for _ in range(num_envs)], autoreset_mode=disabled
            )
            for agent in self.agents
        }
        self._seed = seed
        some = self._carts["left"]
        self.observation_spaces: dict[str, Any] = dict.fromkeys(self.agents, some.single_observation_space)
        self.action_spaces: dict[str, Any] = dict.fromkeys(self.agents, some.single_action_space)
        self.state_space: Box | None = Box(-np.inf, np.inf, (8,), np.float32)

    def reset(self) -> Look:
        seeds = [None if self._seed is None else self._seed + k for k in range(2)]
        self._seed = None
        return self._look(
            {
                agent: self._carts[agent].reset(seed=seed)[0]
                for agent, seed in zip(self.agents, seeds, strict=True)
            }
        )

    def step(self, actions: dict[str, Any]) -> Moved:
        results: dict[str, Any] = {agent: self._carts[agent].step(actions[agent]) for agent in self.agents}
        terminated = np.any([result[2] for result in results.values()], axis=0)
        truncated = np.any([result[3] for result in results.values()], axis=0) & ~terminated
        ended = terminated | truncated
        seen = {agent: result[0] for agent, result in results.items()}
        final = None
        if ended.any():
            final = self._look({agent: observed[ended] for agent, observed in seen.items()})
            seen = {
                agent: self._carts[agent].reset(options={"reset_mask": ended})[0] for agent in self.agents
            }
        return Moved(
            look=self._look(seen),
            rewards={agent: result[1].astype(np.float32) for agent, result in results.items()},
            terminated=terminated,
            truncated=truncated,
            final=final,
            items={"poles": np.full(self.num_envs, 2.0)},
        )

    def close(self) -> None:
        for carts in self._carts.values():
            carts.close()

    def _look(self, seen: dict[str, Any]) -> Look:
        seen = {agent: observed.copy() for agent, observed in seen.items()}
        state = np.concatenate(list(seen.values()), axis=1) if self._with_state else None
        return Look(seen, state, None)


def make_two_carts(env_config: Any, **batch: Any) -> TwoCarts:
    """What `register_batched_env` takes."""
    return TwoCarts(**batch)
