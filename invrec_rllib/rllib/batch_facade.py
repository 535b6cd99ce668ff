"""A batched environment as RLlib's runner knows its environments: by spaces, number and name."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from ray.rllib.env.vector.vector_multi_agent_env import VectorMultiAgentEnv

from invrec_rllib.env.batched import BatchedEnv


class BatchFacade(VectorMultiAgentEnv):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """What RLlib builds modules and connectors from, and hands to callbacks as ``env``.

    It is not stepped: the fast runners step `batch`.

    Args:
        batch: the environment.

    Attributes:
        batch: as given.
        envs: the single environments, where there are such.
    """

    def __init__(self, batch: BatchedEnv) -> None:
        super().__init__()
        self.batch = batch
        self.num_envs = batch.num_envs
        self.envs: list[Any] = list(getattr(batch, "envs", []))
        self.single_observation_spaces = dict(batch.observation_spaces)
        self.single_action_spaces = dict(batch.action_spaces)
        spaces: tuple[Any, Any] = (self.single_observation_spaces, self.single_action_spaces)
        self.single_observation_space = gym.spaces.Dict(spaces[0])
        self.single_action_space = gym.spaces.Dict(spaces[1])

    def close_extras(self, **kwargs: Any) -> None:
        """Close the batch."""
        self.batch.close()
