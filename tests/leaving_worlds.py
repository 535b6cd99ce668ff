"""A world whose agents end each for itself, and configurations of learners on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete
from mtmappo_worlds import ENVS, STEPS, chance
from pettingzoo import ParallelEnv

from invrec_rllib.rllib.register import register_parallel_env


class Leaving(ParallelEnv[str, Any, Any]):  # type: ignore[misc]
    """Agents "a", "b", "c" that see random numbers, each row unique, earn random rewards, and leave one by one.

    Options: `lives`, steps of each agent by episode, drawn from 1 to 6 if not given; `how` each ends: "terminated",
    "truncated", or "mixed", now one and then the other, but alike for those that end in an episode's last step
    (RLlib calls one that terminated where others were cut there both), or "mixed" without that, "any".
    """

    metadata = {"name": "leaving"}  # noqa: RUF012  # PettingZoo's class attribute
    sizes = {"a": 3, "b": 2, "c": 3}  # noqa: RUF012

    def __init__(self, options: dict[str, Any]) -> None:
        self.possible_agents = ["c", "a", "b"]
        self.render_mode = None
        self.lives: list[dict[str, int]] | None = options.get("lives")
        self.how = options.get("how", "mixed")
        self.rng = np.random.default_rng(0)
        self.episode = 0

    def observation_space(self, agent: str) -> Any:
        return Box(-np.inf, np.inf, (self.sizes[agent],), np.float32)

    def action_space(self, agent: str) -> Any:
        return Discrete(3) if agent == "b" else Box(-1, 1, (2,), np.float32)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.agents, self.time = list(self.possible_agents), 0
        drawn = dict(zip(self.agents, self.rng.integers(1, 7, size=3).tolist(), strict=True))
        self.left = dict(self.lives[self.episode % len(self.lives)]) if self.lives else drawn
        self.episode += 1
        return {agent: self._look(agent) for agent in self.agents}, {}

    def step(self, actions: dict[str, Any]) -> Any:
        acting = self.agents
        assert set(actions) == set(acting)
        self.time += 1
        self.agents = [agent for agent in acting if self.left[agent] > self.time]
        cuts = {agent: self._cut() for agent in sorted(acting)}
        if not self.agents and self.how != "any":
            cuts = dict.fromkeys(acting, cuts[min(acting)])
        gone = {agent: agent not in self.agents for agent in acting}
        return (
            {agent: self._look(agent) for agent in acting},
            {agent: float(self.rng.normal()) for agent in acting},
            {agent: gone[agent] and not cuts[agent] for agent in acting},
            {agent: gone[agent] and cuts[agent] for agent in acting},
            {},
        )

    def _cut(self) -> bool:
        draw = bool(self.rng.random() < 0.5)
        return draw if self.how in ("mixed", "any") else self.how == "truncated"

    def _look(self, agent: str) -> Any:
        return self.rng.normal(size=self.sizes[agent]).astype(np.float32)


def leaving(config: Any, **options: Any) -> Any:
    """A configuration on `Leaving`, whose blocks cut episodes, with one policy for "a" and "c", another for "b"."""
    register_parallel_env("leaving", Leaving)
    return chance(config).environment("leaving", env_config=options, disable_env_checking=True)


__all__ = ["ENVS", "STEPS", "Leaving", "leaving"]
