"""The environment `invrec_v0`: inventory and recommendation of one firm."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import parallel_to_aec

from invrec_rllib.env.accounts import itemise
from invrec_rllib.env.actions import DEFAULT_TEMPERATURE, ActionMapping, ExposureMapping, OrderMapping
from invrec_rllib.env.agents import InventoryAgents, RecommenderAgents, cast_agents
from invrec_rllib.env.encoder import Float32Array
from invrec_rllib.env.layout import ObservationLayout
from invrec_rllib.env.rewards import RewardMode, check_reward_options, rewards
from invrec_rllib.env.start import EpisodeCounter, check_information, shorten
from invrec_rllib.env.world import World
from invrec_rllib.errors import InputError
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.files import load_scenario
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.simulator import Simulator

Infos = dict[str, dict[str, float]]


class InvRecEnv(ParallelEnv[str, Float32Array, Float32Array], EzPickle):  # type: ignore[misc]
    """MANUAL"""

    metadata: ClassVar[dict[str, Any]] = {
        "name": "invrec_v0",
        "render_modes": [],
        "is_parallelizable": True,
        "render_fps": 4,
    }

    def __init__(
        self,
        scenario: str | os.PathLike[str] | Scenario = "paper",
        *,
        information: Information = "observed",
        reward: RewardMode = "team",
        mixed_weight: float = 0.5,
        order: OrderMapping = "adjustment",
        exposure: ExposureMapping = "adjustment",
        temperature: float = DEFAULT_TEMPERATURE,
        order_range: float = 1.0,
        quantity_range: float = 3.0,
        score_range: float = 3.0,
        inventory_agents: InventoryAgents = "one",
        recommender_agents: RecommenderAgents = "one",
        max_cycles: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        EzPickle.__init__(self, **arguments)
        check_information(information)
        check_reward_options(reward, mixed_weight)
        simulator = Simulator(shorten(load_scenario(scenario), max_cycles))
        self.params = simulator.params
        self._reward_mode, self._mixed_weight = reward, mixed_weight
        self.mapping = ActionMapping(
            self.params,
            order=order,
            exposure=exposure,
            temperature=temperature,
            order_range=order_range,
            quantity_range=quantity_range,
            score_range=score_range,
        )
        agents = cast_agents(
            self.params, inventory_agents=inventory_agents, recommender_agents=recommender_agents
        )
        self.cast = {agent.name: agent for agent in agents}
        self.possible_agents = list(self.cast)
        self.agents: list[str] = []
        self._world = World(simulator, information=information, mapping=self.mapping, cast=self.cast)
        self._episodes = EpisodeCounter()
        self.observation_spaces = {name: self._world.observation_space(name) for name in self.cast}
        self.action_spaces = {
            agent.name: gymnasium.spaces.Box(-1.0, 1.0, (agent.action_size,), dtype=np.float32)
            for agent in agents
        }
        self.state_space = self._world.state_space
        self.render_mode = render_mode

    @property
    def scenario(self) -> Scenario:
        """The world that is played."""
        return self.params.scenario

    @property
    def episode_key(self) -> tuple[int, ...]:
        """What seeds the running episode's randomness: the seed, any spawn key, the episode's index."""
        return self._episodes.key

    @property
    def state_layout(self) -> ObservationLayout:
        """How `state()` is laid out."""
        return self._world.state_layout

    def observation_layout(self, agent: str) -> ObservationLayout:
        """How an agent's observations are laid out."""
        return self._world.observation_layout(agent)

    def observation_space(self, agent: str) -> gymnasium.spaces.Box:
        """The space of an agent's observations, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.spaces.Box:
        """The space of an agent's actions, always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Float32Array], Infos]:
        """Start an episode, as "Start" in the manual says.

        Args:
            seed: an integer >= 0; None: the next episode of the same seed.
            options: "spawn_key" and "episode"; others are ignored.

        Raises:
            InputError: a seed or option that is not allowed.
        """
        self._world.begin(self._episodes.next_key(seed, options or {}))
        self.agents = list(self.possible_agents)
        return self._world.observations(), {name: {} for name in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Float32Array], dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Play one period.

        Args:
            actions: one per agent, in its action space.

        Returns:
            Observations, rewards, terminations, truncations and infos, each a fresh dict by agent.

        Raises:
            InputError: the episode is over, an agent lacks an action or is unknown, or an action is not
                allowed.
        """
        if not self.agents:
            raise InputError("the episode is over or has not begun: call reset")
        period = self._world.play(actions)
        earned = rewards(self.params, period.outcome, mode=self._reward_mode, mixed_weight=self._mixed_weight)
        reward = {"inventory": float(earned.inventory[0]), "recommender": float(earned.recommender[0])}
        items = itemise(period.before, period.outcome, period.after)
        names, over = self.agents, not self._world.running
        self.agents = [] if over else list(names)
        return (
            self._world.observations(),
            {name: reward[self.cast[name].department] for name in names},
            dict.fromkeys(names, False),
            dict.fromkeys(names, over),
            {name: dict(items) for name in names},
        )

    def state(self) -> Float32Array:
        """The global state with the true tastes, for a centralized critic; in `state_space`."""
        return self._world.state()


def parallel_env(**kwargs: Any) -> InvRecEnv:
    """The environment with all agents acting at once; arguments as `InvRecEnv`."""
    return InvRecEnv(**kwargs)


def raw_env(**kwargs: Any) -> AECEnv[str, Float32Array, Float32Array]:
    """The environment with agents acting in turn, by PettingZoo's own conversion."""
    return parallel_to_aec(parallel_env(**kwargs))


def env(**kwargs: Any) -> AECEnv[str, Float32Array, Float32Array]:
    """`raw_env`, which also refuses calls in the wrong order."""
    return wrappers.OrderEnforcingWrapper(raw_env(**kwargs))
