"""The least that sampling can be: the world and the networks' forward passes, and nothing kept of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from invrec_rllib.env.invrec_v0 import InvRecEnv, ScenarioLike


class BareLoop:
    """Plays batches of whole episodes with one tanh network per agent, drawing actions from diagonal Gaussians.

    Observations are encoded and actions mapped as the environment does it; nothing is recorded, rewarded or
    counted.

    Args:
        scenario: the world.
        num_envs: episodes side by side [B].
        hidden: width of each network's two hidden layers.
        seed: of episodes and weights.
        options: of `InvRecEnv`.
    """

    def __init__(
        self, scenario: ScenarioLike, *, num_envs: int, hidden: int, seed: int, **options: Any
    ) -> None:
        self._env = InvRecEnv(scenario, **options)
        self._num_envs, self._seed, self._episode = num_envs, seed, 0
        torch.manual_seed(seed)
        self._networks = {
            agent: _network(space.shape[0], hidden, 2 * self._env.action_space(agent).shape[0])
            for agent, space in self._env.observation_spaces.items()
        }

    @torch.no_grad()
    def play(self) -> int:
        """Play one episode in each environment; returns env steps."""
        world = self._env.world
        first = self._episode
        self._episode += self._num_envs
        world.begin([(self._seed, episode) for episode in range(first, self._episode)])
        while world.running:
            observations = world.observations()
            actions = {
                agent: _draw(network(torch.from_numpy(observations[agent]))).numpy()
                for agent, network in self._networks.items()
            }
            world.play(actions, lead=(self._num_envs,))
        return self._num_envs * self._env.params.num_periods


def _network(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, outputs)
    )


def _draw(inputs: Tensor) -> Tensor:
    mean, log_std = inputs.chunk(2, dim=-1)
    return torch.addcmul(mean, log_std.exp(), torch.randn_like(mean)).clamp_(-1.0, 1.0)
